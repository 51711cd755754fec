package queue_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// everyWay runs a test with messages that travel and with those that do not.
func everyWay(t *testing.T, test func(t *testing.T, fresh func(...queue.Route) *fake)) {
	for name, direct := range map[string]bool{"wire": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(routes ...queue.Route) *fake {
				f := newFake(t, routes...)
				f.direct = direct
				return f
			})
		})
	}
}

func upTo(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func doubled(n int) []int {
	s := upTo(n)
	for i := range s {
		s[i] *= 2
	}
	return s
}

var errOdd = errors.New("odd")

var picky = queue.NewTask[int, int]("picky", queue.Sentinel("odd", errOdd))

func evenOnly(_ context.Context, n int) (int, error) {
	if n%2 == 1 {
		return 0, errOdd
	}
	return n, nil
}

// C21, C22
func TestMapAllIsAsIfSerial(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		for _, total := range []int{40, 100} {
			for _, chunk := range []int{0, 1, 3, 6, 20, 40, 50} {
				f := fresh(double.Handler(func(ctx context.Context, n int) (int, error) {
					for range rand.IntN(100) {
						runtime.Gosched()
					}
					return doubling(ctx, n)
				}))
				var opts []queue.Option
				if chunk > 0 {
					opts = append(opts, queue.Chunk(chunk))
				}
				got, err := double.MapAll(t.Context(), f, slices.Values(upTo(total)), opts...)
				if err != nil || !slices.Equal(got, doubled(total)) {
					t.Errorf("%d in chunks of %d: %v, %v", total, chunk, got, err)
				}
				if want := (total + chunk - 1) / max(chunk, 1); chunk > 0 && f.count() != want {
					t.Errorf("%d in chunks of %d were %d messages, want %d", total, chunk, f.count(), want)
				}
			}
		}
	})
}

// C23
func TestChunkMustBePositive(t *testing.T) {
	for _, n := range []int{0, -1} {
		f := newFake(t, double.Handler(doubling))
		src := &counted{n: 5}
		if _, err := double.MapAll(t.Context(), f, src.seq(), queue.Chunk(n)); !errors.Is(err, queue.ErrOption) {
			t.Errorf("MapAll, Chunk(%d): %v", n, err)
		}
		if _, err := double.MapAsync(t.Context(), f, src.seq(), queue.Chunk(n)); !errors.Is(err, queue.ErrOption) {
			t.Errorf("MapAsync, Chunk(%d): %v", n, err)
		}
		errs := 0
		for _, err := range double.Map(t.Context(), f, src.seq(), queue.Chunk(n)) {
			if errs++; !errors.Is(err, queue.ErrOption) {
				t.Errorf("Map, Chunk(%d): %v", n, err)
			}
		}
		if errs != 1 || f.count() != 0 || src.pulled.Load() != 0 {
			t.Errorf("%d errors, %d submitted, %d pulled; want 1, 0, 0", errs, f.count(), src.pulled.Load())
		}
	}
}

// C24
func TestMeasuredChunksAreFairAndBounded(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		f := fresh(double.Handler(doubling))
		f.workers = 4
		const total = 2000
		got, err := double.MapAll(t.Context(), f, slices.Values(upTo(total)))
		if err != nil || !slices.Equal(got, doubled(total)) {
			t.Fatalf("%v", err)
		}
		sizes := f.sizes()
		if most := slices.Max(sizes); most > (total+15)/16 || most < 2 {
			t.Errorf("the largest chunk has %d of %d items on 4 workers; want at most %d, and more than 1", most, total, (total+15)/16)
		}
		if sizes[0] != 1 {
			t.Errorf("the first chunk has %d items, before anything was measured", sizes[0])
		}
		for range double.Map(t.Context(), f, slices.Values(upTo(total)), queue.Window(40)) { //nolint:revive // all of it
		}
		if most := slices.Max(f.sizes()[len(sizes):]); most > 10 {
			t.Errorf("a chunk of %d with a window of 40; a quarter is the most", most)
		}
	})
}

