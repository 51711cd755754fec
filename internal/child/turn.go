package child

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// turn is one attempt in a child, and the host of its handler.
type turn struct {
	s       *server
	number  uint64
	msg     *queue.Message
	bad     error // why msg is not to be had
	queue   string
	attempt int
	token   uint64
	left    time.Duration // until its deadline, when it begins; 0 without one
	said    bool          // at its end, what it has written had not been read
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc // of the timer; nil without one
	hctx    queue.HandlerContext
	over    atomic.Bool
}

var _ queue.Runner = (*turn)(nil)

// end tells the parent what became of the task.
func (t *turn) end(value []byte, err error) {
	s := t.s
	t.over.Store(true)
	s.mu.Lock()
	s.turn = nil
	s.mu.Unlock()
	said := uint64(0)
	if s.page == nil || unread() || s.page.reading().Load() > 0 { // in this order: who reads says so first
		t.said, said = true, 1
	}
	if err == nil {
		err = s.write(func(b []byte) []byte {
			return appendBin(appendUint(appendUint(beginFrame(b, frameValue, 3), t.number), said), value)
		})
	}
	if err != nil {
		form := s.mux.AppendAttempt(nil, t.msg.Type, err)
		if s.write(func(b []byte) []byte {
			return appendBin(appendUint(appendUint(beginFrame(b, frameError, 3), t.number), said), form)
		}) != nil {
			end(1) // an error's form is short
		}
	}
	t.cancel(nil)
	if t.stop != nil {
		t.stop()
	}
}

// Running is what the handler may know.
func (t *turn) Running() queue.Running {
	deadline, _ := t.ctx.Deadline()
	return queue.Running{
		ID: t.msg.ID, Type: t.msg.Type, Queue: t.queue, Attempt: t.attempt, Token: t.token,
		Headers: t.msg.Headers, Deadline: deadline,
	}
}

// Emit passes an event on, as long as the task has not ended.
func (t *turn) Emit(e queue.Event) {
	if t.over.Load() {
		return
	}
	_ = t.s.write(func(b []byte) []byte {
		b = appendUint(beginFrame(b, frameEvent, 6), t.number)
		b = appendUint(b, uint64(e.At.UnixMicro()))                    //nolint:gosec // there and back
		b = appendUint(b, uint64(e.Attempt))                           //nolint:gosec // a count
		b = appendUint(appendUint(b, uint64(e.Done)), uint64(e.Total)) //nolint:gosec // there and back
		return appendBin(b, e.Text)
	})
}

// What a child may ask its parent.
const (
	askCommon = iota
	askRecall
	askRecord
)

var errOver = errors.New("the task has ended")

// ask asks the parent, which only listens while the task runs.
func (t *turn) ask(ctx context.Context, what uint64, data []byte) ([]byte, error) {
	if t.over.Load() {
		return nil, errOver
	}
	s := t.s
	a := make(answer, 1)
	s.mu.Lock()
	s.last++
	n := s.last
	s.asked[n] = a
	s.mu.Unlock()
	err := s.write(func(b []byte) []byte {
		return appendBin(appendUint(appendUint(appendUint(beginFrame(b, frameRequest, 4), t.number), n), what), data)
	})
	if err == nil {
		select {
		case got := <-a:
			if got[0] == 0 {
				return got[1:], nil
			}
			return nil, t.s.mux.ParseAttempt(got[1:], t.msg.Type)
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-t.ctx.Done():
			err = context.Cause(t.ctx)
			if err == nil || t.over.Load() {
				err = errOver
			}
		}
	}
	s.mu.Lock()
	delete(s.asked, n)
	s.mu.Unlock()
	return nil, err
}

// Common returns the argument that the task shares with others, which a child asks for
// once.
func (t *turn) Common(ctx context.Context, load func(data []byte) (any, error)) (any, error) {
	key := t.msg.Type + "\x00" + t.msg.Common
	t.s.mu.Lock()
	v, ok := t.s.known[key]
	t.s.mu.Unlock()
	if ok && t.msg.Common != "" {
		return v, nil
	}
	data, err := t.ask(ctx, askCommon, nil)
	if err != nil {
		return nil, err
	}
	if v, err = load(data); err != nil {
		return nil, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if len(t.s.known) >= 16 {
		clear(t.s.known) // the arguments of a Map come in a row
	}
	t.s.known[key] = v
	return v, nil
}

// Recall and Record are the parent's.
func (t *turn) Recall(ctx context.Context) ([]byte, error) { return t.ask(ctx, askRecall, nil) }

// Record is the parent's.
func (t *turn) Record(ctx context.Context, part []byte) error {
	_, err := t.ask(ctx, askRecord, part)
	return err
}

// Wait allows every wait: a child has no pool, so that what it waits for is elsewhere.
func (t *turn) Wait(*queue.Promise) (done func(), err error) { return func() {}, nil }

// Aside runs f: the child has nobody to give its slot to.
func (t *turn) Aside(f func()) { f() }
