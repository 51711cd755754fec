package queuetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Submission is a task that was submitted: its argument, and in the message where it
// was to go and how (Queue, Delay, RunAt, Priority, Key, Retries, Headers, ...).
type Submission[In any] struct {
	In In
	*queue.Message
}

// Submitted returns the arguments of all submissions of task, in their order: those
// that wait, those that have run, those that were made by a handler and those of a
// [queue.Task.Map]. A submission that was refused is none, and neither is one with the
// [queue.ID] of a task that is still there.
func Submitted[In, Out any](t testing.TB, r *Recorder, task queue.Task[In, Out]) []In {
	t.Helper()
	var ins []In
	for _, s := range Submissions(t, r, task) {
		ins = append(ins, s.In)
	}
	return ins
}

// Submissions is [Submitted] with how they were submitted.
func Submissions[In, Out any](t testing.TB, r *Recorder, task queue.Task[In, Out]) []Submission[In] {
	t.Helper()
	var all []Submission[In]
	for _, s := range r.submissions() {
		if s.msg.Type != task.Name() {
			continue
		}
		ins, err := arguments(task, s.msg)
		if err != nil {
			t.Fatalf("queuetest: submission %d: %v", s.nth, err)
		}
		for _, in := range ins {
			m := *s.msg
			all = append(all, Submission[In]{in, &m})
		}
	}
	return all
}

func (r *Recorder) submissions() []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tasks)
}

// arguments returns what a handler of m would get, one or as many as it has items.
func arguments[In, Out any](task queue.Task[In, Out], m *queue.Message) ([]In, error) {
	var ins []In
	mux, err := queue.NewMux([]queue.Route{task.Handler(func(_ context.Context, in In) (out Out, _ error) {
		ins = append(ins, in)
		return out, queue.NoRetry(errPlain) // a zero value need not be one that can be encoded
	})})
	if err != nil {
		return nil, err
	}
	own := *m
	_, err = mux.Handle(queue.WithRunning(context.Background(), queue.Running{ID: m.ID, Type: m.Type, Attempt: 1, Token: 1}, nil), &own)
	if len(ins) == max(m.Items, 1) {
		return ins, nil
	}
	if err == nil {
		err = fmt.Errorf("%w: an argument of a chunk of %q", queue.ErrDecode, m.Type)
	}
	return nil, err
}

// RequireOne fails the test unless task was submitted exactly once, and returns that
// submission.
func RequireOne[In, Out any](t testing.TB, r *Recorder, task queue.Task[In, Out]) Submission[In] {
	t.Helper()
	if n := r.count(task.Name()); n != 1 {
		t.Fatalf("queuetest: %q was submitted %s, want once%s", task.Name(), times(n), list(r, task))
	}
	return Submissions(t, r, task)[0]
}

// RequireNone fails the test if task was submitted.
func RequireNone[In, Out any](t testing.TB, r *Recorder, task queue.Task[In, Out]) {
	t.Helper()
	if n := r.count(task.Name()); n > 0 {
		t.Fatalf("queuetest: %q was submitted %s, want never%s", task.Name(), times(n), list(r, task))
	}
}

// count is how many arguments tasks of a type were submitted with.
func (r *Recorder) count(kind string) (n int) {
	for _, t := range r.submissions() {
		if t.msg.Type == kind {
			n += max(t.msg.Items, 1)
		}
	}
	return n
}

// RequireSubmitted fails the test unless there is a submission as
// task.Submit(ctx, x, in, opts...) makes it: with this argument, the task's own options
// and these, and no others. Where that is too much to ask, look at what [RequireOne] or
// [Submissions] return.
func RequireSubmitted[In, Out any](t testing.TB, r *Recorder, task queue.Task[In, Out], in In, opts ...queue.Option) {
	t.Helper()
	model := newRecorder(t, nil)
	if _, err := task.Submit(context.Background(), model, in, opts...); err != nil {
		t.Fatalf("queuetest: %q could not be submitted like that: %v", task.Name(), err)
	}
	want := Submissions(t, model, task)[0]
	for _, got := range Submissions(t, r, task) {
		if reflect.DeepEqual(got.In, want.In) && reflect.DeepEqual(manner(got.Message), manner(want.Message)) {
			return
		}
	}
	t.Fatalf("queuetest: there is no submission\n\t%s%s", line(want.Message, want.In), list(r, task))
}

// manner is how m was submitted, without what and when.
func manner(m *queue.Message) queue.Message {
	how := *m
	how.ID, how.Payload, how.Items, how.ReplyTo = queue.TaskID{}, nil, 0, ""
	if !how.RunAt.IsZero() {
		how.RunAt = time.UnixMilli(how.RunAt.UnixMilli())
	}
	return how
}