func TestLongItemsAreNotChunked(t *testing.T) {
	f := newFake(t, double.Handler(func(ctx context.Context, n int) (int, error) {
		for start := time.Now(); time.Since(start) < 60*time.Millisecond; { // longer than a chunk is meant to be
			runtime.Gosched()
		}
		return doubling(ctx, n)
	}))
	if _, err := double.MapAll(t.Context(), f, slices.Values(upTo(8)), queue.Window(2)); err != nil {
		t.Fatal(err)
	}
	if f.count() != 8 {
		t.Errorf("8 items of 60 ms travelled in %d messages", f.count())
	}
}

func TestWhatCannotShareAMessageTravelsAlone(t *testing.T) {
	for name, opts := range map[string][]queue.Option{
		"key":     {queue.ID("k"), queue.Chunk(3)},
		"stream":  {queue.OnStream("s"), queue.ReplyFrom("g"), queue.Chunk(3)},
		"then":    {queue.Then(double), queue.Chunk(3)},
		"timeout": {queue.Timeout(time.Minute)},
		"one":     {queue.Chunk(1)},
	} {
		f := newFake(t, double.Handler(doubling))
		got, err := double.MapAll(t.Context(), f, slices.Values(upTo(6)), opts...)
		if err != nil || !slices.Equal(got, doubled(6)) || slices.Max(f.sizes()) != 0 {
			t.Errorf("%s: %v, %v, items %v; want plain messages", name, got, err, f.sizes())
		}
	}
	f := newFake(t, double.Handler(doubling))
	if _, err := double.MapAll(t.Context(), f, slices.Values(upTo(6)), queue.Timeout(time.Second), queue.Chunk(3)); err != nil {
		t.Fatal(err)
	}
	if got := f.sent[0].Timeout; got != 3*time.Second {
		t.Errorf("three items of a second each have %v", got)
	}
}

func TestLargeArgumentsShareNoMessage(t *testing.T) {
	long := queue.NewTask[[]byte, int]("long")
	f := newFake(t, long.Handler(func(_ context.Context, b []byte) (int, error) { return len(b), nil }))
	args := [][]byte{make([]byte, 100<<10), make([]byte, 100<<10), make([]byte, 100<<10), make([]byte, 300<<10), nil}
	got, err := long.MapAll(t.Context(), f, slices.Values(args), queue.Chunk(5))
	if want := []int{100 << 10, 100 << 10, 100 << 10, 300 << 10, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if want := []int{2, 1, 1, 1}; !slices.Equal(f.sizes(), want) {
		t.Errorf("chunks of %v, want %v by 256 KiB", f.sizes(), want)
	}
}

// C25, C26
func TestMapsOfNothing(t *testing.T) {
	for _, opts := range [][]queue.Option{nil, {queue.Chunk(7)}, {queue.FailFast()}} {
		f := newFake(t, double.Handler(doubling))
		if got, err := double.MapAll(t.Context(), f, slices.Values([]int{}), opts...); len(got) != 0 || err != nil {
			t.Errorf("MapAll: %v, %v", got, err)
		}
		fut, err := double.MapAsync(t.Context(), f, slices.Values([]int{}), opts...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fut.Result(); len(got) != 0 || err != nil {
			t.Errorf("MapAsync is not done at once: %v, %v", got, err)
		}
		told := make(chan error)
		fut.OnDone(func(_ []int, err error) { told <- err })
		if err := <-told; err != nil {
			t.Error(err)
		}
		for range double.Map(t.Context(), f, slices.Values([]int{}), opts...) {
			t.Error("a value of nothing")
		}
	}
}

// C27, C29, C30
func TestAnItemsErrorIsItsOwn(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		for _, chunk := range []int{1, 3, 20} {
			f := fresh(picky.Handler(evenOnly))
			got, err := picky.MapAll(t.Context(), f, slices.Values(upTo(20)), queue.Chunk(chunk))
			var me *queue.MapError
			if !errors.As(err, &me) || me.Index != 1 || me.Total != 20 || len(me.Failed) != 10 || !errors.Is(err, errOdd) {
				t.Fatalf("chunk %d: %v", chunk, err)
			}
			if want := "10 of 20 items failed; number 1: odd"; err.Error() != want {
				t.Errorf("%q, want %q", err, want)
			}
			place := 0
			for it := range picky.Stream(t.Context(), f, slices.Values(upTo(20)), queue.Chunk(chunk)) {
				odd := place%2 == 1
				if it.Index != place || it.In != place || odd != errors.Is(it.Err, errOdd) || !odd && (it.Out != place || it.Err != nil || got[place] != place) {
					t.Errorf("chunk %d, place %d: %+v", chunk, place, it)
				}
				place++
			}
			if place != 20 {
				t.Errorf("chunk %d: the iteration ended after %d of 20", chunk, place)
			}
		}
	})
}

