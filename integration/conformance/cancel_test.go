package conformance

import (
	"github.com/cenote-go/cenote/queue"
)

// cancelRows are about Cancel.
var cancelRows = []row{
	{"C45", "LPD", "a task cancelled before it starts never runs", func(b *bed) {
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
	{"C46", "LPD", "Cancel leaves a running task alone", func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		d.await(1)
		cancels(b, f, queue.CancelTooLate)
		d.open()
		if got := value(b, f); got != 7 {
			b.Errorf("value %d", got)
		}
	}},
	{"C47", "LPD", "Cancel(Interrupt) cancels the handler's context, with its cause", func(b *bed) {
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
	{"C48", "LP", "Kill ends a busy loop in a child; a goroutine cannot be killed", by{"P": killKid, "L": func(b *bed) {
		d := newDoor(b)
		f := d.submit()
		d.await(1)
		_, err := f.Cancel(b.ctx, queue.Kill(0))
		is(b, err, queue.ErrNotKillable)
		d.open()
		if got := value(b, f); got != 7 {
			b.Errorf("value %d", got)
		}
	}}.test},
	{"C49", "LPD", "Cancel of a finished task is too late, twice", func(b *bed) {
		f := submit(b, double, 2)
		value(b, f)
		cancels(b, f, queue.CancelTooLate)
		cancels(b, f, queue.CancelTooLate, queue.Interrupt())
		if got := value(b, f); got != 4 {
			b.Errorf("value %d", got)
		}
	}},
	{"C50", "LPD", "a task that a worker holds ready can be cancelled", func(b *bed) {
		must[[]int](b)(double.MapAll(b.ctx, b.x, numbers(2000), queue.Chunk(1))) // short tasks are held ready
		held, never := b.occupy(), newDoor(b)
		never.open()
		for _, f := range never.submitN(20) {
			cancels(b, f, queue.CancelBeforeStart)
			fails(b, f, queue.ErrCancelled)
		}
		held.open()
		b.fine()
		if n := never.runs(); n != 0 {
			b.Errorf("%d ran", n)
		}
	}},
}
