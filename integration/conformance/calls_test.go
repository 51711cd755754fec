package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// callRows are about submitting one task and waiting for it.
var callRows = []row{
	{"C01", "LPD", "Call returns the handler's value", func(b *bed) {
		if got := must[int](b)(double.Call(b.ctx, b.x, 21)); got != 42 {
			b.Errorf("value %d", got)
		}
	}},
	{"C02", "LPD", "Submit returns before the task ends, Get waits for it", func(b *bed) {
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
	{"C03", "LPD", "a Get that ctx ends says so, and the task goes on", func(b *bed) {
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
	{"C04", "LPD", "that error is also what ended ctx; a remote timeout never is", func(b *bed) {
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
	{"C05", "LPD", "a deadline is a Get's, not the submission's", func(b *bed) {
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
}
