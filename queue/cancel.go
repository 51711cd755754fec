package queue

import (
	"context"
	"fmt"
	"time"
)

// CancelResult is what became of the wish to cancel a task.
type CancelResult uint8

// What may become of the wish to cancel a task.
const (
	// CancelTooLate: the task has finished, or it runs and was not to be disturbed.
	// It goes on as if nothing had been asked.
	CancelTooLate CancelResult = iota
	// CancelBeforeStart: the task has not started and never will. Its future says
	// [ErrCancelled].
	CancelBeforeStart
	// CancelInterrupted: the task runs and was told to stop. How it ends, and when, is
	// the handler's affair; its future tells.
	CancelInterrupted
)

func (r CancelResult) String() string {
	switch r {
	case CancelBeforeStart:
		return "before start"
	case CancelInterrupted:
		return "interrupted"
	}
	return "too late"
}

// Cancellation says how far cancelling a task may go. The zero value leaves a task
// alone that has begun.
type Cancellation struct {
	Interrupt bool          // cancel the context of a handler that runs
	Kill      bool          // and after Grace kill the process it runs in
	Grace     time.Duration // for Kill
}

// CancelOption says how far [Future.Cancel] may go.
type CancelOption func(*Cancellation)

// Interrupt makes a cancellation reach a handler that runs: its context is
// cancelled, with [ErrCancelled] as the cause.
func Interrupt() CancelOption { return func(c *Cancellation) { c.Interrupt = true } }

// Kill is Interrupt, and a handler that has not ended after grace is killed with
// its process. Where handlers are goroutines, which nobody can kill, the
// cancellation is refused with [ErrNotKillable] and nothing happens.
func Kill(grace time.Duration) CancelOption {
	return func(c *Cancellation) { c.Interrupt, c.Kill, c.Grace = true, true, max(grace, 0) }
}

// Control is what an executor lets be done with tasks that it has accepted. Its
// methods are called concurrently.
type Control interface {
	// Cancel cancels the tasks of the promises, which are all this executor's.
	// results has an entry for each; those of tasks that could not be asked about
	// are CancelTooLate, and err says why. A promise whose task is cancelled before
	// it started is settled before Cancel returns.
	Cancel(ctx context.Context, ps []*Promise, how Cancellation) (results []CancelResult, err error)

	// Forget makes the executor let go of everything it keeps for the promise, the
	// task's kept outcome included. The promise, if it still waits, fails with
	// [ErrResultExpired].
	Forget(ctx context.Context, p *Promise) error
}

// Cancel calls the task off. Without options it only does so if the task has not
// started; see [Interrupt] and [Kill] for more.
//
// The decision is made once, where the task is: either it is cancelled and will
// never start, which it then says again to whoever asks, or it is too late. ctx
// bounds the wait for that decision; an error means that it is not known, and
// Cancel may be called again. Over Redis a worker that is up decides within
// milliseconds, one that cannot be reached at its next heartbeat.
func (f *Future[Out]) Cancel(ctx context.Context, opts ...CancelOption) (CancelResult, error) {
	var how Cancellation
	for _, o := range opts {
		o(&how)
	}
	if o, _, _ := f.p.Outcome(); o != nil {
		if o.State == StateCancelled && o.Attempt == 0 {
			return CancelBeforeStart, nil // the same answer as before
		}
		return CancelTooLate, nil
	}
	if f.p.control == nil {
		return CancelTooLate, fmt.Errorf("%w: the executor of task %s cannot cancel tasks", ErrOption, f.p.id)
	}
	r, err := f.p.control.Cancel(ctx, []*Promise{f.p}, how)
	if len(r) != 1 {
		return CancelTooLate, err
	}
	return r[0], err
}

// Forget says that nobody will ask for the outcome any more: the future, if it
// still waits, fails with [ErrResultExpired], and an outcome that is kept is
// dropped. The task itself goes on.
func (f *Future[Out]) Forget(ctx context.Context) error {
	if f.p.control == nil {
		f.p.Fail(fmt.Errorf("%w: forgotten", ErrResultExpired))
		return nil
	}
	return f.p.control.Forget(ctx, f.p)
}
