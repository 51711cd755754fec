package queuetest

import (
	"context"

	"github.com/cenote-go/cenote/queue"
)

// Answer scripts how a task ends, from now on: with out, or with err if that is not nil.
// Nothing is run; futures of the task that wait are done when Answer returns, and those
// of later submissions when they are made. Another Answer takes its place.
//
// The value is encoded, and the error crosses the wire, as if a handler had returned
// it: what the task declares by [queue.Sentinel] or [queue.ErrorType] arrives as such,
// and [queue.ErrWorkerLost], [queue.ErrTimeout], [queue.ErrCancelled] and
// [queue.ErrExpired] as themselves.
func Answer[In, Out any](r *Recorder, task queue.Task[In, Out], out Out, err error) {
	r.t.Helper()
	mux, bad := queue.NewMux([]queue.Route{task.Handler(func(context.Context, In) (Out, error) { return out, err })})
	if bad != nil {
		r.t.Fatalf("queuetest: Answer: %v", bad)
	}
	r.answer(task.Name(), mux)
}

func (r *Recorder) answer(kind string, mux *queue.Mux) {
	r.mu.Lock()
	r.answers[kind] = mux
	tasks := r.tasks
	r.mu.Unlock()
	for _, t := range tasks {
		if t.msg.Type == kind {
			r.run(t, nil)
		}
	}
}
