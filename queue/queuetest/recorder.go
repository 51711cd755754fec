package queuetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Recorder is a [queue.Executor] for tests: it takes submissions, remembers them, and
// runs them in the goroutine of the call, at once ([Inline]) or when it is told to
// ([Record]). Its methods may be called concurrently.
//
// Everything goes by way of bytes, as it does over Redis: what cannot be encoded, is
// too large or has contradictory options fails here as well, and a future's error is
// the one that would have come over the wire.
type Recorder struct {
	t      testing.TB
	inline bool
	routes []queue.Route

	mu      sync.Mutex
	wraps   []queue.Middleware
	mux     *queue.Mux
	known   map[string]bool       // task types that have a handler
	answers map[string]*queue.Mux // instead of the handler
	refuse  error
	closed  bool
	tasks   []*task // in the order of submission
	begun   int     // how many of the first ones do not wait
	at      map[place]*task
	streams map[string]bool // by queue: what it is
	shared  map[string][]byte
}

var (
	_ queue.Executor = (*Recorder)(nil)
	_ queue.Sharer   = (*Recorder)(nil)
)

// place is what a task is found by.
type place struct {
	queue string
	id    queue.TaskID
}

// Inline makes a recorder that runs each task in the call that submits it, by the
// handlers of the routes: when the call returns, the future is done. Delays, and the
// waits between the attempts of a task that fails, take no time; a timeout does. A
// task that nobody has a handler or an [Answer] for is refused with
// [queue.ErrUnknownType]. A submission with the [queue.ID] of a task that runs at that
// moment does not wait for it.
func Inline(t testing.TB, routes ...queue.Route) *Recorder {
	t.Helper()
	r := newRecorder(t, routes)
	r.inline = true
	return r
}

// Record makes a recorder that only remembers what is submitted; see [Submitted].
// The routes are for [Recorder.Drain] and [Recorder.RunOne].
//
// A future waits until its task was run, has an [Answer] or is cancelled, or the test
// is over: then it says [queue.ErrClosed].
func Record(t testing.TB, routes ...queue.Route) *Recorder {
	t.Helper()
	return newRecorder(t, routes)
}

func newRecorder(t testing.TB, routes []queue.Route) *Recorder {
	t.Helper()
	r := &Recorder{
		t: t, routes: routes, known: map[string]bool{}, answers: map[string]*queue.Mux{},
		at: map[place]*task{}, streams: map[string]bool{}, shared: map[string][]byte{},
	}
	for _, route := range routes {
		r.known[route.Type] = true
	}
	r.wrap()
	t.Cleanup(r.close)
	return r
}

// Use wraps the handlers in the middlewares, the first one outermost, as
// consumer.Config.Middleware does. It returns the recorder.
func (r *Recorder) Use(mw ...queue.Middleware) *Recorder {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wraps = append(r.wraps, mw...)
	r.wrap()
	return r
}

// wrap makes the mux of all routes.
func (r *Recorder) wrap() {
	r.t.Helper()
	mux, err := queue.NewMux(r.routes, r.wraps...)
	if err != nil {
		r.t.Fatalf("queuetest: %v", err)
	}
	r.mux = mux
}

// Refuse makes every submission from now on fail with err, such as
// [queue.ErrUnavailable] or [queue.ErrStoreFull]. After Refuse(nil) they are accepted
// again.
func (r *Recorder) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

// Submit accepts m, and runs it before it returns if the recorder is an inline one or
// has an [Answer].
func (r *Recorder) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("submit %q: %w", m.Type, err)
	}
	t, err := r.accept(m)
	if err != nil {
		return nil, err
	}
	r.runSoon(t, taskOf(ctx))
	if m.NoReply {
		return queue.FailedPromise(t.msg.ID, fmt.Errorf("%w: submit it without queue.NoReply, and on a stream with queue.ReplyFrom, to wait for it", queue.ErrNoReply)).
			Controlled(t, m.Queue, m.Group), nil
	}
	return t.promise, nil
}

// SubmitAll accepts the messages one after the other.
func (r *Recorder) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	promises := make([]*queue.Promise, len(ms))
	var errs []error
	for i, m := range ms {
		var err error
		if promises[i], err = r.Submit(ctx, m); err != nil {
			if errs == nil {
				errs = make([]error, len(ms))
			}
			errs[i] = err
		}
	}
	return promises, errs
}