func TestAChunkThatFailsAsAWholeFailsEachItem(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	other := queue.NewTask[int, int]("unknown")
	_, err := other.MapAll(t.Context(), f, slices.Values(upTo(5)), queue.Chunk(5))
	var me *queue.MapError
	if !errors.As(err, &me) || len(me.Failed) != 5 || f.count() != 1 {
		t.Errorf("%v", err)
	}
	f.refuse = queue.ErrStoreFull
	if _, err := double.MapAll(t.Context(), f, slices.Values(upTo(5)), queue.Chunk(5)); !errors.As(err, &me) || len(me.Failed) != 5 || !errors.Is(err, queue.ErrStoreFull) {
		t.Errorf("%v", err)
	}
	if _, err := double.MapAsync(t.Context(), f, slices.Values(upTo(5)), queue.Chunk(5)); !errors.Is(err, queue.ErrStoreFull) {
		t.Errorf("MapAsync of which nothing was accepted: %v", err)
	}
}

func TestAnArgumentThatCannotBeEncodedIsAnItemsError(t *testing.T) {
	odd := queue.NewTask[any, int]("any")
	f := newFake(t, odd.Handler(func(context.Context, any) (int, error) { return 1, nil }))
	ins := []any{1, make(chan int), 3}
	for _, opts := range [][]queue.Option{{queue.Chunk(3)}, {queue.Chunk(1)}} {
		got, err := odd.MapAll(t.Context(), f, slices.Values(ins), opts...)
		var me *queue.MapError
		if !errors.As(err, &me) || !slices.Equal(slices.Collect(maps.Keys(me.Failed)), []int{1}) || !errors.Is(err, queue.ErrEncode) || !slices.Equal(got, []int{1, 0, 1}) {
			t.Errorf("MapAll: %v, %v", got, err)
		}
		fut, err := odd.MapAsync(t.Context(), f, slices.Values(ins), opts...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fut.Get(t.Context()); !errors.Is(err, queue.ErrEncode) || got != nil {
			t.Errorf("MapAsync: %v, %v", got, err)
		}
	}
}

// C28
func TestFailFastEndsTheRest(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		var interrupted atomic.Int32
		ready := make(chan struct{})
		task := queue.NewTask[int, int]("fast", queue.Sentinel("odd", errOdd))
		f := fresh(task.Handler(func(ctx context.Context, n int) (int, error) {
			if n == 0 { // runs until it is told to stop
				close(ready)
				<-ctx.Done()
				if errors.Is(context.Cause(ctx), queue.ErrCancelled) {
					interrupted.Add(1)
				}
				return 0, ctx.Err()
			}
			return 0, errOdd
		}))
		f.gate = true
		go func() {
			f.await(4)
			f.let(0)
			<-ready
			f.let(1)
		}()
		_, err := task.MapAll(t.Context(), f, slices.Values(upTo(100)), queue.Chunk(1), queue.Window(4), queue.FailFast())
		var me *queue.MapError
		if !errors.As(err, &me) || me.Index != 1 || !errors.Is(err, errOdd) || len(me.Failed) != 100 {
			t.Fatalf("%v; want that number 1 failed, and all others with it", err)
		}
		for i, err := range me.Failed {
			if i != 1 && !errors.Is(err, queue.ErrCancelled) {
				t.Errorf("item %d: %v", i, err)
			}
		}
		if interrupted.Load() != 1 || f.count() > 6 {
			t.Errorf("%d were interrupted, want 1; %d were submitted, want no more than a window", interrupted.Load(), f.count())
		}
	})
}

