package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// row is one behaviour.
type row struct {
	name  string
	on    string // the executors it is run on
	about string
	test  func(b *bed)
}

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

// canceller is what every future can.
type canceller interface {
	Cancel(context.Context, ...queue.CancelOption) (queue.CancelResult, error)
}

func cancels(b *bed, f canceller, want queue.CancelResult, opts ...queue.CancelOption) {
	b.Helper()
	got, err := f.Cancel(b.ctx, opts...)
	if err != nil || got != want {
		b.Errorf("Cancel says %v, %v; want %v", got, err, want)
	}
}

func is(b *bed, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("error %v, want %v", err, want)
	}
}

var rows = []row{
	{"C01", "LD", "Call returns the handler's value", func(b *bed) {
		if got := must[int](b)(double.Call(b.ctx, b.x, 21)); got != 42 {
			b.Errorf("value %d", got)
		}
	}},
	{"C02", "LD", "Submit returns before the task ends, Get waits for it", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		if _, err := f.Result(); !errors.Is(err, queue.ErrNotReady) {
			b.Errorf("Result says %v", err)
		}
		d.open()
		if got := value(b, f); got != 7 {
			b.Errorf("value %d", got)
		}
	}},
	{"C03", "LD", "a Get that ctx ends says so, and the task goes on", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		short, cancel := context.WithTimeout(b.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := f.Get(short)
		is(b, err, queue.ErrNotReady)
		d.open()
		if got := value(b, f); got != 7 {
			b.Errorf("value %d", got)
		}
	}},
	{"C04", "LD", "that error is also what ended ctx; a remote timeout never is", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		short, cancel := context.WithTimeout(b.ctx, 10*time.Millisecond)
		defer cancel()
		_, err := f.Get(short)
		is(b, err, context.DeadlineExceeded)
		gone, quit := context.WithCancel(b.ctx)
		quit()
		_, err = f.Get(gone)
		is(b, err, context.Canceled)
		d.open()
		value(b, f)
		_, err = gated.Call(b.ctx, b.x, newDoor(b).dir, queue.Timeout(20*time.Millisecond))
		is(b, err, queue.ErrTimeout)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrNotReady) {
			b.Errorf("the remote timeout looks like one of this side: %v", err)
		}
	}},
	{"C05", "LD", "a deadline is a Get's, not the submission's", func(b *bed) {
		var fs []*queue.Future[int]
		for i := range 3 * workers {
			fs = append(fs, submit(b, sleep, nap{50 * time.Millisecond, i}))
		}
		for i, f := range fs {
			ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
			if got, err := f.Get(ctx); err != nil || got != i {
				b.Errorf("value %d, %v", got, err)
			}
			cancel()
		}
	}},
	{"C19", "LD", "never more at once than there are slots", func(b *bed) {
		dir := b.TempDir()
		var most int
		for got, err := range crowded.Map(b.ctx, b.x, slices.Values(slices.Repeat([]string{dir}, 60)), queue.Chunk(1)) {
			most = max(most, must[int](b)(got, err))
		}
		if most > workers || most < 2 {
			b.Errorf("%d at once on %d slots", most, workers)
		}
	}},
	{"C21", "LD", "MapAll keeps the order under random delays", func(b *bed) {
		ins := make([]nap, 40)
		for i := range ins {
			ins[i] = nap{time.Duration(i*7%5) * time.Millisecond, i}
		}
		got := must[[]int](b)(sleep.MapAll(b.ctx, b.x, slices.Values(ins), queue.Chunk(1)))
		if !slices.IsSorted(got) || len(got) != 40 {
			b.Errorf("values %v", got)
		}
	}},
	{"C22", "LD", "MapAll equals serial for any chunk", func(b *bed) {
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
	{"C23", "LD", "a chunk below 1 is refused and nothing submitted", func(b *bed) {
		for _, n := range []int{0, -1} {
			_, err := double.MapAll(b.ctx, b.x, numbers(3), queue.Chunk(n))
			is(b, err, queue.ErrOption)
		}
	}},
	{"C25", "LD", "an empty input ends at once", func(b *bed) {
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
	{"C26", "LD", "OnDone fires for an empty MapAsync", func(b *bed) {
		called := make(chan struct{})
		f := must[*queue.Future[[]int]](b)(double.MapAsync(b.ctx, b.x, numbers(0)))
		f.OnDone(func([]int, error) { close(called) })
		select {
		case <-called:
		case <-b.ctx.Done():
			b.Error("never called")
		}
	}},
	{"C27", "LD", "one failing item: MapAll waits for all and names the lowest", func(b *bed) {
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
	{"C28", "LD", "FailFast cancels what was not sent and interrupts what runs", func(b *bed) {
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
	{"C29", "LD", "an item's error does not touch its neighbours in the chunk", func(b *bed) {
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
	{"C30", "LD", "Map goes on after an item's error, whatever the chunk", func(b *bed) {
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
	{"C31", "LD", "MapUnordered yields all, the first finished first", func(b *bed) {
		ins := []nap{{400 * time.Millisecond, 0}, {0, 1}, {0, 2}}
		var got []int
		for v, err := range sleep.MapUnordered(b.ctx, b.x, slices.Values(ins), queue.Chunk(1)) {
			got = append(got, must[int](b)(v, err))
		}
		if len(got) != 3 || got[2] != 0 {
			b.Errorf("values %v", got)
		}
	}},
	{"C32", "LD", "a source that fails after k items: k results, then its error", func(b *bed) {
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
	{"C33", "LD", "a panic in the source comes out of the loop", func(b *bed) {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "boom") {
				b.Errorf("recovered %v", p)
			}
		}()
		for range double.Map(b.ctx, b.x, func(yield func(int) bool) { yield(1); panic("boom") }) {
		}
		b.Error("no panic")
	}},
	{"C34", "LD", "at most the window is pulled ahead", func(b *bed) {
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
	{"C35", "LD", "break ends an endless Map", func(b *bed) {
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
	{"C36", "LD", "the deadline of a Map counts from the start of the loop", func(b *bed) {
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
	{"C37", "LD", "MapAsync submits though nobody looks", func(b *bed) {
		d := newDoor(b)
		f := must[*queue.Future[[]int]](b)(gated.MapAsync(b.ctx, b.x, slices.Values([]string{d.dir, d.dir}), queue.Chunk(1)))
		d.await(2)
		d.open()
		value(b, f)
	}},
	{"C38", "LD", "MapAsync: one list, one callback, one error", func(b *bed) {
		var calls atomic.Int64
		ok := must[*queue.Future[[]int]](b)(double.MapAsync(b.ctx, b.x, numbers(10)))
		done := make(chan struct{})
		ok.OnDone(func(v []int, err error) {
			if calls.Add(1); err != nil || !slices.Equal(v, doubled(10)) {
				b.Errorf("callback got %v, %v", v, err)
			}
			close(done)
		})
		b.wait(done)
		bad := must[*queue.Future[[]int]](b)(evens.MapAsync(b.ctx, b.x, numbers(4)))
		_, err := bad.Get(b.ctx)
		is(b, err, errOdd)
		if calls.Load() != 1 {
			b.Errorf("%d calls", calls.Load())
		}
	}},
	{"C39", "LD", "OnDone sees the final state on success, error and cancel", func(b *bed) {
		held := b.occupy()
		waiting := submit(b, double, 1)
		var wg sync.WaitGroup
		seen := func(f *queue.Future[int], want queue.State) {
			wg.Add(1)
			f.OnDone(func(int, error) {
				defer wg.Done()
				if got := f.State(); got != want {
					b.Errorf("state %v, want %v", got, want)
				}
			})
		}
		seen(waiting, queue.StateCancelled)
		cancels(b, waiting, queue.CancelBeforeStart)
		held.open()
		seen(submit(b, double, 1), queue.StateSucceeded)
		seen(submit(b, evens, 1), queue.StateDead)
		wg.Wait()
	}},
	{"C40", "LD", "OnDone after the end fires once", func(b *bed) {
		f := submit(b, double, 1)
		value(b, f)
		var calls atomic.Int64
		f.OnDone(func(int, error) { calls.Add(1) })
		after := make(chan struct{})
		f.OnDone(func(int, error) { close(after) })
		b.wait(after)
		if calls.Load() != 1 {
			b.Errorf("%d calls", calls.Load())
		}
	}},
	{"C41", "LD", "callbacks run in order; a stopped one does not", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		var order []int
		done := make(chan struct{})
		f.OnDone(func(int, error) { order = append(order, 1) })
		stop := f.OnDone(func(int, error) { order = append(order, 2) })
		f.OnDone(func(int, error) { order = append(order, 3) })
		f.OnDone(func(int, error) { close(done) })
		if !stop() || stop() {
			b.Error("stop says that it was too late, or that it stopped twice")
		}
		d.open()
		b.wait(done)
		if !slices.Equal(order, []int{1, 3}) {
			b.Errorf("order %v", order)
		}
	}},
	{"C42", "LD", "a callback that panics takes nothing along", func(b *bed) {
		f := submit(b, double, 1)
		done := make(chan struct{})
		f.OnDone(func(int, error) { panic("a callback of a test") })
		f.OnDone(func(int, error) { close(done) })
		b.wait(done)
		b.fine()
	}},
	{"C43", "LD", "a callback that blocks delays no other future", func(b *bed) {
		release := make(chan struct{})
		defer close(release)
		entered := make(chan struct{})
		submit(b, double, 1).OnDone(func(int, error) { close(entered); <-release })
		b.wait(entered)
		b.fine()
	}},
	{"C44", "LD", "Submit and Get from a callback", func(b *bed) {
		got := make(chan int, 1)
		submit(b, double, 1).OnDone(func(n int, _ error) {
			v, err := double.Call(b.ctx, b.x, n)
			if err != nil {
				b.Error(err)
			}
			got <- v
		})
		select {
		case v := <-got:
			if v != 4 {
				b.Errorf("value %d", v)
			}
		case <-b.ctx.Done():
			b.Error("the callback does not end")
		}
	}},
	{"C45", "LD", "a task cancelled before it starts never runs", func(b *bed) {
		held := b.occupy()
		d := newDoor(b)
		d.open()
		f := d.submit()
		cancels(b, f, queue.CancelBeforeStart)
		select {
		case <-f.Done():
		default:
			b.Error("not done at once")
		}
		_, err := f.Get(b.ctx)
		is(b, err, queue.ErrCancelled)
		held.open()
		b.fine()
		if d.runs() != 0 {
			b.Error("it ran")
		}
	}},
	{"C46", "LD", "Cancel leaves a running task alone", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		d.await(1)
		cancels(b, f, queue.CancelTooLate)
		d.open()
		if got := value(b, f); got != 7 {
			b.Errorf("value %d", got)
		}
	}},
	{"C47", "LD", "Cancel(Interrupt) cancels the handler's context, with its cause", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		d.await(1)
		cancels(b, f, queue.CancelInterrupted, queue.Interrupt())
		_, err := f.Get(b.ctx)
		is(b, err, queue.ErrCancelled)
		if !d.has("cancelled") {
			b.Error("the handler saw another cause")
		}
	}},
	{"C49", "LD", "Cancel of a finished task is too late, twice", func(b *bed) {
		f := submit(b, double, 2)
		value(b, f)
		cancels(b, f, queue.CancelTooLate)
		cancels(b, f, queue.CancelTooLate, queue.Interrupt())
		if got := value(b, f); got != 4 {
			b.Errorf("value %d", got)
		}
	}},
	{"C52", "LD", "Wait for all, the first, the first error", func(b *bed) {
		d := newDoor(b)
		slow := d.submit()
		quick := submit(b, double, 1)
		done, pending, err := queue.Wait(b.ctx, queue.FirstCompleted, slow, quick)
		if err != nil || len(done) != 1 || done[0].ID() != quick.ID() || len(pending) != 1 {
			b.Errorf("FirstCompleted: %d done, %d pending, %v", len(done), len(pending), err)
		}
		bad := submit(b, evens, 1)
		done, pending, err = queue.Wait(b.ctx, queue.FirstError, slow, quick, bad)
		if err != nil || len(done) != 2 || len(pending) != 1 {
			b.Errorf("FirstError: %d done, %d pending, %v", len(done), len(pending), err)
		}
		d.open()
		done, pending, err = queue.Wait(b.ctx, queue.AllCompleted, slow, quick, bad)
		if err != nil || len(done) != 3 || len(pending) != 0 {
			b.Errorf("AllCompleted: %d done, %d pending, %v", len(done), len(pending), err)
		}
	}},
	{"C54", "LD", "a Wait that ctx ends loses no future; duplicates collapse", func(b *bed) {
		d := newDoor(b)
		slow, quick := d.submit(), submit(b, double, 1)
		value(b, quick)
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Millisecond)
		defer cancel()
		done, pending, err := queue.Wait(ctx, queue.AllCompleted, slow, quick, slow, quick)
		if len(done) != 1 || len(pending) != 1 {
			b.Errorf("%d done, %d pending", len(done), len(pending))
		}
		is(b, err, context.DeadlineExceeded)
		d.open()
	}},
	{"C55", "LD", "a cancelled future counts as done", func(b *bed) {
		b.occupy()
		f := submit(b, double, 1)
		cancels(b, f, queue.CancelBeforeStart)
		done, pending, err := queue.Wait(b.ctx, queue.AllCompleted, f)
		if err != nil || len(done) != 1 || len(pending) != 0 {
			b.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
		}
	}},
	{"C56", "LD", "AsCompleted: as they end, each once", func(b *bed) {
		d := newDoor(b)
		slow, quick := d.submit(), submit(b, double, 1)
		var got []queue.TaskID
		for f, err := range queue.AsCompleted(b.ctx, slow, quick, slow) {
			if err != nil {
				b.Fatal(err)
			}
			got = append(got, f.ID())
			d.open()
		}
		if !slices.Equal(got, []queue.TaskID{quick.ID(), slow.ID()}) {
			b.Errorf("order %v", got)
		}
	}},
	{"C57", "LD", "AsCompleted says how many are unfinished", func(b *bed) {
		d := newDoor(b)
		fs := []queue.Waitable{d.submit(), d.submit(), submit(b, double, 1), submit(b, double, 2)}
		ctx, cancel := context.WithTimeout(b.ctx, 500*time.Millisecond)
		defer cancel()
		var last error
		for _, err := range queue.AsCompleted(ctx, fs...) {
			last = err
		}
		d.open()
		if last == nil || !strings.Contains(last.Error(), "2 of 4 unfinished") {
			b.Errorf("error %v", last)
		}
	}},
	{"C60", "LD", "errors keep their text, sentinel, type and stack", func(b *bed) {
		_, err := evens.Call(b.ctx, b.x, 3)
		if is(b, err, errOdd); err.Error() != "item 3: odd" {
			b.Errorf("text %q", err)
		}
		_, err = evens.Call(b.ctx, b.x, 2000)
		var big *tooBig
		if !errors.As(err, &big) || big.N != 2000 {
			b.Errorf("error %v", err)
		}
		_, err = panics.Call(b.ctx, b.wire, "where")
		var te *queue.TaskError
		if !errors.As(err, &te) || !strings.Contains(te.Stack, "tasks_test.go") {
			b.Errorf("the stack does not show the handler: %v", err)
		}
	}},
	{"C63", "LD", "a panic is ErrPanic; the worker lives", func(b *bed) {
		_, err := panics.Call(b.ctx, b.x, "ouch")
		if is(b, err, queue.ErrPanic); !strings.Contains(err.Error(), "ouch") {
			b.Errorf("text %q", err)
		}
		b.fine()
	}},
	{"C64", "LD", "runtime.Goexit is an error and costs no slot", func(b *bed) {
		for range 2 * workers {
			_, err := exits.Call(b.ctx, b.x, 1)
			is(b, err, queue.ErrExited)
		}
		b.fine()
	}},
	{"C69", "LD", "an argument that cannot be encoded is refused at once", func(b *bed) {
		_, err := unsent.Submit(b.ctx, b.wire, deaf{C: make(chan int)})
		is(b, err, queue.ErrEncode)
		b.fine()
	}},
	{"C71", "LD", "a value that cannot be encoded is an error, 20 times", func(b *bed) {
		for range 20 {
			_, err := mute.Call(b.ctx, b.wire, 1)
			if is(b, err, queue.ErrEncode); !strings.Contains(err.Error(), "deaf") {
				b.Errorf("the type is not named: %v", err)
			}
		}
		b.fine()
	}},
	{"C72", "D", "a value that this side cannot decode spoils nothing else", func(b *bed) {
		_, err := wrong.Call(b.ctx, b.x, 1)
		is(b, err, queue.ErrDecode)
		b.fine()
	}},
	{"C73", "LD", "a callback gets the typed error", func(b *bed) {
		got := make(chan error)
		submit(b, evens, 1).OnDone(func(_ int, err error) { got <- err })
		is(b, <-got, errOdd)
	}},
	{"C97", "D", "one ID twice runs once, and both futures get the value", func(b *bed) {
		d := newDoor(b)
		f := submit(b, gated, d.dir, queue.ID("only-once"))
		g := submit(b, gated, d.dir, queue.ID("only-once"))
		d.open()
		if value(b, f) != 7 || value(b, g) != 7 || d.runs() != 1 {
			b.Errorf("%d runs", d.runs())
		}
	}},
}