// accept makes a task of m, or finds the one that it is the same as.
func (r *Recorder) accept(m *queue.Message) (*task, error) {
	if err := queue.CheckName("queue", m.Queue); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, fmt.Errorf("%w: the test of this recorder is over", queue.ErrClosed)
	case r.refuse != nil:
		return nil, r.refuse
	}
	if err := r.unknown(m); err != nil {
		return nil, err
	}
	if stream, used := r.streams[m.Queue]; used && stream != m.Stream {
		return nil, fmt.Errorf("%w: %q is used both as a list queue (queue.On) and as a stream (queue.OnStream); use another name", queue.ErrQueueKind, m.Queue)
	}
	m.ID = queue.NewTaskID(0)
	if m.Key != "" {
		id, err := queue.ParseTaskID(m.Key)
		if err != nil {
			id = queue.KeyTaskID(m.Key, 1)
		}
		m.ID = id
		if t := r.find(place{m.Queue, id}); t != nil {
			return t, nil
		}
	}
	if !m.NoReply {
		m.ReplyTo = "queuetest"
	}
	if m.Linked {
		m.Link = "queuetest"
	}
	wire := m.AppendWire(nil)
	if len(wire) > queue.MaxMessage {
		return nil, fmt.Errorf("%w: the message of %q has %d bytes, the limit is %d; pass a reference to the data", queue.ErrTooLarge, m.Type, len(wire), queue.MaxMessage)
	}
	own := *m
	t := &task{rec: r, msg: &own, wire: wire, at: time.Now(), nth: len(r.tasks) + 1}
	t.promise = queue.NewPromise(m.ID).Controlled(t, m.Queue, m.Group)
	r.streams[m.Queue] = m.Stream
	r.tasks = append(r.tasks, t)
	r.at[place{m.Queue, m.ID}] = t
	return t, nil
}

// unknown says that an inline recorder has no handler for m or for what follows it by
// [queue.Then]. r.mu is held.
func (r *Recorder) unknown(m *queue.Message) error {
	for r.inline {
		if r.muxOf(m.Type) == nil {
			return fmt.Errorf("%w: %q; give its handler to queuetest.Inline, or the task a queuetest.Answer", queue.ErrUnknownType, m.Type)
		}
		if len(m.Then) == 0 {
			break
		}
		next, err := queue.ParseNext(m.Then)
		if err != nil {
			return err
		}
		m = next
	}
	return nil
}

// find returns the task at a place if it has not ended or its outcome is kept. r.mu is
// held.
func (r *Recorder) find(at place) *task {
	t := r.at[at]
	if t == nil || t.stage == ended && time.Since(t.over) >= t.msg.Keep {
		return nil
	}
	return t
}

// muxOf is what runs tasks of a type, or nil. r.mu is held.
func (r *Recorder) muxOf(kind string) *queue.Mux {
	if mux := r.answers[kind]; mux != nil {
		return mux
	}
	if r.known[kind] {
		return r.mux
	}
	return nil
}

// Open returns the promise of a task that was submitted before and has not ended, or
// whose outcome is kept.
func (r *Recorder) Open(_ context.Context, m *queue.Message) (*queue.Promise, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.find(place{m.Queue, m.ID}); t != nil {
		return t.promise, nil
	}
	return nil, fmt.Errorf("%w: %s is not in queue %q; an outcome is kept for tasks submitted with queue.Keep or queue.ID", queue.ErrResultExpired, m.ID, m.Queue)
}

// Share keeps data for the tasks that are submitted with [queue.Sharing].
func (r *Recorder) Share(_ context.Context, _ string, data []byte) (string, error) {
	sum := sha256.Sum256(data)
	ref := hex.EncodeToString(sum[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared[ref] = data
	return ref, nil
}

// close lets go of whoever waits.
func (r *Recorder) close() {
	r.mu.Lock()
	r.closed = true
	tasks := r.tasks
	r.mu.Unlock()
	for _, t := range tasks {
		t.promise.Fail(fmt.Errorf("%w: the test is over and nobody ran the task: call Drain, or give it a queuetest.Answer", queue.ErrClosed))
	}
}