func TestFailFastOfMapAsync(t *testing.T) {
	f := newFake(t, picky.Handler(evenOnly))
	f.gate = true
	fut, err := picky.MapAsync(t.Context(), f, slices.Values(upTo(10)), queue.FailFast())
	if err != nil {
		t.Fatal(err)
	}
	f.let(3)
	_, err = fut.Get(t.Context())
	var me *queue.MapError
	if !errors.As(err, &me) || me.Index != 3 || !errors.Is(err, errOdd) || len(me.Failed) != 10 {
		t.Errorf("%v", err)
	}
}

// C31
func TestMapUnorderedYieldsEach(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		for _, opts := range [][]queue.Option{nil, {queue.Chunk(7)}} {
			f := fresh(double.Handler(doubling))
			var got []int
			for v, err := range double.MapUnordered(t.Context(), f, slices.Values(upTo(300)), opts...) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, v)
			}
			slices.Sort(got)
			if !slices.Equal(got, doubled(300)) {
				t.Errorf("%v", got)
			}
		}
	})
}

func failing(k int, err error) iter.Seq[int] {
	return queue.Fallible(func(yield func(int, error) bool) {
		for i := range k {
			if !yield(i, nil) {
				return
			}
		}
		yield(0, err)
	})
}

// C32, C61
func TestTheSourcesErrorEndsTheMap(t *testing.T) {
	own := errors.New("my own")
	for range 3 {
		f := newFake(t, double.Handler(doubling))
		for name, do := range map[string]func(context.Context, queue.Executor, iter.Seq[int], ...queue.Option) iter.Seq2[int, error]{
			"Map": double.Map, "MapUnordered": double.MapUnordered,
		} {
			for _, k := range []int{0, 5} {
				values, errs := 0, []error(nil)
				for _, err := range do(t.Context(), f, failing(k, own)) {
					if err != nil {
						errs = append(errs, err)
						continue
					}
					if values++; errs != nil {
						t.Errorf("%s: a value after the error", name)
					}
				}
				if values != k || len(errs) != 1 || errs[0] != own { //nolint:errorlint // that very error
					t.Errorf("%s of %d: %d values, errors %v", name, k, values, errs)
				}
			}
		}
		before := f.count()
		if _, err := double.MapAll(t.Context(), f, failing(3, own)); err != own { //nolint:errorlint // that very error
			t.Errorf("MapAll: %v", err)
		}
		if _, err := double.MapAsync(t.Context(), f, failing(3, own)); err != own { //nolint:errorlint // that very error
			t.Errorf("MapAsync: %v", err)
		}
		if f.count() != before {
			t.Error("tasks of a source that failed were submitted")
		}
	}
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, own) {
			t.Errorf("outside of a Map: %v", err)
		}
	}()
	for range failing(1, own) { //nolint:revive // until it panics
	}
}

// C33
func TestAPanicOfTheSourceIsTheCallers(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	src := func(yield func(int) bool) {
		_ = yield(1) && yield(2)
		panic("no more")
	}
	values := 0
	func() {
		defer func() {
			if v := recover(); v != "no more" {
				t.Errorf("recovered %v", v)
			}
		}()
		for range double.Map(t.Context(), f, src) {
			values++
		}
	}()
	if values != 2 {
		t.Errorf("%d values before the panic, want 2", values)
	}
	ended := make(chan bool)
	go func() { // as t.FailNow in a source does
		defer close(ended)
		for range double.Map(t.Context(), f, func(func(int) bool) { runtime.Goexit() }) { //nolint:revive // never
		}
		ended <- true
	}()
	if <-ended {
		t.Error("the source's Goexit did not reach the caller")
	}
}

// C34 is TestMapIsLazy; this is its other half.
func TestASlowSourceHoldsNothingBack(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	never := make(chan struct{})
	defer close(never)
	for v, err := range double.Map(t.Context(), f, func(yield func(int) bool) {
		if yield(4) {
			<-never
		}
	}) {
		if v != 8 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		break // the source still sleeps
	}
}

// C35
func TestABreakCancelsWhatHasNotStarted(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		f := fresh(double.Handler(doubling))
		f.gate = true
		endless := func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
				continue
			}
		}
		go func() { f.await(8); f.let(0) }()
		before := runtime.NumGoroutine()
		for range double.Map(t.Context(), f, endless, queue.Window(8), queue.Chunk(1)) {
			break
		}
		got := f.cancelled()
		if n := f.count() - 1; len(got) != n || slices.ContainsFunc(got, func(r queue.CancelResult) bool { return r != queue.CancelBeforeStart }) {
			t.Errorf("cancelled %v; want each of %d before its start", got, n)
		}
		eventually(t, "its goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	})
}

