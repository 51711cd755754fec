package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/queue/queuetest"
)

func TestRecordKeepsWhatWasSubmitted(t *testing.T) {
	x := queuetest.Record(t)
	queuetest.RequireNone(t, x, send)
	at := time.Now().Add(time.Hour)
	_ = must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{"ada", "hi"}, queue.Delay(time.Hour), queue.Prioritized(queue.High), queue.ID("k"), queue.Header("tenant", "a")))
	_ = must[[]*queue.Future[string]](t)(send.SubmitAll(t.Context(), x, []Mail{{To: "bob"}, {To: "eve"}}, queue.At(at), queue.On("slow")))
	_ = must[*queue.Future[struct{}]](t)(audit.Submit(t.Context(), x, "mailed"))

	equal(t, "arguments", queuetest.Submitted(t, x, send), []Mail{{"ada", "hi"}, {To: "bob"}, {To: "eve"}})
	all := queuetest.Submissions(t, x, send)
	first, last := all[0], all[2]
	if first.In.To != "ada" || first.Queue != "mail" || first.Delay != time.Hour || first.Priority != queue.High || first.Key != "k" || first.Headers["tenant"] != "a" || first.Retries != 3 {
		t.Errorf("the first submission is %+v", first)
	}
	if last.Queue != "slow" || !last.RunAt.Equal(at) || last.Delay != 0 || last.Key != "" {
		t.Errorf("the last submission is %+v", last)
	}
	equal(t, "the one audit", queuetest.RequireOne(t, x, audit).In, "mailed")
	queuetest.RequireSubmitted(t, x, send, Mail{"ada", "hi"}, queue.Header("tenant", "a"), queue.ID("k"), queue.Delay(time.Hour), queue.Prioritized(queue.High))
	queuetest.RequireSubmitted(t, x, send, Mail{To: "eve"}, queue.On("slow"), queue.At(at))
	queuetest.RequireNone(t, x, double)
}

func TestFailuresSayWhatWasSubmittedInstead(t *testing.T) {
	x := queuetest.Record(t)
	text := failure(func(t testing.TB) { queuetest.RequireOne(t, x, send) })
	equal(t, "nothing", text, `queuetest: "mail.send" was submitted never, want once; nothing was submitted at all`)

	_ = must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{"ada", "hi"}, queue.Delay(time.Hour), queue.Then(queue.NewTask[string, int]("count"))))
	_ = must[*queue.Future[struct{}]](t)(audit.Submit(t.Context(), x, "mailed", queue.ID("k"), queue.Encoded(queue.JSON)))
	instead := `; this was submitted:
	1. mail.send({To:ada Subject:hi}) on queue mail, delay 1h0m0s, retries 3, then count on queue default
	2. audit("mailed") on queue default, id "k", keep 1h0m0s, encoded as json, no reply`
	untyped := strings.Replace(instead, "{To:ada Subject:hi}", "map[Subject:hi To:ada]", 1)
	text = failure(func(t testing.TB) { queuetest.RequireOne(t, x, double) })
	equal(t, "another", text, `queuetest: "double" was submitted never, want once`+untyped)
	text = failure(func(t testing.TB) { queuetest.RequireNone(t, x, audit) })
	equal(t, "one too many", text, `queuetest: "audit" was submitted once, want never`+untyped)
	text = failure(func(t testing.TB) {
		queuetest.RequireSubmitted(t, x, send, Mail{"ada", "hi"}, queue.Delay(time.Minute))
	})
	equal(t, "other options", text, `queuetest: there is no submission
	mail.send({To:ada Subject:hi}) on queue mail, delay 1m0s, retries 3`+instead)
	text = failure(func(t testing.TB) { queuetest.Submitted(t, x, queue.NewTask[int, int]("audit")) })
	equal(t, "another type", text, `queuetest: submission 2: cannot decode: the argument of "audit" is encoded as "json", the worker's definition says "msgpack"; use one definition on both sides`)
	text = failure(func(t testing.TB) { x := queuetest.Record(t); x.Drain() })
	equal(t, "no handlers", text, "queuetest: the recorder has no handlers to run anything with; give them to queuetest.Record")
	text = failure(func(t testing.TB) { queuetest.Record(t, double.Handler(twice), double.Handler(twice)) })
	equal(t, "bad routes", text, `queuetest: invalid option: "double" has two handlers; keep one`)
}

