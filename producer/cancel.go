package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var _ queue.Control = (*Client)(nil)

// askSoon is how long a worker may take to answer before it is asked again, the
// first time; then twice as long, and askAgain at most. A task that has ended, but of
// which Redis does not know yet, is not answered about.
const (
	askSoon  = 20 * time.Millisecond
	askAgain = time.Second
)

// Cancel calls tasks of list queues off; see [queue.Future.Cancel]. Tasks that wait
// cost a round trip a thousand. A stream's task is every group's: it is refused with
// [queue.ErrOption]. [queue.Kill] needs a worker with child processes (consumer.Config.Processes):
// a task that runs on another one is left alone, and the error is [queue.ErrNotKillable]. An
// error about some of the tasks does not keep the others from being cancelled.
func (c *Client) Cancel(ctx context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	results := make([]queue.CancelResult, len(ps))
	if c.isClosed() {
		return results, errClosed
	}
	at := map[place][]int{}
	kinds := map[string]error{}
	var errs []error
	for i, p := range ps {
		if o, _, _ := p.Outcome(); o != nil {
			continue
		}
		refused, known := kinds[p.Queue()]
		if !known {
			refused = c.cancellable(ctx, p.Queue())
			kinds[p.Queue()] = refused
			errs = append(errs, refused)
		}
		if refused == nil {
			where := place{p.Queue(), p.ID().Partition()}
			at[where] = append(at[where], i)
		}
	}
	var asks sync.WaitGroup
	var mu sync.Mutex
	for where, left := range at {
		asks.Go(func() {
			err := c.cancelAt(ctx, where, ps, left, how, results)
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	asks.Wait()
	return results, errors.Join(errs...)
}

// cancellable returns why the tasks of the queue cannot be cancelled, if so.
func (c *Client) cancellable(ctx context.Context, name string) error {
	c.mu.Lock()
	l, ok := c.layouts[name]
	c.mu.Unlock()
	if !ok {
		var err error
		if l, _, err = c.store.Lookup(ctx, name); err != nil {
			return err
		}
	}
	if l.Kind == queue.KindStream {
		return fmt.Errorf("%w: %q is a stream, whose tasks are every group's and cannot be cancelled", queue.ErrOption, name)
	}
	return nil
}

// cancelAt asks about the promises ps[left...], which are of one partition, until
// all is decided or ctx is done. What is heard of an answer only makes it ask sooner.
func (c *Client) cancelAt(ctx context.Context, at place, ps []*queue.Promise, left []int, how queue.Cancellation, results []queue.CancelResult) error {
	token, heard, done, err := c.mail.ask(ctx, at, how)
	if err != nil {
		return err
	}
	defer done()
	deaf := 0
	patience := askSoon
	again := time.NewTimer(patience)
	defer again.Stop()
	for {
		var wait []int
		for some := range slices.Chunk(left, store.MaxBatch) {
			ids := make([]queue.TaskID, len(some))
			for k, i := range some {
				ids[k] = ps[i].ID()
			}
			answers, err := c.store.Cancel(ctx, at.queue, at.partition, token, how, ids)
			if err != nil {
				return err
			}
			for k, i := range some {
				switch answers[k] {
				case store.AnswerWait:
					wait = append(wait, i)
				case store.AnswerStopped:
					results[i] = queue.CancelInterrupted
				case store.AnswerDeaf:
					deaf++
				case store.AnswerBefore:
					results[i] = queue.CancelBeforeStart
					o := queue.Failure(ids[k], queue.StateCancelled, 0, queue.ErrCancelled)
					c.mail.deliver(o)
					ps[i].Resolve(o)
				}
			}
		}
		if left = wait; len(left) == 0 {
			if deaf > 0 {
				return fmt.Errorf("%w: %d tasks run as goroutines of their worker; give it Config.Processes, or use queue.Interrupt", queue.ErrNotKillable, deaf)
			}
			return nil
		}
		again.Reset(patience)
		select {
		case <-heard:
		case <-again.C:
			patience = min(2*patience, askAgain)
		case <-ctx.Done():
			return fmt.Errorf("no answer from the workers of queue %q to whether %d tasks are cancelled: %w", at.queue, len(left), ctx.Err())
		case <-c.mail.ctx.Done():
			return errClosed
		}
	}
}

// Forget drops the task's outcome, if it is kept by now, and fails the promise, if
// it still waits, with [queue.ErrResultExpired]. After an error the promise waits on.
func (c *Client) Forget(ctx context.Context, p *queue.Promise) error {
	if err := c.store.Forget(ctx, p.Queue(), p.ID()); err != nil {
		return err
	}
	err := fmt.Errorf("%w: task %s was forgotten", queue.ErrResultExpired, p.ID())
	c.mail.drop(p.ID(), err)
	p.Fail(err)
	return nil
}

// ask makes the token of a new question to the workers of a partition. heard gets a
// value when one of them has answered; done ends the question.
func (m *mailbox) ask(ctx context.Context, at place, how queue.Cancellation) (token string, heard <-chan struct{}, done func(), err error) {
	if err := m.subscribe(ctx, at); err != nil {
		return "", nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	token = store.Token(m.addr, m.asked, how)
	news := make(chan struct{}, 1)
	m.asks[token] = news
	return token, news, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.asks, token)
	}, nil
}

// answered wakes who asked.
func (m *mailbox) answered(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case m.asks[token] <- struct{}{}: // nobody is there: a nil channel
	default:
	}
}

// drop fails the promise of a task that nobody will ask for any more.
func (m *mailbox) drop(id queue.TaskID, err error) {
	if e := m.settled(id); e != nil {
		e.promise.Fail(err)
	}
}