func TestABreakWithoutControl(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate, f.bare = true, true
	go func() { f.await(3); f.let(0) }()
	for range double.Map(t.Context(), f, slices.Values(upTo(10)), queue.Window(3), queue.Chunk(1)) {
		break
	}
	if got := f.cancelled(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// C36
func TestTheEndOfTheContextComesAfterWhatIsDone(t *testing.T) {
	for name, do := range map[string]func(context.Context, queue.Executor, iter.Seq[int], ...queue.Option) iter.Seq2[int, error]{
		"Map": double.Map, "MapUnordered": double.MapUnordered,
	} {
		f := newFake(t, double.Handler(doubling))
		f.gate = true
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { f.await(5); f.let(0); f.let(1) }()
		values, last := 0, error(nil)
		for _, err := range do(ctx, f, slices.Values(upTo(5)), queue.Chunk(1)) {
			if last = err; err == nil {
				if values++; values == 2 {
					cancel()
				}
			}
		}
		if values != 2 || !errors.Is(last, queue.ErrNotReady) || !errors.Is(last, context.Canceled) {
			t.Errorf("%s: %d values, then %v", name, values, last)
		}
		if got := f.cancelled(); len(got) != 3 {
			t.Errorf("%s: %d were cancelled, want the 3 that had not started", name, len(got))
		}
	}
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	ctx, cancel := context.WithCancel(t.Context())
	go func() { f.await(5); cancel() }()
	_, err := double.MapAll(ctx, f, slices.Values(upTo(5)), queue.Chunk(1))
	var me *queue.MapError
	if !errors.As(err, &me) || len(me.Failed) != 5 || !errors.Is(err, context.Canceled) {
		t.Errorf("MapAll: %v", err)
	}
	if _, err := double.MapAll(ctx, f, slices.Values(upTo(5))); !errors.Is(err, context.Canceled) || f.count() != 5 {
		t.Errorf("MapAll with a context that has ended: %v", err)
	}
}

// C37, C38
func TestMapAsync(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		f := fresh(double.Handler(doubling), picky.Handler(evenOnly))
		f.gate, f.workers = true, 2
		ctx, cancel := context.WithCancel(t.Context())
		fut, err := double.MapAsync(ctx, f, slices.Values(upTo(100)))
		cancel() // bounds the submission only
		if err != nil {
			t.Fatal(err)
		}
		if total := sum(f.sizes()); total != 100 || slices.Max(f.sizes()) > 13 {
			t.Fatalf("chunks of %v; want 100 items, at most 13 a chunk on 2 workers", f.sizes())
		}
		if _, err := fut.Result(); !errors.Is(err, queue.ErrNotReady) {
			t.Error(err)
		}
		bad, err := picky.MapAsync(t.Context(), f, slices.Values(upTo(4)), queue.Chunk(2))
		if err != nil {
			t.Fatal(err)
		}
		type told struct {
			list []int
			err  error
		}
		heard := make(chan told, 10)
		fut.OnDone(func(l []int, err error) { heard <- told{l, err} })
		for i := range f.count() {
			f.let(i)
		}
		if got := <-heard; got.err != nil || !slices.Equal(got.list, doubled(100)) {
			t.Errorf("%v", got)
		}
		bad.OnDone(func(l []int, err error) { heard <- told{l, err} })
		var me *queue.MapError
		if got := <-heard; !errors.As(got.err, &me) || me.Index != 1 || len(me.Failed) != 2 {
			t.Errorf("%v", got)
		}
		if len(heard) != 0 || fut.State() != queue.StateSucceeded || bad.State() != queue.StateDead {
			t.Errorf("%d callbacks too many; states %v, %v", len(heard), fut.State(), bad.State())
		}
	})
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += max(n, 1)
	}
	return total
}

