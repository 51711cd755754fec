package run

import (
	"context"
	"sync/atomic"
	"time"
)

// Lifetime is the context of an attempt, without a deadline or values. Most handlers
// never ask theirs anything, and making one that can be cancelled takes as long as
// running a short task; so it is made when somebody asks. The zero Lifetime is good.
type Lifetime struct{ asked atomic.Pointer[cancellable] }

// End cancels the context. The first cause counts.
func (l *Lifetime) End(cause error) {
	if cause == nil && l.asked.CompareAndSwap(nil, finished) {
		return // whoever asks later need not know more
	}
	l.real().cancel(cause)
}

// real is the context that the lifetime stands for.
func (l *Lifetime) real() *cancellable {
	if c := l.asked.Load(); c != nil {
		return c
	}
	l.asked.CompareAndSwap(nil, newCancellable())
	return l.asked.Load()
}

// Deadline says that there is none.
func (l *Lifetime) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done is closed when the attempt must end.
func (l *Lifetime) Done() <-chan struct{} { return l.real().Done() }

// Err says whether it must.
func (l *Lifetime) Err() error {
	if c := l.asked.Load(); c != nil {
		return c.Err()
	}
	return nil
}

// Value finds what package context itself keeps in its contexts: the cause, and the
// way to those that are made from this one.
func (l *Lifetime) Value(key any) any { return l.real().Value(key) }

// cancellable is a context and the way to cancel it.
type cancellable struct {
	context.Context
	cancel context.CancelCauseFunc
}

func newCancellable() *cancellable {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &cancellable{ctx, cancel}
}

// finished is the context of all attempts that have ended before anybody asked.
var finished = func() *cancellable {
	c := newCancellable()
	c.cancel(nil)
	return c
}()
