package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenote-go/cenote/internal/child"
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
	ahead                // in the pipe to a child, which may have begun it already
	running
	ended
)

// task is one task of a pool, from its submission on: what is always needed is in
// one piece, for the sake of the garbage collector. What is not said to be fixed is
// under pool.mu.
type task struct {
	promise  queue.Promise  // fixed, and so is its id
	pool     *LocalPool     // fixed
	priority queue.Priority // fixed
	direct   bool           // fixed: it does not travel as bytes
	stage    stage
	attempt  int32   // the one that runs, or the last one that did
	crashes  []error // how it has taken children along

	handler queue.Handler  // who runs it, until it has ended
	msg     *queue.Message // likewise; if not direct, its Payload is the wire form of the whole
	data    any            // likewise; its argument, if the message is that of other tasks as well, and its value
	keep    time.Duration
	expires time.Duration // by the pool's age; 0 is never
	timer   *time.Timer
	in      *list // which holds it
	next    *task
	prev    *task
	turn    *turn               // the attempt that runs
	errand  *child.Errand       // as it is sent to a child; nil if it is not
	wish    *queue.Cancellation // how to cancel it once it is known to run
}

// turn is one attempt. It is the queue.Runner of its handler, and of the goroutines
// that the handler leaves behind.
type turn struct {
	task  *task
	ctx   queue.HandlerContext // what its handler gets
	life  run.Lifetime         // ends when the attempt must
	msg   *queue.Message       // the task's
	nth   int32                // how often the task has begun
	tries int32                // the attempt's number: how often, but for crashes

	// Under pool.mu:
	over   bool
	waits  int32 // how many goroutines of the handler wait for tasks of the pool
	asides int32 // how many are in Aside
}

// endError is how a task of this pool was called off. It tells the end of one
// task from that of another which it waited for: that one's was cancelled is an
// ordinary failure of this one.
type endError struct {
	id queue.TaskID
	error
}

func (e *endError) Unwrap() error { return e.error }

// newTask makes a task of m.
func (p *LocalPool) newTask(m *queue.Message) *task {
	if m.Key != "" {
		m.ID = queue.KeyTaskID(m.Key, 1)
	} else {
		m.ID = queue.NewTaskID(0)
	}
	t := &task{direct: m.Direct != nil}
	if !t.direct {
		wire := *m
		wire.Payload = m.AppendWire(nil)
		m = &wire
	}
	t.init(p, m.ID, m, p.mux)
	return t
}

// init makes t, which knows no more than whether it is direct, the task id, run by h.
func (t *task) init(p *LocalPool, id queue.TaskID, m *queue.Message, h queue.Handler) {
	t.pool, t.msg, t.handler = p, m, h
	t.priority, t.keep = m.Priority, m.Keep
	t.promise.Init(id).Controlled(t, m.Queue, "")
}

// lean is the handler of tasks that share a message. The argument comes, and the value
// goes, by way of the task.
type lean struct{ mux *queue.Mux }

func (l lean) Handle(ctx context.Context, m *queue.Message) ([]byte, error) {
	t := queue.HostOf(ctx).(*turn).task
	out, err := l.mux.HandleLean(ctx, m, t.data)
	if err == nil { // else it may be tried again
		t.data = out
	}
	return nil, err
}

// place is where t is found.
func (t *task) place() place { return place{t.promise.Queue(), t.promise.ID()} }

// Cancel and Forget are those of the pool. A task is the control of its promise, so
// that the pool finds the one by the other.
func (t *task) Cancel(ctx context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	return t.pool.Cancel(ctx, ps, how)
}

// Forget is that of the pool.
func (t *task) Forget(ctx context.Context, promise *queue.Promise) error {
	return t.pool.Forget(ctx, promise)
}

// begin makes t run, with u as the attempt. pool.mu is held.
func (t *task) begin(u *turn) {
	t.stage = running
	t.attempt++
	t.turn, u.task, u.msg, u.nth = u, t, t.msg, t.attempt
	u.tries = u.nth - int32(len(t.crashes)) //nolint:gosec // few
}

// newErrand makes t ready for a child, as its nth attempt. pool.mu is held.
func (t *task) newErrand(nth int32) {
	m := t.msg
	t.errand = &child.Errand{
		ID: m.ID, Type: m.Type, Queue: m.Queue, Wire: m.Payload, Timeout: m.Timeout,
		Attempt: int(nth) - len(t.crashes), Token: uint64(nth), //nolint:gosec // a count
	}
}

// run runs t's handler. However that ends, it calls end once, with the message as
// the handler got it.
// It runs in the lane's child if there is a lane.
func (t *task) run(lane *lane, end func(m *queue.Message, value []byte, err error)) {
	h := t.handler
	u, m := t.turn, t.msg
	if lane != nil {
		h = lane // a child reads the message
	} else if !t.direct {
		fresh, err := queue.ParseMessage(m.Payload)
		if err != nil {
			end(m, nil, err)
			return
		}
		fresh.ID, fresh.Queue, fresh.Priority = m.ID, m.Queue, m.Priority
		m = fresh
	}
	var ctx context.Context = &u.life
	if m.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, m.Timeout, queue.ErrTimeout)
		defer stop()
	}
	run.Call(u.ctx.Init(ctx, u), h, m, func(value []byte, err error) { end(m, value, err) })
}