func TestDrainRunsInTheOrderOfTheQueue(t *testing.T) {
	var x *queuetest.Recorder
	var got []string
	note := queue.NewTask[string, string]("note")
	x = queuetest.Record(t, note.Handler(func(ctx context.Context, s string) (string, error) {
		got = append(got, s)
		if s == "urgent" {
			_, err := note.Submit(ctx, x, "by urgent")
			return s, err
		}
		return s, nil
	}))
	submit := func(s string, opts ...queue.Option) *queue.Future[string] {
		t.Helper()
		return must[*queue.Future[string]](t)(note.Submit(t.Context(), x, s, opts...))
	}
	submit("tomorrow", queue.Delay(24*time.Hour))
	submit("in an hour", queue.At(time.Now().Add(time.Hour)))
	submit("some day", queue.Prioritized(queue.Low))
	first := submit("first")
	submit("urgent", queue.Prioritized(queue.High))
	submit("second")
	_ = must[*queue.Future[struct{}]](t)(audit.Submit(t.Context(), x, "not ours"))
	if _, err := first.Result(); !queue.IsWait(err) {
		t.Errorf("before anything has run the future has %v", err)
	}
	if !x.RunOne() {
		t.Error("RunOne has found nothing")
	}
	equal(t, "after one", got, []string{"urgent"})
	equal(t, "more", x.Drain(), 6)
	equal(t, "order", got, []string{"urgent", "first", "second", "by urgent", "some day", "in an hour", "tomorrow"})
	equal(t, "value", must[string](t)(first.Result()), "first")
	equal(t, "again", x.Drain(), 0)
	equal(t, "submissions", len(queuetest.Submitted(t, x, note)), 7)
}

func TestDrainEnds(t *testing.T) {
	text := failure(func(t testing.TB) {
		var x *queuetest.Recorder
		x = queuetest.Record(t, double.Handler(func(ctx context.Context, n int) (int, error) {
			_, err := double.Submit(ctx, x, n+1)
			return n, err
		}))
		_, _ = double.Submit(context.Background(), x, 0)
		x.Drain()
	})
	equal(t, "failure", text, "queuetest: Drain has run 10000 tasks and there are still more: some task submits itself; run them one at a time with RunOne")
}

func TestAnswer(t *testing.T) {
	x := queuetest.Record(t)
	early := must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{To: "ada"}))
	queuetest.Answer(x, send, "sent", nil)
	equal(t, "a future that waited", must[string](t)(early.Result()), "sent")
	equal(t, "a later one", must[string](t)(send.Call(t.Context(), x, Mail{To: "bob"})), "sent")
	queuetest.Answer(x, send, "", fmt.Errorf("to eve: %w", errBounced))
	_, err := send.Call(t.Context(), x, Mail{To: "eve"})
	is(t, err, errBounced)
	if e, ok := errors.AsType[*queue.TaskError](err); !ok || e.Attempt != 1 {
		t.Errorf("the error is %#v, not one of the wire after one attempt", err)
	}
	equal(t, "the earlier one", must[string](t)(early.Result()), "sent")
	for err, state := range map[error]queue.State{
		queue.ErrTimeout: queue.StateDead, queue.ErrWorkerLost: queue.StateDead, queue.ErrCancelled: queue.StateCancelled, queue.ErrExpired: queue.StateExpired,
	} {
		queuetest.Answer(x, send, "", err)
		f := must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{}))
		is(t, f.Err(), err)
		equal(t, "state", f.State(), state)
	}
	equal(t, "all of them", len(queuetest.Submitted(t, x, send)), 7)

	// An inline recorder can do without the handler of what has an answer, and with a
	// map.
	in := queuetest.Inline(t)
	queuetest.Answer(in, double, 7, nil)
	equal(t, "map", must[[]int](t)(double.MapAll(t.Context(), in, slices.Values([]int{1, 2, 3}))), []int{7, 7, 7})
}

func TestRefuse(t *testing.T) {
	x := queuetest.Record(t)
	x.Refuse(queue.ErrUnavailable)
	_, err := double.Submit(t.Context(), x, 1)
	is(t, err, queue.ErrUnavailable)
	_, err = double.SubmitAll(t.Context(), x, []int{1, 2})
	is(t, err, queue.ErrUnavailable)
	x.Refuse(nil)
	_ = must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 3))
	equal(t, "accepted", queuetest.Submitted(t, x, double), []int{3})
}

