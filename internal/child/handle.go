package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// task is a task in a child, as the parent sees it.
type task struct {
	number  uint64
	kind    string
	attempt int
	host    queue.Host
	lines   atomic.Int64 // bytes of its output that were passed on

	killed atomic.Bool // because its context has ended
	mu     sync.Mutex
	over   bool
	timers []*time.Timer
}

// keep stops the timer when the task is over.
func (r *task) keep(t *time.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		t.Stop()
		return
	}
	r.timers = append(r.timers, t)
}

func (r *task) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, t := range r.timers {
		t.Stop()
	}
}

// Handle runs m in a child: it waits for one, and until the task has ended there. The
// error is the handler's, as [queue.Mux.ParseAttempt] says; a [queue.CrashError] if the
// process ended; the cause of ctx if the child was killed since the handler would not
// end; and a [queue.ErrPoolBroken] if children do not start.
func (c *Crew) Handle(ctx context.Context, m *queue.Message) ([]byte, error) {
	about := queue.FromContext(ctx)
	plain := m
	if m.Sealed != nil {
		clear := *m
		clear.Sealed, plain = nil, &clear
	}
	e := &Errand{ID: m.ID, Type: m.Type, Queue: m.Queue, Message: plain, Attempt: about.Attempt, Token: about.Token}
	if d, ok := ctx.Deadline(); ok {
		e.Timeout = max(time.Until(d), time.Microsecond)
	}
	l := Lane{crew: c}
	defer l.Release()
	return l.Run(ctx, e)
}

// cut ends the child if it still runs r, whose context has ended. What it was sent
// beside r is taken back first, so that nothing else dies with it.
func (k *kid) cut(r *task, how func()) {
	r.mu.Lock() // the child is nobody else's as long as r is not over
	defer r.mu.Unlock()
	if r.over {
		return
	}
	for n := r.number + 1; n <= k.last.Load(); n++ {
		if !k.page.takeBack(n) {
			return // it has begun, so that r has ended
		}
	}
	r.killed.Store(true)
	how()
}

// What becomes of a child by a task.
const (
	well = iota
	lost // it has not answered
)

// do waits until the task has ended in the child.
func (k *kid) do(ctx context.Context, c *Crew, r *task) (how int, value []byte, err error) {
	stop := context.AfterFunc(ctx, func() { k.interrupt(ctx, c, r) })
	defer stop()
	for {
		kind, body, whole, err := readFrame(k.in, k.buf)
		if k.buf = whole; cap(whole) > 1<<20 {
			k.buf = nil
		}
		if err != nil {
			return lost, nil, nil
		}
		f := open(body)
		n := f.uint()
		switch kind {
		case frameValue, frameError:
			said, data := f.uint(), f.bin()
			if f.end() != nil || n != r.number {
				return lost, nil, nil
			}
			k.wrote(n, said > 0)
			if kind == frameError {
				return well, nil, c.cfg.Mux.ParseAttempt(bytes.Clone(data), r.kind)
			}
			return well, bytes.Clone(data), nil
		case frameEvent:
			at, attempt, done, total, text := f.uint(), f.uint(), f.uint(), f.uint(), f.bin()
			if f.end() != nil {
				return lost, nil, nil
			}
			if n == r.number && r.host != nil {
				r.host.Emit(queue.Event{At: time.UnixMicro(int64(at)), Attempt: int(attempt), Done: int64(done), Total: int64(total), Text: string(text)}) //nolint:gosec // as sent
			}
		case frameRequest:
			no, what, data := f.uint(), f.uint(), f.bin()
			if f.end() != nil {
				return lost, nil, nil
			}
			if n != r.number {
				continue // its task has ended, and so has its wait
			}
			k.answer(ctx, c, r, no, what, data)
		default:
			return lost, nil, nil
		}
	}
}

// interrupt tells the child that the task's context has ended, and sees to it that the
// task ends.
func (k *kid) interrupt(ctx context.Context, c *Crew, r *task) {
	after := c.cfg.KillAfter
	r.keep(time.AfterFunc(after, func() {
		k.cut(r, k.terminate)
	}))
	r.keep(time.AfterFunc(after+termGrace, func() { k.cut(r, k.kill) }))
	which, text := causeOf(context.Cause(ctx))
	_ = k.write(func(b []byte) []byte {
		return appendBin(appendUint(appendUint(beginFrame(b, frameCancel, 3), r.number), which), text)
	})
}

// answer does what the child asks for.
func (k *kid) answer(ctx context.Context, c *Crew, r *task, no, what uint64, data []byte) {
	var out []byte
	var err error
	switch {
	case r.host == nil:
		err = fmt.Errorf("%w: the task has no host", queue.ErrOption)
	case what == askCommon:
		var v any
		v, err = r.host.Common(ctx, func(data []byte) (any, error) { return bytes.Clone(data), nil })
		if err == nil {
			var ok bool
			if out, ok = v.([]byte); !ok {
				err = fmt.Errorf("%w: the common argument is a %T, not bytes", queue.ErrTaskMismatch, v)
			}
		}
	case what == askRecall:
		out, err = r.host.Recall(ctx)
	case what == askRecord:
		err = r.host.Record(ctx, bytes.Clone(data))
	default:
		err = fmt.Errorf("%w: a request %d", queue.ErrMalformed, what)
	}
	for range 2 {
		var form []byte
		failed := uint64(0)
		if err != nil {
			out, failed = nil, 1
			form = c.cfg.Mux.AppendAttempt(nil, r.kind, err)
		}
		err = k.write(func(b []byte) []byte {
			return appendBin(appendUint(appendBin(appendUint(beginFrame(b, frameAnswer, 4), no), out), failed), form)
		})
		if !errors.Is(err, queue.ErrTooLarge) {
			return
		}
	}
}

// why is what a task ends with whose child is gone.
func (k *kid) why(ctx context.Context, r *task) error {
	switch {
	case k.fat.Load():
		return k.crash()
	case r.killed.Load() && ctx.Err() != nil:
		return fmt.Errorf("%w: its process was killed", context.Cause(ctx))
	case k.unwanted.Load():
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return queue.ErrTerminated
	}
	return k.crash()
}
