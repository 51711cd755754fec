package queuetest

import (
	"context"
	"fmt"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// stage is where in its life a task is.
type stage uint8

const (
	waiting stage = iota
	running
	ended
)

// task is one submission. What is not said to change does not.
type task struct {
	rec     *Recorder
	nth     int            // of the submissions, counted from 1
	msg     *queue.Message // as it was submitted
	wire    []byte         // and as it travels
	at      time.Time      // when
	promise *queue.Promise

	// Under rec.mu:
	stage stage
	over  time.Time               // since when it has ended
	stop  context.CancelCauseFunc // of the attempt that runs

	caller *task // in a call of whose handler it runs, or nil; set before it runs
}

// depth is how many tasks run inside one another, t being the innermost; 0 for none.
func (t *task) depth() (n int) {
	for ; t != nil; t = t.caller {
		n++
	}
	return n
}

// within reports whether t is other, or runs in a call of its handler.
func (t *task) within(other *task) bool {
	for ; t != nil; t = t.caller {
		if t == other {
			return true
		}
	}
	return false
}

// due is when t may start; the zero time if it may by now.
func (t *task) due(now time.Time) time.Time {
	at := t.at.Add(t.msg.Delay)
	if t.msg.RunAt.After(at) {
		at = t.msg.RunAt
	}
	if !at.After(now) {
		return time.Time{}
	}
	return at
}

// Cancel cancels the promises' tasks; see [queue.Control]. A task that waits never
// runs.
func (t *task) Cancel(_ context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	results := make([]queue.CancelResult, len(ps))
	if how.Kill {
		return results, fmt.Errorf("%w: interrupt the task", queue.ErrNotKillable)
	}
	r := t.rec
	for i, p := range ps {
		other, ok := p.Control().(*task)
		if !ok || other.rec != r {
			continue
		}
		r.mu.Lock()
		stage, stop := other.stage, other.stop
		if stage == waiting {
			other.stage, other.over = ended, time.Now()
		}
		r.mu.Unlock()
		switch {
		case stage == waiting:
			other.settle(other.failure(nil, queue.StateCancelled, 0, fmt.Errorf("%w: before it started", queue.ErrCancelled)))
			results[i] = queue.CancelBeforeStart
		case stage == running && how.Interrupt && stop != nil:
			stop(queue.ErrCancelled)
			results[i] = queue.CancelInterrupted
		}
	}
	return results, nil
}

// Forget lets go of the promise's outcome.
func (t *task) Forget(_ context.Context, p *queue.Promise) error {
	r := t.rec
	r.mu.Lock()
	delete(r.at, place{p.Queue(), p.ID()})
	r.mu.Unlock()
	p.Fail(fmt.Errorf("%w: forgotten", queue.ErrResultExpired))
	return nil
}

// host is what a handler can call on.
type host struct{ *task }

// taskOf returns the task whose handler got ctx, or nil.
func taskOf(ctx context.Context) *task {
	if h, ok := queue.HostOf(ctx).(host); ok {
		return h.task
	}
	return nil
}

// Emit tells whoever waits for the task.
func (h host) Emit(e queue.Event) { h.promise.Emit(e) }

// Common returns the argument that the task shares with others.
func (h host) Common(_ context.Context, load func(data []byte) (any, error)) (any, error) {
	h.rec.mu.Lock()
	data, ok := h.rec.shared[h.msg.Common]
	h.rec.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%w: the task was submitted without a common argument (Sharing)", queue.ErrOption)
	}
	return load(data)
}

// Recall returns nothing: a task has one delivery only.
func (h host) Recall(context.Context) ([]byte, error) { return nil, nil }

// Record does nothing, for the same reason.
func (h host) Record(context.Context, []byte) error { return nil }

// Wait runs the task that the handler is about to wait for, if nobody else does.
func (h host) Wait(p *queue.Promise) (done func(), err error) {
	done = func() {}
	other, ok := p.Control().(*task)
	if !ok || other.rec != h.rec || other.promise != p {
		return done, nil
	}
	r := h.rec
	r.mu.Lock()
	stage, mux := other.stage, r.muxOf(other.msg.Type)
	r.mu.Unlock()
	switch {
	case stage == waiting && mux == nil:
		return nil, fmt.Errorf("%w: nobody runs %q; give its handler to the recorder, or the task a queuetest.Answer", queue.ErrWouldDeadlock, other.msg.Type)
	case stage == waiting && h.depth() >= maxDepth:
		return nil, fmt.Errorf("%w: %d tasks wait inside one another, each for the next", queue.ErrWouldDeadlock, maxDepth)
	case stage == waiting:
		r.run(other, h.task)
	case stage == running && h.within(other):
		return nil, fmt.Errorf("%w: the task waits for itself, or for one that waits for it", queue.ErrWouldDeadlock)
	}
	return done, nil
}

// Aside calls f: there are no slots to lend.
func (h host) Aside(f func()) { f() }
