package queue_test

import (
	"context"
	"sync"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// fake is an Executor without a store: each task runs in a goroutine of its own,
// after a trip over the wire form. With gate set, a task's outcome is held back
// until the test lets it go.
type fake struct {
	mux  *queue.Mux
	gate bool

	mu      sync.Mutex
	more    *sync.Cond // sent has grown
	sent    []*queue.Message
	held    map[int]chan struct{} // by position in sent
	refuse  error                 // what Submit answers, if set
	running sync.WaitGroup
}

func newFake(t testing.TB, routes ...queue.Route) *fake {
	t.Helper()
	mux, err := queue.NewMux(routes)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{mux: mux, held: map[int]chan struct{}{}}
	f.more = sync.NewCond(&f.mu)
	t.Cleanup(f.close)
	return f
}

func (f *fake) close() {
	f.mu.Lock()
	for i := range f.sent {
		f.letLocked(i)
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
	f.sent = append(f.sent, m)
	f.more.Broadcast()
	gate := make(chan struct{})
	f.held[n] = gate
	if !f.gate {
		f.letLocked(n)
	}
	f.running.Go(func() {
		<-gate
		p.Resolve(f.run(m))
	})
	return p, nil
}

// run is what a worker makes of m.
func (f *fake) run(m *queue.Message) *queue.Outcome {
	there, err := queue.ParseMessage(m.AppendWire(nil))
	if err != nil {
		return queue.Failure(m.ID, queue.StateDead, 0, err)
	}
	there.ID = m.ID
	v, err := f.mux.Handle(context.Background(), there)
	o := &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: 1, Value: v, Codec: there.Codec}
	if err != nil {
		o = f.mux.Failure(there, queue.StateDead, 1, err)
	}
	back, err := queue.ParseOutcome(o.AppendWire(nil))
	if err != nil {
		return queue.Failure(m.ID, queue.StateDead, 1, err)
	}
	return back
}

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
