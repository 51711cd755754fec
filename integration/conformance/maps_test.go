package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func doubled(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 2 * i
	}
	return out
}

// sized is an executor that is told how many workers there are.
type sized struct{ queue.Executor }

func (sized) Workers() int { return workers }

// mapRows are about the verbs that take many arguments.
var mapRows = []row{
	{"C21", "LPD", "MapAll keeps the order under random delays", func(b *bed) {
		ins := make([]nap, 40)
		for i := range ins {
			ins[i] = nap{time.Duration(i*7%5) * time.Millisecond, i}
		}
		got := must[[]int](b)(sleep.MapAll(b.ctx, b.x, slices.Values(ins), queue.Chunk(1)))
		if !slices.IsSorted(got) || len(got) != 40 {
			b.Errorf("values %v", got)
		}
	}},
	{"C22", "LPD", "MapAll equals serial for any chunk", func(b *bed) {
		for _, chunk := range []int{1, 3, 6, 20, 40, 50} {
			for _, n := range []int{40, 100} {
				if got := must[[]int](b)(double.MapAll(b.ctx, b.x, numbers(n), queue.Chunk(chunk))); !slices.Equal(got, doubled(n)) {
					b.Errorf("chunk %d of %d: %v", chunk, n, got)
				}
			}
		}
		if got := must[[]int](b)(double.MapAll(b.ctx, b.x, numbers(5000))); !slices.Equal(got, doubled(5000)) {
			b.Error("adaptive chunks differ from serial")
		}
	}},
	{"C23", "LPD", "a chunk below 1 is refused and nothing submitted", func(b *bed) {
		for _, n := range []int{0, -1} {
			_, err := double.MapAll(b.ctx, b.x, numbers(3), queue.Chunk(n))
			is(b, err, queue.ErrOption)
		}
	}},
	{"C24", "LPD", "a measured chunk is never above ceil(n / (4 x workers))", func(b *bed) {
		const n = 40_000 // enough for chunks to grow
		if _, ok := b.x.(queue.Sizer); !ok {
			b.x = sized{b.x}
		}
		sizes := map[string]int{}
		for _, id := range must[[]string](b)(message.MapAll(b.ctx, b.x, numbers(n))) {
			sizes[id]++
		}
		if most := slices.Max(slices.Collect(maps.Values(sizes))); most > (n+4*workers-1)/(4*workers) || most < 2 {
			b.Errorf("%d of %d items in one message", most, n)
		}
	}},
	{"C25", "LPD", "an empty input ends at once", func(b *bed) {
		for _, opts := range [][]queue.Option{nil, {queue.Chunk(1)}, {queue.Chunk(10)}} {
			if got, err := double.MapAll(b.ctx, b.x, numbers(0), opts...); err != nil || len(got) != 0 {
				b.Errorf("MapAll: %v, %v", got, err)
			}
			f := must[*queue.Future[[]int]](b)(double.MapAsync(b.ctx, b.x, numbers(0), opts...))
			if got := value(b, f); len(got) != 0 {
				b.Errorf("MapAsync: %v", got)
			}
			for range double.Map(b.ctx, b.x, numbers(0), opts...) {
				b.Error("Map yields something")
			}
			for range double.MapUnordered(b.ctx, b.x, numbers(0), opts...) {
				b.Error("MapUnordered yields something")
			}
		}
	}},
	{"C26", "LPD", "OnDone fires for an empty MapAsync", func(b *bed) {
		called := make(chan struct{})
		f := must[*queue.Future[[]int]](b)(double.MapAsync(b.ctx, b.x, numbers(0)))
		f.OnDone(func([]int, error) { close(called) })
		select {
		case <-called:
		case <-b.ctx.Done():
			b.Error("never called")
		}
	}},
	{"C27", "LPD", "one failing item: MapAll waits for all and names the lowest", func(b *bed) {
		ins := []int{0, 2, 3, 4, 5, 6}
		got, err := evens.MapAll(b.ctx, b.x, slices.Values(ins), queue.Chunk(1))
		var me *queue.MapError
		if !errors.As(err, &me) || me.Index != 2 || len(me.Failed) != 2 {
			b.Fatalf("error %v", err)
		}
		is(b, err, errOdd)
		if want := []int{0, 2, 0, 4, 0, 6}; !slices.Equal(got, want) {
			b.Errorf("values %v", got)
		}
	}},
	{"C28", "LPD", "FailFast cancels what was not sent and interrupts what runs", func(b *bed) {
		d := newDoor(b)
		dirs := append([]string{"/nowhere/at/all"}, slices.Repeat([]string{d.dir}, 50)...)
		_, err := gated.MapAll(b.ctx, b.x, slices.Values(dirs), queue.Chunk(1), queue.FailFast())
		var me *queue.MapError
		if !errors.As(err, &me) || me.Index != 0 {
			b.Fatalf("error %v", err)
		}
		if d.runs() == 50 {
			b.Error("everything ran")
		}
		b.fine() // the slots are free: what ran was interrupted
	}},
	{"C29", "LPD", "an item's error does not touch its neighbours in the chunk", func(b *bed) {
		var values, odd int
		for _, err := range evens.Map(b.ctx, b.x, numbers(20), queue.Chunk(7)) {
			switch {
			case err == nil:
				values++
			case errors.Is(err, errOdd):
				odd++
			default:
				b.Errorf("error %v", err)
			}
		}
		if values != 10 || odd != 10 {
			b.Errorf("%d values, %d errors", values, odd)
		}
	}},
	{"C30", "LPD", "Map goes on after an item's error, whatever the chunk", func(b *bed) {
		for _, chunk := range []int{1, 4} {
			i := 0
			for it := range evens.Stream(b.ctx, b.x, numbers(10), queue.Chunk(chunk)) {
				if it.Index != i || it.In != i || (it.Err != nil) != (i%2 == 1) {
					b.Errorf("item %+v at %d", it, i)
				}
				i++
			}
			if i != 10 {
				b.Errorf("%d items", i)
			}
		}
	}},
	{"C31", "LPD", "MapUnordered yields all, the first finished first", func(b *bed) {
		ins := []nap{{400 * time.Millisecond, 0}, {0, 1}, {0, 2}}
		var got []int
		for v, err := range sleep.MapUnordered(b.ctx, b.x, slices.Values(ins), queue.Chunk(1)) {
			got = append(got, must[int](b)(v, err))
		}
		if len(got) != 3 || got[2] != 0 {
			b.Errorf("values %v", got)
		}
	}},
	{"C32", "LPD", "a source that fails after k items: k results, then its error", func(b *bed) {
		errSource := errors.New("no more disk")
		src := func(yield func(int, error) bool) {
			for i := range 5 {
				if !yield(i, nil) {
					return
				}
			}
			yield(0, errSource)
		}
		for range 2 {
			for _, ordered := range []bool{true, false} {
				m := double.Map
				if !ordered {
					m = double.MapUnordered
				}
				n := 0
				var last error
				for _, err := range m(b.ctx, b.x, queue.Fallible(src)) {
					if last = err; err == nil {
						n++
					}
				}
				if n != 5 || !errors.Is(last, errSource) {
					b.Errorf("%d results, then %v", n, last)
				}
			}
		}
	}},
	{"C33", "LPD", "a panic in the source comes out of the loop", func(b *bed) {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "boom") {
				b.Errorf("recovered %v", p)
			}
		}()
		for range double.Map(b.ctx, b.x, func(yield func(int) bool) { yield(1); panic("boom") }) {
		}
		b.Error("no panic")
	}},
	{"C34", "LPD", "at most the window is pulled ahead", func(b *bed) {
		const window = 7
		var pulled atomic.Int64
		src := func(yield func(int) bool) {
			for i := range 200 {
				pulled.Add(1)
				if !yield(i) {
					return
				}
			}
		}
		yielded := 0
		for _, err := range double.Map(b.ctx, b.x, src, queue.Window(window)) {
			must[int](b)(0, err)
			if ahead := int(pulled.Load()) - yielded; ahead > window+1 { // the one in hand counts as neither
				b.Fatalf("%d pulled ahead", ahead)
			}
			yielded++
		}
	}},
	{"C35", "LPD", "break ends an endless Map", func(b *bed) {
		n := 0
		for _, err := range double.Map(b.ctx, b.x, func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
			}
		}) {
			must[int](b)(0, err)
			if n++; n == 1000 {
				break
			}
		}
		b.fine()
	}},
	{"C36", "LPD", "the deadline of a Map counts from the start of the loop", func(b *bed) {
		d := newDoor(b)
		open := newDoor(b)
		open.open()
		ctx, cancel := context.WithTimeout(b.ctx, 300*time.Millisecond)
		defer cancel()
		var values int
		var last error
		for _, err := range gated.Map(ctx, b.x, slices.Values([]string{open.dir, open.dir, d.dir}), queue.Chunk(1)) {
			if last = err; err == nil {
				values++
			}
		}
		d.open()
		if values != 2 {
			b.Errorf("%d values before the deadline", values)
		}
		is(b, last, context.DeadlineExceeded)
	}},
	{"C37", "LPD", "MapAsync submits though nobody looks", func(b *bed) {
		d := newDoor(b)
		f := must[*queue.Future[[]int]](b)(gated.MapAsync(b.ctx, b.x, slices.Values([]string{d.dir, d.dir}), queue.Chunk(1)))
		d.await(2)
		d.open()
		value(b, f)
	}},
	{"C38", "LPD", "MapAsync: one list, one callback, one error", func(b *bed) {
		var calls atomic.Int64
		ok := must[*queue.Future[[]int]](b)(double.MapAsync(b.ctx, b.x, numbers(10)))
		done := make(chan struct{})
		ok.OnDone(func(v []int, err error) {
			if calls.Add(1); err != nil || !slices.Equal(v, doubled(10)) {
				b.Errorf("callback got %v, %v", v, err)
			}
			close(done)
		})
		wait(b, done)
		bad := must[*queue.Future[[]int]](b)(evens.MapAsync(b.ctx, b.x, numbers(4)))
		_, err := bad.Get(b.ctx)
		is(b, err, errOdd)
		if calls.Load() != 1 {
			b.Errorf("%d calls", calls.Load())
		}
	}},
}