func TestRecordedTasksCanBeCancelled(t *testing.T) {
	ran := false
	x := queuetest.Record(t, double.Handler(func(_ context.Context, n int) (int, error) { ran = true; return n, nil }))
	f := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 1))
	g := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 2))
	equal(t, "cancel", must[queue.CancelResult](t)(f.Cancel(t.Context())), queue.CancelBeforeStart)
	is(t, f.Err(), queue.ErrCancelled)
	equal(t, "again", must[queue.CancelResult](t)(f.Cancel(t.Context())), queue.CancelBeforeStart)
	_, err := g.Cancel(t.Context(), queue.Kill(0))
	is(t, err, queue.ErrNotKillable)
	if err := g.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	is(t, g.Err(), queue.ErrResultExpired)
	equal(t, "drained", x.Drain(), 1)
	equal(t, "ran", ran, true)
}

func TestInterruptReachesTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := queuetest.Record(t, double.Handler(func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		f := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 1))
		go x.Drain()
		synctest.Wait()
		equal(t, "without Interrupt", must[queue.CancelResult](t)(f.Cancel(t.Context())), queue.CancelTooLate)
		equal(t, "with", must[queue.CancelResult](t)(f.Cancel(t.Context(), queue.Interrupt())), queue.CancelInterrupted)
		_, err := f.Get(t.Context())
		is(t, err, queue.ErrCancelled)
	})
}

func TestHandlersOfARecorderMayWait(t *testing.T) {
	var x *queuetest.Recorder
	outer := queue.NewTask[int, int]("outer")
	alone := queue.NewTask[int, int]("alone")
	stuck := queue.NewTask[int, int]("stuck")
	x = queuetest.Record(t, double.Handler(twice),
		outer.Handler(func(ctx context.Context, n int) (int, error) { return double.Call(ctx, x, n) }),
		alone.Handler(func(ctx context.Context, n int) (int, error) {
			f, err := alone.Open(ctx, x, queue.FromContext(ctx).ID)
			if err != nil {
				return 0, err
			}
			return f.Get(ctx)
		}),
		stuck.Handler(func(ctx context.Context, n int) (int, error) {
			_, err := send.Call(ctx, x, Mail{})
			return 0, err
		}))
	f := must[*queue.Future[int]](t)(outer.Submit(t.Context(), x, 4))
	g := must[*queue.Future[int]](t)(alone.Submit(t.Context(), x, 4))
	h := must[*queue.Future[int]](t)(stuck.Submit(t.Context(), x, 4))
	x.Drain()
	equal(t, "what it waited for", must[int](t)(f.Result()), 8)
	for _, f := range []*queue.Future[int]{g, h} {
		if err := f.Err(); err == nil || !queue.IsTaskError(err) {
			t.Errorf("a wait without an end came to %v", err)
		}
	}
}

func TestWhatARecorderKeepsAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := queuetest.Record(t, double.Handler(twice))
		f := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 1, queue.Keep(time.Hour)))
		late := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 1, queue.Expire(time.Minute)))
		time.Sleep(2 * time.Minute)
		x.Drain()
		is(t, late.Err(), queue.ErrExpired)
		equal(t, "state", late.State(), queue.StateExpired)
		time.Sleep(59 * time.Minute)
		g := must[*queue.Future[int]](t)(double.Open(t.Context(), x, f.ID()))
		equal(t, "kept", must[int](t)(g.Result()), 2)
		if _, err := must[*queue.Future[string]](t)(send.Open(t.Context(), x, f.ID(), queue.On("default"))).Result(); !errors.Is(err, queue.ErrTaskMismatch) {
			t.Errorf("opened as another task it says %v", err)
		}
		time.Sleep(time.Minute)
		_, err := double.Open(t.Context(), x, f.ID())
		is(t, err, queue.ErrResultExpired)
	})
}

func TestTheEndOfTheTestEndsWaits(t *testing.T) {
	var f *queue.Future[int]
	t.Run("test", func(t *testing.T) {
		x := queuetest.Record(t)
		f = must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 1))
	})
	_, err := f.Get(t.Context())
	is(t, err, queue.ErrClosed)
}
