package conformance

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cenote-go/cenote/queue"
)

// callbackRows are about OnDone.
var callbackRows = []row{
	{"C39", "LPD", "OnDone sees the final state on success, error and cancel", func(b *bed) {
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
	{"C40", "LPD", "OnDone after the end fires once", func(b *bed) {
		f := submit(b, double, 1)
		value(b, f)
		var calls atomic.Int64
		f.OnDone(func(int, error) { calls.Add(1) })
		after := make(chan struct{})
		f.OnDone(func(int, error) { close(after) })
		wait(b, after)
		if calls.Load() != 1 {
			b.Errorf("%d calls", calls.Load())
		}
	}},
	{"C41", "LPD", "callbacks run in order; a stopped one does not", func(b *bed) {
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
		wait(b, done)
		if !slices.Equal(order, []int{1, 3}) {
			b.Errorf("order %v", order)
		}
	}},
	{"C42", "LPD", "a callback that panics is logged and takes nothing along", func(b *bed) {
		logged := b.captureLog()
		f := submit(b, double, 1)
		done := make(chan struct{})
		f.OnDone(func(int, error) { panic("a callback of a test") })
		f.OnDone(func(int, error) { close(done) })
		wait(b, done)
		if !strings.Contains(logged(), "a callback of a test") {
			b.Errorf("the log says %q", logged())
		}
		b.fine()
	}},
	{"C43", "LPD", "a callback that blocks delays no other future", func(b *bed) {
		release := make(chan struct{})
		defer close(release)
		entered := make(chan struct{})
		submit(b, double, 1).OnDone(func(int, error) { close(entered); <-release })
		wait(b, entered)
		b.fine()
	}},
	{"C44", "LPD", "Submit and Get from a callback", func(b *bed) {
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
}
