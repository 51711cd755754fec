package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// DistributedPool is a pool whose workers are all those that serve the tasks'
// queues, on whatever machine, each started by somebody's consumer.Run;
// [Distributed] makes one. It is a session over a client: its life is about the
// tasks that were submitted through it. It neither starts nor stops workers and
// leaves other tasks of the same queues alone, except that tasks with one
// [queue.ID] are one task, whoever submits it. Its methods may be called
// concurrently.
//
// A task that was submitted with [queue.NoReply] is of the session all the same:
// the session has its outcome sent, to learn of its end. Not of the session are tasks
// that were opened, tasks on a stream without [queue.ReplyFrom], what follows a task
// by [queue.Then], and submissions that were given up before Redis answered.
//
// A handler that waits for a task is not held up: any worker may run that one. A
// worker that has one slot only, and so might wait for itself, says so in its log.
type DistributedPool struct {
	cfg    DistributedConfig
	client *producer.Client
	watch  func(*queue.Promise) // settled, made once
	done   chan struct{}        // closed when everything has ended after Close

	// life ends with Terminate, and with it what CancelPending has begun.
	life    context.Context
	endLife context.CancelFunc

	mu     sync.Mutex
	tasks  map[*queue.Promise]struct{} // that have not ended
	under  int                         // submissions under way, and calls that cancel
	closed bool
	hurry  bool  // what has not started never will
	ended  bool  // Terminate was called
	over   bool  // done is closed
	left   error // why tasks may go on that Terminate should have ended
}

var (
	_ queue.Executor = (*DistributedPool)(nil)
	_ queue.Control  = (*DistributedPool)(nil)
	_ queue.Sharer   = (*DistributedPool)(nil)
)

// DistributedConfig is what a session is like. The zero value is good.
type DistributedConfig struct {
	// Linked makes all its tasks die with this program, as if each were submitted with
	// [queue.Linked]; those on streams cannot. Default: tasks that were accepted run
	// whatever becomes of their submitter.
	Linked bool
}

// Distributed makes a pool over c. The pool does not close c, which has to stay open
// until the pool was joined: a client that is closed hears of no task's end. An
// open pool holds no goroutine.
func Distributed(c *producer.Client) (*DistributedPool, error) {
	return NewDistributed(DistributedConfig{}, c)
}

// NewDistributed is [Distributed] with more to choose.
func NewDistributed(cfg DistributedConfig, c *producer.Client) (*DistributedPool, error) {
	if c == nil {
		return nil, fmt.Errorf("%w: a distributed pool without a client; make one with producer.New", queue.ErrOption)
	}
	p := &DistributedPool{cfg: cfg, client: c, tasks: map[*queue.Promise]struct{}{}, done: make(chan struct{})}
	p.watch = p.settled
	p.life, p.endLife = context.WithCancel(context.Background())
	return p, nil
}

// Submit stores m, as the client does; see [producer.Client.Submit]. A pool that was
// closed answers [queue.ErrClosed]. ctx bounds the submission only.
func (p *DistributedPool) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if !p.enter() {
		return nil, errClosed
	}
	quiet := p.adopt(m)
	promise, err := p.client.Submit(ctx, m)
	p.leave(promise)
	if err == nil && quiet {
		promise = silent(p.client, m.ID, m.Queue)
	}
	return promise, err
}

// SubmitAll stores many messages; see [producer.Client.SubmitAll].
func (p *DistributedPool) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	if !p.enter() {
		errs := make([]error, len(ms))
		for i := range errs {
			errs[i] = errClosed
		}
		return make([]*queue.Promise, len(ms)), errs
	}
	var quiet []int
	for i, m := range ms {
		if p.adopt(m) {
			quiet = append(quiet, i)
		}
	}
	promises, errs := p.client.SubmitAll(ctx, ms)
	p.leave(promises...)
	for _, i := range quiet {
		if promises[i] != nil {
			promises[i] = silent(p.client, ms[i].ID, ms[i].Queue)
		}
	}
	return promises, errs
}

// adopt makes m a task of the session: its outcome is sent even if its submitter is
// quiet and does not want it. A stream's task is every group's.
func (p *DistributedPool) adopt(m *queue.Message) (quiet bool) {
	if m.Stream {
		return false
	}
	quiet, m.NoReply = m.NoReply, false
	m.Linked = m.Linked || p.cfg.Linked
	return quiet
}

// Open returns the promise of a task that was submitted before, by whomever; see
// [producer.Client.Open].
func (p *DistributedPool) Open(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	return p.client.Open(ctx, m)
}

// Cancel calls tasks off; see [producer.Client.Cancel].
func (p *DistributedPool) Cancel(ctx context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	return p.client.Cancel(ctx, ps, how)
}

// Forget lets go of the promise's outcome; see [producer.Client.Forget]. The task goes
// on, and Join does not wait for it any more.
func (p *DistributedPool) Forget(ctx context.Context, promise *queue.Promise) error {
	return p.client.Forget(ctx, promise)
}

// Share stores data for the tasks of a queue; see [producer.Client.Share].
func (p *DistributedPool) Share(ctx context.Context, name string, data []byte) (string, error) {
	return p.client.Share(ctx, name, data)
}

// enter begins a submission, if the pool is open.
func (p *DistributedPool) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.under++
	return true
}

// leave ends a submission. Those promises that are not nil are of accepted tasks.
func (p *DistributedPool) leave(promises ...*queue.Promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under--
	var late []*queue.Promise // what was on its way while the pool was shut down
	for _, promise := range promises {
		if promise == nil {
			continue
		}
		if _, there := p.tasks[promise]; there || !promise.Watch(p.watch) {
			continue
		}
		p.tasks[promise] = struct{}{}
		if p.hurry {
			late = append(late, promise)
		}
	}
	switch {
	case p.ended:
		p.drop(late)
	case p.hurry:
		p.begin(late, p.withdraw)
	}
	p.settle()
}

// settled takes the promise of a task that has ended off the books.
func (p *DistributedPool) settled(promise *queue.Promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tasks, promise)
	p.settle()
}

// settle notes when there is nothing left to do. p.mu is held.
func (p *DistributedPool) settle() {
	if p.closed && !p.over && p.under == 0 && len(p.tasks) == 0 {
		p.over = true
		p.endLife()
		close(p.done)
	}
}
