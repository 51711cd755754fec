package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/queue"
)

// place is what a task is found by.
type place struct {
	queue string
	id    queue.TaskID
}

// stage is where in its life a task is.
type stage uint8

const (
	waiting stage = iota // for a worker
	delayed              // for its time
	running
	ended
)

// task is one task of a pool. What is not said to be fixed is under pool.mu.
type task struct {
	pool    *LocalPool // fixed
	place   place      // fixed
	promise *queue.Promise
	mux     *queue.Mux // fixed: who runs it
	direct  bool       // fixed: it does not travel as bytes
	msg     *queue.Message
	wire    []byte // the message, if not direct
	expires time.Time

	stage   stage
	attempt int // the one that runs, or the last one that did
	timer   *time.Timer
	in      *list // which holds it
	next    *task
	prev    *task

	turn *turn // the attempt that runs
}

// turn is one attempt. It is the queue.Host of its handler, and of the goroutines
// that the handler leaves behind.
type turn struct {
	task   *task
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Under pool.mu:
	over   bool
	waits  int // how many goroutines of the handler wait for tasks of the pool
	asides int // how many are in Aside
}

// endError is how a task of this pool was called off. It tells the end of one
// task from that of another which it waited for: that one's was cancelled is an
// ordinary failure of this one.
type endError struct {
	id queue.TaskID
	error
}

func (e *endError) Unwrap() error { return e.error }

// begin makes t run. pool.mu is held.
func (t *task) begin() {
	t.stage = running
	t.attempt++
	ctx, cancel := context.WithCancelCause(context.Background())
	t.turn = &turn{task: t, ctx: ctx, cancel: cancel}
}

// run runs t's handler. However that ends, it calls end once; keeps says whether
// the worker still has its slot. It has not if a goroutine that the handler has
// left behind is in Aside.
func (t *task) run(end func(keeps bool)) {
	u, m := t.turn, t.msg
	if !t.direct {
		fresh, err := queue.ParseMessage(t.wire)
		if err != nil {
			end(u.end(m, nil, err))
			return
		}
		fresh.ID, fresh.Queue, fresh.Priority = m.ID, m.Queue, m.Priority
		m = fresh
	}
	running := queue.Running{
		ID: m.ID, Type: m.Type, Queue: m.Queue, Attempt: t.attempt,
		Token: uint64(t.attempt), Headers: m.Headers, //nolint:gosec // a count
	}
	ctx := u.ctx
	if m.Timeout > 0 {
		running.Deadline = time.Now().Add(m.Timeout)
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, running.Deadline, queue.ErrTimeout)
		defer stop()
	}
	run.Call(queue.WithRunning(ctx, running, u), t.mux, m, func(value []byte, err error) {
		end(u.end(m, value, err))
	})
}

// end decides what becomes of the task, whose attempt is over.
func (u *turn) end(m *queue.Message, value []byte, err error) (keeps bool) {
	t := u.task
	var next *queue.Message
	if err == nil && len(m.Then) > 0 {
		next, err = t.follow(m, value)
	}
	v := t.verdict(m, err)
	var o *queue.Outcome
	switch v.Kind {
	case queue.VerdictDone:
		if t.direct {
			o = queue.DirectOutcome(m.ID, t.attempt, m.Direct.Out)
		} else {
			o = &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: t.attempt, Value: value, Codec: m.Codec}
		}
	case queue.VerdictCancel:
		o = t.failure(queue.StateCancelled, err)
	case queue.VerdictExpire:
		o = t.failure(queue.StateExpired, err)
	default:
		o = t.failure(queue.StateDead, err)
	}

	p := t.pool
	p.mu.Lock()
	t.turn = nil
	again := v.Kind == queue.VerdictRetry && !p.hurry && p.broken == nil
	p.change(u, func() { u.over = true })
	keeps = u.asides == 0
	if again {
		t.stage = delayed
		p.after(t, v.Delay)
	} else {
		if next != nil && !p.hurry && p.broken == nil {
			p.accept(next, p.mux)
		}
		p.finish(t, o)
	}
	p.mu.Unlock()
	u.cancel(nil)
	return keeps
}

