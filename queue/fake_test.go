package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// fake is an Executor without a store: each task runs in a goroutine of its own,
// after a trip over the wire form. With gate set, a task's outcome is held back
// until the test lets it go: its task has not started. With direct set, nothing
// takes the trip.
type fake struct {
	mux     *queue.Mux
	gate    bool
	direct  bool
	workers int  // what it says it has
	bare    bool // it has no Control

	mu      sync.Mutex
	more    *sync.Cond // sent has grown
	sent    []*queue.Message
	held    map[int]chan struct{} // by position in sent
	refuse  error                 // what Submit answers, if set
	tasks   map[*queue.Promise]*fakeTask
	cancels []queue.CancelResult
	forgot  int
	running sync.WaitGroup
}

// fakeTask is one that may be cancelled.
type fakeTask struct {
	n       int
	ctx     context.Context
	stop    context.CancelCauseFunc
	started bool
	off     bool
}

func (f *fake) Direct() bool { return f.direct }
func (f *fake) Workers() int { return f.workers }

func (f *fake) Cancel(_ context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rs := make([]queue.CancelResult, len(ps))
	for i, p := range ps {
		switch t := f.tasks[p]; {
		case !t.started && !t.off:
			t.off = true
			p.Resolve(queue.Failure(p.ID(), queue.StateCancelled, 0, queue.ErrCancelled))
			f.letLocked(t.n)
			rs[i] = queue.CancelBeforeStart
		case how.Interrupt:
			t.stop(queue.ErrCancelled)
			rs[i] = queue.CancelInterrupted
		}
	}
	f.cancels = append(f.cancels, rs...)
	return rs, nil
}

func (f *fake) Forget(_ context.Context, p *queue.Promise) error {
	f.mu.Lock()
	f.forgot++
	f.mu.Unlock()
	p.Fail(queue.ErrResultExpired)
	return nil
}

// sizes is how many items each message carried.
func (f *fake) sizes() (n []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.sent {
		n = append(n, m.Items)
	}
	return n
}

// cancelled is what became of the wishes to cancel.
func (f *fake) cancelled() []queue.CancelResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.cancels)
}

func newFake(t testing.TB, routes ...queue.Route) *fake {
	t.Helper()
	mux, err := queue.NewMux(routes)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{mux: mux, held: map[int]chan struct{}{}, tasks: map[*queue.Promise]*fakeTask{}}
	f.more = sync.NewCond(&f.mu)
	t.Cleanup(f.close)
	return f
}

func (f *fake) close() {
	f.mu.Lock()
	for i := range f.sent {
		f.letLocked(i)
	}
	for _, t := range f.tasks {
		t.stop(queue.ErrShutdown)
	}
	f.mu.Unlock()
	f.running.Wait()
}

func (f *fake) Submit(_ context.Context, m *queue.Message) (*queue.Promise, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	m.ID = queue.NewTaskID(0)
	p := queue.NewPromise(m.ID)
	n := len(f.sent)
	task := &fakeTask{n: n}
	task.ctx, task.stop = context.WithCancelCause(context.Background())
	f.tasks[p] = task
	if !f.bare {
		p.Controlled(f, m.Queue, "")
	}
	f.sent = append(f.sent, m)
	f.more.Broadcast()
	gate := make(chan struct{})
	f.held[n] = gate
	if !f.gate {
		f.letLocked(n)
	}
	f.running.Go(func() {
		<-gate
		f.mu.Lock()
		task.started = true
		off := task.off
		f.mu.Unlock()
		if !off {
			p.Resolve(f.run(task.ctx, p, m))
		}
	})
	return p, nil
}

// run is what a worker makes of m.
func (f *fake) run(ctx context.Context, p *queue.Promise, m *queue.Message) *queue.Outcome {
	ctx = queue.WithRunning(ctx, queue.Running{ID: m.ID, Type: m.Type, Attempt: 1, Token: 1}, &fakeHost{emit: p.Emit})
	state := func(err error) queue.State {
		if errors.Is(err, queue.ErrCancelled) {
			return queue.StateCancelled
		}
		return queue.StateDead
	}
	if f.direct {
		_, err := f.mux.Handle(ctx, m)
		o := &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: 1, Direct: m.Direct.Out, Cause: err}
		if err != nil {
			o.State, o.Direct = state(err), nil
		}
		return o
	}
	there, err := queue.ParseMessage(m.AppendWire(nil))
	if err != nil {
		return queue.Failure(m.ID, queue.StateDead, 0, err)
	}
	there.ID = m.ID
	v, err := f.mux.Handle(ctx, there)
	o := &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: 1, Value: v, Codec: there.Codec}
	if err != nil {
		o = f.mux.Failure(there, state(err), 1, err)
	}
	back, err := queue.ParseOutcome(o.AppendWire(nil))
	if err != nil {
		return queue.Failure(m.ID, queue.StateDead, 1, err)
	}
	return back
}

// fakeHost is what handlers can call on.
type fakeHost struct {
	emit   func(queue.Event)
	common []byte
	value  any // instead of common, in the process
	record []byte
	forbid error // what Wait answers
	mu     sync.Mutex
	waits  int // under way
	aside  int
	loads  int
}

func (h *fakeHost) Emit(e queue.Event) {
	if h.emit != nil {
		h.emit(e)
	}
}

func (h *fakeHost) Common(_ context.Context, load func([]byte) (any, error)) (any, error) {
	if h.value != nil {
		return h.value, nil
	}
	h.loads++
	return load(h.common)
}

func (h *fakeHost) Recall(context.Context) ([]byte, error) { return h.record, nil }

func (h *fakeHost) Record(_ context.Context, part []byte) error {
	h.record = append(h.record, part...)
	return nil
}

func (h *fakeHost) Wait(*queue.Promise) (func(), error) {
	if h.forbid != nil {
		return nil, h.forbid
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waits--
	}, nil
}

func (h *fakeHost) Aside(f func()) { h.aside++; f() }

// let lets the n-th task go.
func (f *fake) let(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letLocked(n)
}

func (f *fake) letLocked(n int) {
	if gate := f.held[n]; gate != nil {
		close(gate)
		delete(f.held, n)
	}
}

// count is how many tasks were submitted so far.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// await returns when n tasks were submitted.
func (f *fake) await(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.sent) < n {
		f.more.Wait()
	}
}

func (f *fake) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	ps, errs, failed := make([]*queue.Promise, len(ms)), make([]error, len(ms)), false
	for i, m := range ms {
		ps[i], errs[i] = f.Submit(ctx, m)
		failed = failed || errs[i] != nil
	}
	if !failed {
		errs = nil
	}
	return ps, errs
}

func (f *fake) Open(_ context.Context, m *queue.Message) (*queue.Promise, error) {
	return queue.FailedPromise(m.ID, queue.ErrResultExpired), nil
}

// double is the task that most tests use.
var double = queue.NewTask[int, int]("double")

func doubling(_ context.Context, n int) (int, error) { return 2 * n, nil }

// emit says something for every task.
func (f *fake) emit(e queue.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.tasks {
		p.Emit(e)
	}
}