func TestMapAsyncIsCancelledAsAWhole(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	fut, err := double.MapAsync(t.Context(), f, slices.Values(upTo(5)), queue.Chunk(2))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := fut.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
		t.Fatalf("%v, %v", r, err)
	}
	if _, err := fut.Result(); !errors.Is(err, queue.ErrCancelled) || fut.State() != queue.StateCancelled {
		t.Errorf("not done when Cancel has returned: %v, %v", err, fut.State())
	}
	if got := f.cancelled(); len(got) != 3 {
		t.Errorf("%d of 3 messages were cancelled", len(got))
	}
	if r, err := fut.Cancel(t.Context()); r != queue.CancelTooLate || err != nil {
		t.Errorf("again: %v, %v", r, err)
	}
	fut, err = double.MapAsync(t.Context(), f, slices.Values(upTo(5)), queue.Chunk(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := fut.Forget(t.Context()); err != nil || f.forgot != 3 || !errors.Is(fut.Err(), queue.ErrResultExpired) {
		t.Errorf("forgotten: %v, %d, %v", err, f.forgot, fut.Err())
	}
}

func TestAHandlerThatMapsTellsItsHost(t *testing.T) {
	for _, opts := range [][]queue.Option{nil, {queue.Chunk(3)}} {
		f := newFake(t, double.Handler(doubling))
		f.gate = true
		host := &fakeHost{forbid: queue.ErrWouldDeadlock}
		ctx := queue.WithRunning(t.Context(), queue.Running{Attempt: 1}, host)
		n := 0
		for _, err := range double.Map(ctx, f, slices.Values(upTo(6)), opts...) {
			if n++; !errors.Is(err, queue.ErrWouldDeadlock) {
				t.Errorf("%v", err)
			}
		}
		if n != 6 {
			t.Errorf("%d errors of 6", n)
		}
	}
	f := newFake(t, double.Handler(doubling))
	host := &fakeHost{}
	ctx := queue.WithRunning(t.Context(), queue.Running{Attempt: 1}, host)
	if _, err := double.MapAll(ctx, f, slices.Values(upTo(50))); err != nil || host.waits != 0 {
		t.Errorf("%v; %d waits are still under way", err, host.waits)
	}
}

func TestManyMapAllsAtOnce(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, err := double.MapAll(t.Context(), f, slices.Values(upTo(3000))); err != nil || !slices.Equal(got, doubled(3000)) {
				t.Error(fmt.Errorf("%d values: %w", len(got), err))
			}
		})
	}
	wg.Wait()
}

// A source may be slow: the end of ctx is noticed before its next argument.
func TestMapAllStopsPullingWhenItsContextEnds(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	ctx, cancel := context.WithCancel(t.Context())
	pulled := 0
	outs, err := double.MapAll(ctx, f, func(yield func(int) bool) {
		for pulled = 1; pulled < 1000; pulled++ {
			if pulled == 3 {
				cancel()
			}
			if !yield(pulled) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) || outs != nil || pulled != 3 {
		t.Errorf("%v, %v, %d pulled, want 3", outs, err, pulled)
	}
}

// What comes when nobody waits any more does not touch what the caller has.
func TestMapAllsValuesAreTheCallers(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate, f.bare = true, true
	ctx, cancel := context.WithCancel(t.Context())
	go func() { f.await(3); cancel() }()
	got, err := double.MapAll(ctx, f, slices.Values(upTo(30)), queue.Chunk(10))
	if !errors.Is(err, queue.ErrNotReady) {
		t.Fatal(err)
	}
	for i := range 3 {
		f.let(i)
	}
	f.running.Wait()
	for range 100 {
		for i, v := range got {
			if v != 0 {
				t.Fatalf("the value of item %d has become %d", i, v)
			}
		}
		time.Sleep(time.Millisecond / 10)
	}
}

func TestItemsOfAnyLength(t *testing.T) {
	echo := queue.NewTask[string, string]("echo")
	var texts []string
	for n := range 700 {
		texts = append(texts, strings.Repeat("x", n))
	}
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		f := fresh(echo.Handler(func(_ context.Context, s string) (string, error) { return s, nil }))
		for _, chunk := range []int{1, 7, 700} {
			got, err := echo.MapAll(t.Context(), f, slices.Values(texts), queue.Chunk(chunk))
			if err != nil || !slices.Equal(got, texts) {
				t.Errorf("in chunks of %d: %v", chunk, err)
			}
		}
	})
}
