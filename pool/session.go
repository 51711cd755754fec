package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// terminateWithin is how long Terminate waits for Redis and the workers to take
// notice, and dropWithin how long the pool goes on telling them: the tasks of a lost
// worker are taken over by then, unless its lease is longer than usual.
const (
	terminateWithin = time.Second
	dropWithin      = time.Minute
)

// Close makes the pool refuse further tasks, with [queue.ErrClosed]. All that it
// has accepted runs. It does not wait, and may be called again.
func (p *DistributedPool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.settle()
}

// Join waits until all the session's tasks have ended, wherever they run: for ever,
// if no worker serves their queue. On a pool that is still open it returns
// [queue.ErrPoolRunning] at once. ctx bounds the wait; the tasks go on if it ends
// early, and Join may be called again. A handler must not join the pool that its
// own task is of.
//
// After [DistributedPool.Terminate] it waits until each task is dropped or its worker
// has interrupted it, a minute at most. Its error then says why tasks may go on.
func (p *DistributedPool) Join(ctx context.Context) error {
	p.mu.Lock()
	open := !p.closed
	p.mu.Unlock()
	if err := join(ctx, open, p.done); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// Terminate ends the session without regard for its tasks: those that have not
// started never will, and the handlers of those that run are interrupted, with
// [queue.ErrCancelled] as the cause; see [queue.Interrupt]. Tasks on a stream go on,
// as they are every group's.
//
// Futures that wait have [queue.ErrTerminated] at once, whether Redis and the workers
// can be reached or not. Terminate then gives those a second to take notice;
// Join waits for longer. It may be called again.
func (p *DistributedPool) Terminate() {
	p.mu.Lock()
	p.closed, p.hurry, p.ended = true, true, true
	p.endLife()
	dropped := p.drop(p.unfinished())
	p.settle()
	p.mu.Unlock()
	wait := time.NewTimer(terminateWithin)
	defer wait.Stop()
	select {
	case <-dropped:
	case <-wait.C:
	}
}

// Shutdown is Close and Join. ctx bounds the wait only: the pool is closed, and
// what opts ask for is done, in any case, as soon as Redis can be reached. With
// [CancelPending] a task that runs is left alone: if it fails, it may be tried
// again. It may be called again.
func (p *DistributedPool) Shutdown(ctx context.Context, opts ...ShutdownOption) error {
	p.mu.Lock()
	p.closed = true
	if newShutdown(opts).cancel && !p.hurry {
		p.hurry = true
		p.begin(p.unfinished(), p.withdraw)
	}
	p.settle()
	p.mu.Unlock()
	return p.Join(ctx)
}

// unfinished are the promises of all that has not ended. p.mu is held.
func (p *DistributedPool) unfinished() []*queue.Promise {
	all := make([]*queue.Promise, 0, len(p.tasks))
	for promise := range p.tasks {
		all = append(all, promise)
	}
	return all
}

// drop fails the promises and has their tasks dropped or interrupted. p.mu is held.
func (p *DistributedPool) drop(promises []*queue.Promise) (dropped <-chan struct{}) {
	dropped = p.begin(promises, p.interrupt)
	if len(promises) > 0 {
		p.under++
		p.mu.Unlock() // a promise that is settled tells the pool
		for _, promise := range promises {
			promise.Fail(queue.ErrTerminated)
		}
		p.mu.Lock()
		p.under--
	}
	return dropped
}

// begin has do cancel the tasks of the promises, those on streams aside. ended is
// closed when it has. p.mu is held.
func (p *DistributedPool) begin(promises []*queue.Promise, do func([]*queue.Promise)) (ended <-chan struct{}) {
	c := make(chan struct{})
	some := make([]*queue.Promise, 0, len(promises))
	for _, promise := range promises {
		if promise.Group() == "" {
			some = append(some, promise)
		}
	}
	if len(some) == 0 {
		close(c)
		return c
	}
	p.under++
	go func() {
		defer close(c)
		do(some)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.under--
		p.settle()
	}()
	return c
}

// interrupt cancels tasks that nobody waits for any more, running or not.
func (p *DistributedPool) interrupt(promises []*queue.Promise) {
	ctx, stop := context.WithTimeout(context.Background(), dropWithin)
	defer stop()
	err := p.insist(ctx, promises, queue.Cancellation{Interrupt: true}, func() bool { return true })
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.left = fmt.Errorf("some tasks may go on: %w", err)
	}
}

// withdraw cancels those tasks that have not started.
func (p *DistributedPool) withdraw(promises []*queue.Promise) {
	_ = p.insist(p.life, promises, queue.Cancellation{}, func() bool { // else they end as tasks do
		for _, promise := range promises {
			if _, _, settled := promise.Outcome(); !settled {
				return true
			}
		}
		return false
	})
}

// insist cancels tasks, again and again if Redis cannot be asked, until that has
// worked, ctx is done, the client is closed or it is not wanted any more.
func (p *DistributedPool) insist(ctx context.Context, promises []*queue.Promise, how queue.Cancellation, wanted func() bool) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := p.client.Cancel(ctx, promises, how)
		if err == nil || errors.Is(err, queue.ErrClosed) || ctx.Err() != nil {
			return err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return err
		}
		if !wanted() {
			return nil
		}
	}
}