// end decides what becomes of the task, whose attempt is over. It returns with pool.mu
// held; keeps says whether the worker still has its slot then. It has not if a
// goroutine that the handler has left behind is in Aside.
func (u *turn) end(m *queue.Message, value []byte, err error) (keeps bool) {
	t, p := u.task, u.task.pool
	if err == nil && m.Direct != nil {
		t.data = m.Direct.Out
	}
	var next *task
	if err == nil && len(m.Then) > 0 {
		next, err = t.follow(m, value)
	}
	var o *queue.Outcome // nil: t.data is the value
	v := t.verdict(m, u.tries, err)
	if child.IsBroken(err) {
		v = queue.Verdict{Kind: queue.VerdictDead}
	}
	if crash, ok := errors.AsType[*queue.CrashError](err); ok {
		v = t.crashed(crash)
	}
	switch v.Kind {
	case queue.VerdictDone:
		if !t.direct {
			o = &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: int(u.tries), Value: value, Codec: m.Codec}
		}
	case queue.VerdictCancel:
		o = t.failure(queue.StateCancelled, err)
	case queue.VerdictExpire:
		o = t.failure(queue.StateExpired, err)
	default:
		o = t.failure(queue.StateDead, err)
	}
	u.life.End(nil)

	p.mu.Lock()
	t.turn, t.errand = nil, nil
	t.leave()
	p.change(u, func() { u.over = true })
	if v.Kind == queue.VerdictRetry && !p.hurry && p.broken == nil {
		p.after(t, v.Delay)
		return u.asides == 0
	}
	if next != nil && !p.hurry && p.broken == nil {
		p.accept(next)
	}
	if child.IsBroken(err) {
		t.promise.Fail(err)
		t.keep = 0
	} else if o != nil {
		t.promise.Resolve(o)
	} else {
		t.promise.ResolveDirect(int(t.attempt), t.data)
	}
	p.finish(t)
	return u.asides == 0
}

// follow makes the task that comes after m.
func (t *task) follow(m *queue.Message, value []byte) (*task, error) {
	next, err := queue.ParseNext(m.Then)
	switch {
	case err != nil:
		return nil, err
	case t.direct:
		next.Direct = &queue.Direct{In: t.data}
	default:
		next.Payload = value
	}
	return t.pool.newTask(next), nil
}

func (t *task) verdict(m *queue.Message, tries int32, err error) queue.Verdict {
	if err == nil {
		return queue.Verdict{Kind: queue.VerdictDone}
	}
	a := queue.Attempt{Number: int(tries), Retries: m.Retries, Backoff: m.Backoff, Jitter: rand.Float64()}
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

// crashed decides what becomes of the task, which has taken a child along: that is not
// counted as a failed attempt.
func (t *task) crashed(crash *queue.CrashError) queue.Verdict {
	if len(t.crashes)+1 < t.pool.maxCrashes {
		t.crashes = append(t.crashes, crash)
		return queue.Verdict{Kind: queue.VerdictRetry}
	}
	crash.History = t.crashes
	return queue.Verdict{Kind: queue.VerdictDead}
}

// errOther is any failure.
var errOther = errors.New("failed")

// tries is how many attempts there were, but for crashes. It is one at least, if the
// task has begun.
func (t *task) tries() int {
	return max(int(t.attempt)-len(t.crashes), min(int(t.attempt), 1))
}

// failure is t's end with err.
func (t *task) failure(s queue.State, err error) *queue.Outcome {
	if !t.direct {
		return t.pool.mux.Failure(t.msg, s, t.tries(), err)
	}
	id := t.promise.ID()
	if s != queue.StateDead {
		err = &endError{id, err}
	}
	return &queue.Outcome{ID: id, State: s, Attempt: int(t.attempt), Cause: err}
}

// Running is what the handler may know.
func (u *turn) Running() queue.Running {
	deadline, _ := u.ctx.Deadline()
	return queue.Running{
		ID: u.task.promise.ID(), Type: u.msg.Type, Queue: u.msg.Queue, Attempt: int(u.tries),
		Token: uint64(u.nth), Headers: u.msg.Headers, Deadline: deadline, //nolint:gosec // a count
	}
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
		if d := u.msg.Direct; d != nil && d.Common != nil {
			return d.Common, nil
		}
	} else if u.msg.Common != "" {
		return t.pool.common(u.msg.Common, u.msg.Type, load)
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
	other := p.taskOf(promise)
	if other == nil || other.stage == ended || &other.promise != promise || u.over {
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