// follow makes the message of the task that comes after m.
func (t *task) follow(m *queue.Message, value []byte) (*queue.Message, error) {
	next, err := queue.ParseNext(m.Then)
	switch {
	case err != nil:
		return nil, err
	case t.direct:
		next.Direct = &queue.Direct{In: m.Direct.Out}
	default:
		next.Payload = value
	}
	return next, nil
}

func (t *task) verdict(m *queue.Message, err error) queue.Verdict {
	a := queue.Attempt{Number: t.attempt, Retries: m.Retries, Backoff: m.Backoff, Jitter: rand.Float64()}
	if e, ok := errors.AsType[*endError](err); ok && e.id != m.ID {
		return queue.Decide(errOther, a)
	}
	v := queue.Decide(err, a)
	switch v.Kind {
	case queue.VerdictDrop, queue.VerdictGiveBack:
		return queue.Decide(errOther, a) // there is no other worker to hand it to
	case queue.VerdictPark:
		return queue.Verdict{Kind: queue.VerdictDead}
	}
	return v
}

// errOther is any failure.
var errOther = errors.New("failed")

// failure is t's end with err.
func (t *task) failure(s queue.State, err error) *queue.Outcome {
	if !t.direct {
		return t.mux.Failure(t.msg, s, t.attempt, err)
	}
	if s != queue.StateDead {
		err = &endError{t.place.id, err}
	}
	return &queue.Outcome{ID: t.place.id, State: s, Attempt: t.attempt, Cause: err}
}

// Emit tells whoever waits for the task.
func (u *turn) Emit(e queue.Event) { u.task.promise.Emit(e) }

// Recall returns nothing: a task of this pool has one delivery only.
func (u *turn) Recall(context.Context) ([]byte, error) { return nil, nil }

// Record does nothing, for the same reason.
func (u *turn) Record(context.Context, []byte) error { return nil }

// Common returns the argument that the task shares with others.
func (u *turn) Common(_ context.Context, load func(data []byte) (any, error)) (any, error) {
	t := u.task
	if t.direct {
		if d := t.msg.Direct; d != nil && d.Common != nil {
			return d.Common, nil
		}
	} else if t.msg.Common != "" {
		return t.pool.common(t.msg.Common, t.msg.Type, load)
	}
	return nil, fmt.Errorf("%w: the task was submitted without a common argument (Sharing)", queue.ErrOption)
}

// stuck reports whether u keeps a slot while it waits. pool.mu is held.
func (u *turn) stuck() bool { return !u.over && u.waits > 0 && u.asides == 0 }

// Wait refuses a wait that could never end: as long as one worker is free of
// waiting, it will get to the task that is waited for.
func (u *turn) Wait(promise *queue.Promise) (done func(), err error) {
	p := u.task.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.tasks[place{promise.Queue(), promise.ID()}]
	if other == nil || other.promise != promise || u.over {
		return func() {}, nil
	}
	if other == u.task {
		return nil, fmt.Errorf("%w: the task waits for itself", queue.ErrWouldDeadlock)
	}
	if u.asides == 0 {
		all := p.blocked
		if !u.stuck() {
			all++
		}
		atWork := other.turn != nil && other.turn.asides == 0 && !other.turn.stuck()
		if all >= p.size && !atWork {
			return nil, fmt.Errorf("%w: all %d workers of the pool would wait for tasks of the pool itself; wait inside queue.Aside, or use more workers",
				queue.ErrWouldDeadlock, p.size)
		}
	}
	p.change(u, func() { u.waits++ })
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.change(u, func() { u.waits-- })
	}, nil
}

// Aside gives the slot away while f runs.
func (u *turn) Aside(f func()) {
	p := u.task.pool
	p.mu.Lock()
	p.change(u, func() { u.asides++ })
	if u.asides == 1 && !u.over {
		p.held--
		p.spread()
	}
	p.mu.Unlock()
	defer p.backFromAside(u) // also if f panics
	f()
}
