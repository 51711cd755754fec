package queue_test

import (
	"context"
	"slices"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// wired runs what is submitted at once, from the bytes that would travel.
type wired struct{ mux *queue.Mux }

func (w wired) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	m.ID = queue.NewTaskID(0)
	p := queue.NewPromise(m.ID)
	value, err := w.mux.Handle(queue.WithRunning(ctx, queue.Running{ID: m.ID, Attempt: 1}, nil), m)
	if err != nil {
		p.Fail(err)
	} else {
		p.Resolve(&queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: 1, Value: value})
	}
	return p, nil
}

func (w wired) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	ps := make([]*queue.Promise, len(ms))
	for i, m := range ms {
		ps[i], _ = w.Submit(ctx, m)
	}
	return ps, nil
}

func (w wired) Open(context.Context, *queue.Message) (*queue.Promise, error) {
	return nil, queue.ErrResultExpired
}

// BenchmarkMapAll is what an item of a chunk costs on both sides, without the trip.
func BenchmarkMapAll(b *testing.B) {
	task := queue.NewTask[int, int]("bench.increment")
	mux, err := queue.NewMux([]queue.Route{task.Handler(func(_ context.Context, i int) (int, error) { return i + 1, nil })})
	if err != nil {
		b.Fatal(err)
	}
	ins := make([]int, 100_000)
	for i := range ins {
		ins[i] = i
	}
	b.ReportAllocs()
	for left := b.N; left > 0; left -= len(ins) {
		n := min(left, len(ins))
		outs, err := task.MapAll(b.Context(), wired{mux}, slices.Values(ins[:n]), queue.Chunk(1000))
		if err != nil || len(outs) != n {
			b.Fatal(len(outs), err)
		}
	}
}
