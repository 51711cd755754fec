package pool

import (
	"context"
	"fmt"

	"github.com/cenote-go/cenote/queue"
)

// Close makes the pool refuse further tasks, with [queue.ErrClosed]. All that it
// has accepted runs, delayed tasks and retries at their time. It does not wait,
// and may be called again.
func (p *LocalPool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.madeRoom() // who waits for room has to hear of it
	p.settle()
}

// Join waits until all that was accepted has ended and the pool's goroutines are
// gone. On a pool that is still open it returns [queue.ErrPoolRunning] at once. ctx
// bounds the wait; the pool goes on if it ends early, and Join may be called again.
// It must not be called by a handler of the pool.
func (p *LocalPool) Join(ctx context.Context) error {
	p.mu.Lock()
	open := !p.closed
	p.mu.Unlock()
	return join(ctx, open, p.done)
}

// join waits until a pool that is not open any more is done.
func join(ctx context.Context, open bool, done <-chan struct{}) error {
	if open {
		return fmt.Errorf("%w: Close it before Join", queue.ErrPoolRunning)
	}
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the pool still works: %w", ctx.Err())
	}
}

// Terminate ends the pool without regard for what it has accepted: tasks that have
// not started never will, the contexts of handlers that run are cancelled with
// [queue.ErrTerminated] as the cause, and every future that waits has
// [queue.ErrTerminated] when Terminate returns. It does not wait for the handlers;
// Join does. It may be called again.
func (p *LocalPool) Terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.hurry = true, true
	p.endLife(queue.ErrTerminated)
	p.unbegun(func(t *task) {
		t.promise.Fail(queue.ErrTerminated)
		t.keep = 0
		p.finish(t)
	})
	for t := p.running.first; t != nil; t = t.next {
		t.promise.Fail(queue.ErrTerminated)
		t.turn.life.End(queue.ErrTerminated)
	}
	for t := p.sent.first; t != nil; t = t.next {
		t.promise.Fail(queue.ErrTerminated) // a child has begun it
	}
	p.welcome()
	p.settle()
}

// ShutdownOption is for the pools' Shutdown.
type ShutdownOption func(*shutdown)

type shutdown struct{ cancel bool }

func newShutdown(opts []ShutdownOption) shutdown {
	var s shutdown
	for _, o := range opts {
		o(&s)
	}
	return s
}

// CancelPending makes Shutdown cancel the tasks that have not started, and those
// that wait to be tried again.
func CancelPending() ShutdownOption { return func(s *shutdown) { s.cancel = true } }

// Shutdown is Close and Join. ctx bounds the wait only: the pool is closed, and
// what opts ask for is done, in any case. It may be called again.
func (p *LocalPool) Shutdown(ctx context.Context, opts ...ShutdownOption) error {
	p.Close()
	if newShutdown(opts).cancel {
		p.mu.Lock()
		p.hurry = true
		p.unbegun(p.callOff)
		p.mu.Unlock()
	}
	return p.Join(ctx)
}

// Resize sets how many tasks run at once, at least 1. Tasks that run are not
// disturbed: a smaller pool starts no new ones until enough have ended.
func (p *LocalPool) Resize(n int) error {
	if n < 1 {
		return fmt.Errorf("%w: a pool of %d workers; give it at least 1", queue.ErrOption, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = n
	for len(p.idle) > 0 && len(p.idle)+p.held > n {
		last := len(p.idle) - 1
		p.idle[last].wake <- false
		p.idle[last] = nil
		p.idle = p.idle[:last]
	}
	p.spread()
	return nil
}
