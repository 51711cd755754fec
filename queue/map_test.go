package queue_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// counted yields 0 to n-1 and counts what was pulled; whether it was stopped is
// told as well.
type counted struct {
	n       int
	pulled  atomic.Int64
	stopped atomic.Bool
}

func (c *counted) seq() iter.Seq[int] {
	return func(yield func(int) bool) {
		defer func() { c.stopped.Store(true) }()
		for i := range c.n {
			c.pulled.Add(1)
			if !yield(i) {
				return
			}
		}
	}
}

func TestMapKeepsTheOrder(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	const n = 50
	go func() { // let the last one go first
		f.await(n)
		for i := n - 1; i >= 0; i-- {
			f.let(i)
		}
	}()
	i := 0
	for v, err := range double.Map(t.Context(), f, (&counted{n: n}).seq()) {
		if v != 2*i || err != nil {
			t.Errorf("place %d: %d, %v", i, v, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d values, want %d", i, n)
	}
}

func TestMapUnorderedYieldsWhatEndsFirst(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	src := &counted{n: 5}
	order := []int{3, 0, 4, 1, 2}
	go func() {
		f.await(5)
		f.let(order[0])
	}()
	var got []int
	for it := range double.StreamUnordered(t.Context(), f, src.seq()) {
		if it.Err != nil || it.Out != 2*it.In || it.In != it.Index {
			t.Errorf("%+v", it)
		}
		got = append(got, it.Index)
		if len(got) < len(order) {
			f.let(order[len(got)])
		}
	}
	if !slices.Equal(got, order) {
		t.Errorf("yielded %v, they ended as %v", got, order)
	}
}

func TestMapIsLazy(t *testing.T) {
	for name, do := range map[string]func(queue.Task[int, int], context.Context, queue.Executor, iter.Seq[int], ...queue.Option) iter.Seq2[int, error]{
		"Map": queue.Task[int, int].Map, "MapUnordered": queue.Task[int, int].MapUnordered,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, double.Handler(doubling))
			src := &counted{n: 1000}
			seq := do(double, t.Context(), f, src.seq(), queue.Window(3))
			if src.pulled.Load() != 0 {
				t.Fatalf("%d arguments were pulled before anybody ranged", src.pulled.Load())
			}
			seen := 0
			for _, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				seen++
				if src.pulled.Load() > int64(seen+3) || f.count() > seen+3 {
					t.Fatalf("after %d values %d arguments were pulled and %d submitted; the window is 3", seen, src.pulled.Load(), f.count())
				}
				if seen == 10 {
					break
				}
			}
			eventually(t, "the source is told that nobody wants more", src.stopped.Load)
			if f.count() > 13 {
				t.Errorf("%d tasks for 10 values and a window of 3", f.count())
			}
		})
	}
}

// eventually waits for what comes by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestMapDefaultWindow(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	src := &counted{n: 2000}
	go func() {
		f.await(queue.DefaultWindow)
		f.let(0)
	}()
	for range double.Map(t.Context(), f, src.seq()) {
		break
	}
	if n := src.pulled.Load(); n < queue.DefaultWindow || n > queue.DefaultWindow+1 {
		t.Errorf("%d in flight, want %d, and one more for the value that was yielded", n, queue.DefaultWindow)
	}
}

func TestMapYieldsAnItemsErrorAtItsPlace(t *testing.T) {
	odd := errors.New("odd")
	picky := queue.NewTask[int, int]("picky", queue.Sentinel("odd", odd))
	f := newFake(t, picky.Handler(func(_ context.Context, n int) (int, error) {
		if n%2 == 1 {
			return 0, odd
		}
		return n, nil
	}))
	i := 0
	for v, err := range picky.Map(t.Context(), f, (&counted{n: 20}).seq(), queue.Window(4)) {
		if i%2 == 1 && !errors.Is(err, odd) || i%2 == 0 && (err != nil || v != i) {
			t.Errorf("place %d: %d, %v", i, v, err)
		}
		i++
	}
	if i != 20 {
		t.Errorf("the iteration ended after %d of 20 items: an item's error must not end it", i)
	}
}

