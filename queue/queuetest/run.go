package queuetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/queue"
)

const (
	// maxDepth is how many tasks of an inline recorder may run inside one another,
	// before the stack is full.
	maxDepth = 1000
	// maxDrain is how many tasks Drain runs.
	maxDrain = 10_000
)

// Drain runs what waits, and what that submits, until nothing is left that the
// recorder has a handler for, and returns how many tasks ran. What is due comes
// first, by priority and then in the order of submission, and then what is not, in the
// order in which it will be: Drain does not wait for it.
//
// Drain gives up, and the test fails, after 10,000 tasks: some always submit the next.
func (r *Recorder) Drain() (n int) {
	r.t.Helper()
	for n < maxDrain {
		if !r.RunOne() {
			return n
		}
		n++
	}
	if r.next() != nil {
		r.t.Errorf("queuetest: Drain has run %d tasks and there are still more: some task submits itself; run them one at a time with RunOne", n)
	}
	return n
}

// RunOne runs the task that Drain would run next, with all its attempts. It returns
// false if there is none.
func (r *Recorder) RunOne() bool {
	r.t.Helper()
	if len(r.routes) == 0 {
		r.t.Fatalf("queuetest: the recorder has no handlers to run anything with; give them to queuetest.Record")
	}
	t := r.next()
	if t == nil {
		return false
	}
	r.run(t, nil)
	return true
}

// next is the task to run next, or nil.
func (r *Recorder) next() *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for r.begun < len(r.tasks) && r.tasks[r.begun].stage != waiting {
		r.begun++
	}
	var first *task
	for _, t := range r.tasks[r.begun:] {
		if t.stage == waiting && r.known[t.msg.Type] && (first == nil || t.before(first, now)) {
			first = t
		}
	}
	return first
}

// before reports whether t is to run before other, which was submitted earlier.
func (t *task) before(other *task, now time.Time) bool {
	rank := func(t *task) int {
		return slices.Index([]queue.Priority{queue.High, queue.Normal, queue.Low}, t.msg.Priority)
	}
	return cmp.Or(t.due(now).Compare(other.due(now)), cmp.Compare(rank(t), rank(other))) < 0
}

// runSoon runs t if it is not to wait. caller is the task whose handler makes this
// call, or nil.
func (r *Recorder) runSoon(t, caller *task) {
	r.mu.Lock()
	now := t.stage == waiting && (r.inline || r.answers[t.msg.Type] != nil)
	r.mu.Unlock()
	switch {
	case !now:
	case caller.depth() >= maxDepth:
		r.t.Errorf("queuetest: %d tasks run inside one another, the last is %q: each submits the next; use queuetest.Record, and RunOne", maxDepth, t.msg.Type)
	default:
		r.run(t, caller)
	}
}

// run runs t to its end, unless somebody else does or has.
func (r *Recorder) run(t, caller *task) {
	r.mu.Lock()
	if t.stage != waiting {
		r.mu.Unlock()
		return
	}
	t.stage, t.caller = running, caller
	mux, retries := r.muxOf(t.msg.Type), t.msg.Retries
	if r.answers[t.msg.Type] != nil {
		retries = 0 // it is an answer, whatever it is
	}
	r.mu.Unlock()

	m := t.msg
	if waited := time.Since(t.at); m.Expire > 0 && waited > m.Expire {
		t.end(t.failure(mux, queue.StateExpired, 0, fmt.Errorf("%w: it waited %v too long", queue.ErrExpired, waited-m.Expire)))
		return
	}
	exited := true
	attempt := 0
	defer func() {
		if exited { // the handler has ended this goroutine: there will be no other attempt
			t.end(t.failure(mux, queue.StateDead, attempt, queue.ErrExited))
		}
	}()
	for {
		attempt++
		value, err := t.attempt(mux, attempt)
		var next *task
		if err == nil && len(m.Then) > 0 {
			next, err = t.follow(value)
		}
		o := &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: attempt, Value: value, Codec: m.Codec}
		if err != nil {
			kind := verdict(err, queue.Attempt{Number: attempt, Retries: retries, Backoff: m.Backoff})
			if kind == queue.VerdictRetry {
				continue
			}
			o = t.failure(mux, stateOf(kind), attempt, err)
		}
		exited = false
		t.end(o)
		if next != nil {
			r.runSoon(next, caller)
		}
		return
	}
}

// attempt runs the handler once. Its context has nothing of the submitter's: that would
// not have travelled either.
func (t *task) attempt(mux *queue.Mux, n int) (value []byte, err error) {
	m, err := queue.ParseMessage(t.wire)
	if err != nil {
		return nil, err
	}
	m.ID, m.Queue, m.Priority = t.msg.ID, t.msg.Queue, t.msg.Priority
	running := queue.Running{ID: m.ID, Type: m.Type, Queue: m.Queue, Attempt: n, Token: uint64(n), Headers: m.Headers} //nolint:gosec // a count
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	if m.Timeout > 0 {
		running.Deadline = time.Now().Add(m.Timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, running.Deadline, queue.ErrTimeout)
		defer cancel()
	}
	t.rec.mu.Lock()
	t.stop = stop
	t.rec.mu.Unlock()
	run.Call(queue.WithRunning(ctx, running, host{t}), mux, m, func(v []byte, e error) { value, err = v, e })
	if err == nil && len(value) > queue.MaxMessage {
		err = fmt.Errorf("%w: the value of %q has %d bytes, the limit is %d; store it elsewhere and return a reference", queue.ErrTooLarge, m.Type, len(value), queue.MaxMessage)
	}
	return value, err
}

// follow submits what comes after t, which has succeeded.
func (t *task) follow(value []byte) (*task, error) {
	next, err := queue.ParseNext(t.msg.Then)
	if err != nil {
		return nil, err
	}
	next.Payload, next.NoReply = value, true
	return t.rec.accept(next)
}

// errPlain is any failure.
var errPlain = errors.New("failed")

// verdict says what becomes of a task after an attempt. There is no other worker that
// it could be handed to.
func verdict(err error, a queue.Attempt) queue.VerdictKind {
	switch kind := queue.Decide(err, a).Kind; kind {
	case queue.VerdictDrop, queue.VerdictGiveBack, queue.VerdictPark:
		return queue.Decide(errPlain, a).Kind
	default:
		return kind
	}
}

func stateOf(kind queue.VerdictKind) queue.State {
	switch kind {
	case queue.VerdictCancel:
		return queue.StateCancelled
	case queue.VerdictExpire:
		return queue.StateExpired
	}
	return queue.StateDead
}

// failure is t's end with err, in the form that the task's definition, which mux knows,
// gives its errors.
func (t *task) failure(mux *queue.Mux, s queue.State, attempt int, err error) *queue.Outcome {
	if mux == nil {
		return queue.Failure(t.msg.ID, s, attempt, err)
	}
	return mux.Failure(t.msg, s, attempt, err)
}

// end settles t, which has run.
func (t *task) end(o *queue.Outcome) {
	t.rec.mu.Lock()
	t.stage, t.over, t.stop = ended, time.Now(), nil
	t.rec.mu.Unlock()
	t.settle(o)
}

// settle resolves t's promise. An outcome that is kept says of what type it is, for
// whoever opens it by its id.
func (t *task) settle(o *queue.Outcome) {
	if t.msg.Keep > 0 {
		o.Type = t.msg.Type
	}
	t.promise.Resolve(o)
}
