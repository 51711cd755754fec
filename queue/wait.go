package queue

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Waitable is a future of any type: each *[Future] is one.
type Waitable interface {
	ID() TaskID
	Done() <-chan struct{}
	Err() error
	State() State

	promise() *Promise
}

func (f *Future[Out]) promise() *Promise {
	if f == nil {
		return nil
	}
	return f.p
}

// WaitMode says what [Wait] waits for.
type WaitMode uint8

// What Wait may wait for.
const (
	AllCompleted   WaitMode = iota // until all are done
	FirstCompleted                 // until one is done
	FirstError                     // until one has failed, or all are done
)

// Wait waits until as many of the futures are done as mode says, or ctx is, and
// returns those that are and those that are not, in the order of the arguments. A
// future that was cancelled is done, and has failed. Futures that are given twice
// count once, nil ones not at all; they may be of several executors and types.
//
// The error is nil, or [ErrNotReady] with what ended ctx, or [ErrWouldDeadlock] in a
// handler. The futures are as good as before.
func Wait(ctx context.Context, mode WaitMode, futures ...Waitable) (done, pending []Waitable, err error) {
	all := distinct(futures)
	if mode == AllCompleted {
		for _, f := range all {
			if err = waitFor(ctx, f.promise(), f.Done()); err != nil {
				break
			}
		}
	} else {
		err = waitFirst(ctx, mode, all)
	}
	for _, f := range all {
		if isDone(f) {
			done = append(done, f)
		} else {
			pending = append(pending, f)
		}
	}
	switch {
	case len(pending) == 0:
		err = nil
	case err != nil && ctx.Err() != nil:
		err = unfinished(ctx, len(pending), len(all))
	}
	return done, pending, err
}

// waitFirst waits for the first one that is done, or has failed.
func waitFirst(ctx context.Context, mode WaitMode, all []Waitable) error {
	enough := func(f Waitable) bool { return mode == FirstCompleted || f.Err() != nil }
	var pending []Waitable
	for _, f := range all {
		if !isDone(f) {
			pending = append(pending, f)
		} else if enough(f) {
			return nil
		}
	}
	ended, quit := watch(pending)
	defer quit()
	for range pending {
		i, err := nextOf(ctx, pending, ended)
		if err != nil {
			return err
		}
		f := pending[i]
		pending[i] = nil
		if enough(f) {
			return nil
		}
	}
	return nil
}

// AsCompleted yields the futures as they become done: first those that are, in the
// order of the arguments. A future that is given twice is yielded once, a nil one
// never; they may be of several executors and types. When ctx ends first, it yields
// one last error, [ErrNotReady] with what ended ctx, that says how many are
// unfinished; in a handler that may be [ErrWouldDeadlock].
//
// Nothing is kept of a future that was yielded, so ranging a second time yields
// those that are left.
func AsCompleted(ctx context.Context, futures ...Waitable) iter.Seq2[Waitable, error] {
	left := distinct(futures)
	total := len(left)
	return func(yield func(Waitable, error) bool) {
		left = slices.DeleteFunc(left, func(f Waitable) bool { return f == nil })
		n := 0
		for i := range left {
			if !isDone(left[i]) {
				n++
			} else if !yield(take(left, i), nil) {
				return
			}
		}
		ended, quit := watch(left)
		defer quit()
		for ; n > 0; n-- {
			i, err := nextOf(ctx, left, ended)
			if err != nil {
				if ctx.Err() != nil {
					err = unfinished(ctx, n, total)
				}
				yield(nil, err)
				return
			}
			if !yield(take(left, i), nil) {
				return
			}
		}
	}
}

// take takes one out.
func take(left []Waitable, i int) Waitable {
	f := left[i]
	left[i] = nil
	return f
}

// Gather waits for all the futures and returns their values in the order of the
// arguments. If some have none, the error is a [*MapError] and the others' values
// are there; those that were not done when ctx ended have [ErrNotReady], and a
// nil future, which is a task that was not accepted, [ErrOption].
func Gather[T any](ctx context.Context, futures ...*Future[T]) ([]T, error) {
	outs, failed := make([]T, len(futures)), map[int]error{}
	for i, f := range futures {
		if f == nil {
			failed[i] = fmt.Errorf("%w: the future is nil", ErrOption)
			continue
		}
		out, err := f.Get(ctx)
		if err != nil {
			failed[i] = err
			continue
		}
		outs[i] = out
	}
	return outs, newMapError(failed, len(futures), false)
}

// distinct leaves out what is nil or was there before.
func distinct(futures []Waitable) []Waitable {
	seen := make(map[*Promise]bool, len(futures))
	all := make([]Waitable, 0, len(futures))
	for _, f := range futures {
		if f == nil {
			continue
		}
		if p := f.promise(); p != nil && !seen[p] {
			seen[p] = true
			all = append(all, f)
		}
	}
	return all
}

func isDone(f Waitable) bool {
	return f.promise().settled()
}

func unfinished(ctx context.Context, left, total int) error {
	return fmt.Errorf("%w: %d of %d unfinished: %w", ErrNotReady, left, total, ctx.Err())
}

// waitFor waits for c, or for ctx. A handler may only do so if its pool can go on
// meanwhile; p is what it waits for.
func waitFor(ctx context.Context, p *Promise, c <-chan struct{}) error {
	release, err := hold(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold tells the host, if there is one, that its handler waits for p.
func hold(ctx context.Context, p *Promise) (release func(), err error) {
	r := hostOf(ctx)
	if p.settled() || r == nil || r.host == nil {
		return func() {}, nil
	}
	return r.host.Wait(p)
}

// watch sends the positions of futures as they become done, until quit. It keeps
// nothing else of them.
func watch(futures []Waitable) (ended <-chan int, quit func()) {
	c, over := make(chan int, len(futures)), make(chan struct{})
	for i, f := range futures {
		if f == nil {
			continue
		}
		done := f.Done()
		go func() {
			select {
			case <-done:
				c <- i
			case <-over:
			}
		}()
	}
	return c, func() { close(over) }
}

// nextOf waits for the next one.
func nextOf(ctx context.Context, futures []Waitable, ended <-chan int) (int, error) {
	select {
	case i := <-ended:
		return i, nil
	default:
	}
	if hostOf(ctx) != nil {
		waits := func(f Waitable) bool { return f != nil && !isDone(f) }
		if i := slices.IndexFunc(futures, waits); i >= 0 { // one speaks for all: it is one wait
			release, err := hold(ctx, futures[i].promise())
			if err != nil {
				return 0, err
			}
			defer release()
		}
	}
	select {
	case i := <-ended:
		return i, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