func TestMapYieldsRefusals(t *testing.T) {
	for name, do := range map[string]func(queue.Task[int, int], context.Context, queue.Executor, iter.Seq[int], ...queue.Option) iter.Seq[queue.Item[int, int]]{
		"Stream": queue.Task[int, int].Stream, "StreamUnordered": queue.Task[int, int].StreamUnordered,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, double.Handler(doubling))
			f.refuse = queue.ErrStoreFull
			n := 0
			for it := range do(double, t.Context(), f, (&counted{n: 5}).seq(), queue.Window(2)) {
				if !errors.Is(it.Err, queue.ErrStoreFull) || it.Index != it.In {
					t.Errorf("%+v", it)
				}
				n++
			}
			if n != 5 {
				t.Errorf("%d refusals of 5", n)
			}
		})
	}
}

func TestMapEndsWithItsContext(t *testing.T) {
	for name, do := range map[string]func(queue.Task[int, int], context.Context, queue.Executor, iter.Seq[int], ...queue.Option) iter.Seq[queue.Item[int, int]]{
		"Stream": queue.Task[int, int].Stream, "StreamUnordered": queue.Task[int, int].StreamUnordered,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, double.Handler(doubling))
			f.gate = true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				f.await(4)
				cancel()
			}()
			n := 0
			for it := range do(double, ctx, f, (&counted{n: 1000}).seq(), queue.Window(4)) {
				if !errors.Is(it.Err, queue.ErrNotReady) || !errors.Is(it.Err, context.Canceled) {
					t.Errorf("%+v", it)
				}
				n++
			}
			if n < 1 || n > 4 || f.count() != 4 {
				t.Errorf("%d errors for 4 items in flight, %d were submitted", n, f.count())
			}
		})
	}
}

func TestMapOfNothing(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	for range double.Map(t.Context(), f, slices.Values([]int(nil))) {
		t.Error("a value of nothing")
	}
	for range double.MapUnordered(t.Context(), f, slices.Values([]int(nil))) {
		t.Error("a value of nothing")
	}
}

func TestManyMapsAtOnce(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sum := 0
			for v, err := range double.MapUnordered(t.Context(), f, (&counted{n: 200}).seq(), queue.Window(16)) {
				if err != nil {
					t.Error(err)
				}
				sum += v
			}
			if sum != 199*200 {
				t.Errorf("sum %d, want %d", sum, 199*200)
			}
		})
	}
	wg.Wait()
}

// TestAFullWindowKeepsChunksWhole: every value that is yielded makes room for one
// argument, which waits for the others of its chunk.
func TestAFullWindowKeepsChunksWhole(t *testing.T) {
	verbs := map[string]func(x queue.Executor, opts ...queue.Option) int{
		"MapAll": func(x queue.Executor, opts ...queue.Option) int {
			got, err := double.MapAll(t.Context(), x, slices.Values(upTo(2000)), opts...)
			if err != nil {
				t.Error(err)
			}
			return len(got)
		},
		"Map": func(x queue.Executor, opts ...queue.Option) (n int) {
			for _, err := range double.Map(t.Context(), x, slices.Values(upTo(2000)), opts...) {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			return n
		},
	}
	for name, verb := range verbs {
		f := newFake(t, double.Handler(doubling))
		if n := verb(f, queue.Chunk(10), queue.Window(40)); n != 2000 {
			t.Errorf("%s: %d values", name, n)
		}
		for i, n := range f.sizes() {
			if n != 10 {
				t.Errorf("%s: message %d carries %d arguments, want 10", name, i, n)
				break
			}
		}
		// A window without room for a chunk, or for two, must not wait for one.
		for _, window := range []int{1, 9, 10, 15} {
			if n := verb(newFake(t, double.Handler(doubling)), queue.Chunk(10), queue.Window(window)); n != 2000 {
				t.Errorf("%s, a window of %d: %d values", name, window, n)
			}
		}
	}
}
