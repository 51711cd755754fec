package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/queue/queuetest"
)

func TestInlineRunsInTheCall(t *testing.T) {
	ran := false
	x := queuetest.Inline(t, double.Handler(func(_ context.Context, n int) (int, error) { ran = true; return 2 * n, nil }))
	f := must[*queue.Future[int]](t)(double.Submit(t.Context(), x, 21, queue.Delay(24*time.Hour)))
	if !ran {
		t.Fatal("Submit has returned, and the handler was not run")
	}
	if n, err := f.Result(); n != 42 || err != nil || f.State() != queue.StateSucceeded {
		t.Errorf("the future has %d, %v, %v", n, err, f.State())
	}
}

func TestInlineTakesTheWayOverBytes(t *testing.T) {
	type bag struct{ F func() }
	pack := queue.NewTask[bag, int]("pack")
	unpack := queue.NewTask[int, bag]("unpack")
	long := queue.NewTask[string, string]("long")
	type secret struct{ Open, hidden string }
	tell := queue.NewTask[secret, secret]("tell")
	type key struct{}
	x := queuetest.Inline(t,
		pack.Handler(func(context.Context, bag) (int, error) { return 1, nil }),
		unpack.Handler(func(context.Context, int) (bag, error) { return bag{func() {}}, nil }),
		long.Handler(func(_ context.Context, s string) (string, error) { return s + s, nil }),
		tell.Handler(func(ctx context.Context, s secret) (secret, error) {
			if ctx.Value(key{}) != nil {
				t.Error("the submitter's context has come along")
			}
			return s, nil
		}))
	_, err := pack.Submit(t.Context(), x, bag{func() {}})
	is(t, err, queue.ErrEncode)
	f, err := unpack.Submit(t.Context(), x, 1)
	if err != nil {
		t.Fatal(err)
	}
	is(t, f.Err(), queue.ErrEncode)
	_, err = long.Submit(t.Context(), x, strings.Repeat("x", queue.MaxMessage))
	is(t, err, queue.ErrTooLarge)
	_, err = long.Call(t.Context(), x, strings.Repeat("x", queue.MaxMessage*2/3))
	is(t, err, queue.ErrTooLarge)
	got, err := tell.Call(context.WithValue(t.Context(), key{}, 1), x, secret{"a", "b"})
	if err != nil || got != (secret{"a", ""}) {
		t.Errorf("%+v, %v: a field that is not exported does not travel", got, err)
	}
}

func TestInlineErrorsAreThoseOfTheWire(t *testing.T) {
	x := queuetest.Inline(t, send.Handler(func(_ context.Context, m Mail) (string, error) {
		switch m.To {
		case "panic":
			panic("boom")
		case "exit":
			runtime.Goexit()
		case "off":
			return "", queue.ErrCancelled
		}
		return "", queue.NoRetry(fmt.Errorf("to %s: %w", m.To, errBounced))
	}))
	f := must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{To: "ada"}))
	is(t, f.Err(), errBounced)
	if e, ok := errors.AsType[*queue.TaskError](f.Err()); !ok || e.Code != "bounced" || e.Attempt != 1 || e.Message != "to ada: bounced" {
		t.Errorf("the error is %#v", f.Err())
	}
	_, err := send.Call(t.Context(), x, Mail{To: "panic"})
	is(t, err, queue.ErrPanic)
	f = must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{To: "off"}))
	is(t, f.Err(), queue.ErrCancelled)
	equal(t, "state", f.State(), queue.StateCancelled)
	done := make(chan struct{})
	go func() { // the call's own goroutine ends with the handler
		defer close(done)
		_, _ = send.Submit(t.Context(), x, Mail{To: "exit"}, queue.ID("exit"))
	}()
	<-done
	f = must[*queue.Future[string]](t)(send.Open(t.Context(), x, queue.KeyTaskID("exit", 1)))
	is(t, f.Err(), queue.ErrExited)
}

func TestInlineTriesAgainInNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		x := queuetest.Inline(t, send.Handler(func(ctx context.Context, m Mail) (string, error) {
			r := queue.FromContext(ctx)
			seen = append(seen, fmt.Sprint(r.Type, r.Queue, r.Attempt, r.Token, r.Headers))
			switch {
			case r.Attempt == 1:
				return "", queue.RetryAfter(time.Hour, errBounced)
			case r.Attempt < 4 || m.To == "never":
				return "", errBounced
			}
			return "sent", nil
		}))
		began := time.Now()
		if s, err := send.Call(t.Context(), x, Mail{}, queue.Header("k", "v")); s != "sent" || err != nil {
			t.Errorf("%q, %v", s, err)
		}
		equal(t, "attempts", strings.Join(seen, " "), "mail.sendmail1 1 map[k:v] mail.sendmail2 2 map[k:v] mail.sendmail3 3 map[k:v] mail.sendmail4 4 map[k:v]")
		f := must[*queue.Future[string]](t)(send.Submit(t.Context(), x, Mail{To: "never"}))
		is(t, f.Err(), errBounced)
		equal(t, "state", f.State(), queue.StateDead)
		equal(t, "time that passed", time.Since(began), time.Duration(0))
	})
}

func TestInlineTimeoutIsVirtualInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := queue.NewTask[int, int]("slow", queue.Timeout(time.Hour))
		x := queuetest.Inline(t, slow.Handler(func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		began := time.Now()
		_, err := slow.Call(t.Context(), x, 1)
		is(t, err, queue.ErrTimeout)
		equal(t, "time that passed", time.Since(began), time.Hour)
	})
}

func TestInlineMiddleware(t *testing.T) {
	var seen []string
	mw := func(name string) queue.Middleware {
		return func(h queue.Handler) queue.Handler {
			return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
				if m.Key != "" || m.Delay != 0 || m.ID.IsZero() {
					t.Errorf("a message arrives as %+v, with what does not travel", m)
				}
				seen = append(seen, name+" "+m.Type)
				return h.Handle(ctx, m)
			})
		}
	}
	x := queuetest.Inline(t, double.Handler(twice)).Use(mw("outer"), mw("inner"))
	equal(t, "value", must[int](t)(double.Call(t.Context(), x, 4, queue.ID("k"), queue.Delay(time.Hour))), 8)
	equal(t, "middlewares", seen, []string{"outer double", "inner double"})
}

func TestInlineChainsMapsAndSharing(t *testing.T) {
	var got []int
	keep := queue.NewTask[int, struct{}]("keep")
	scaled := queue.NewTask[int, int]("scaled")
	x := queuetest.Inline(t, double.Handler(twice),
		keep.Handler(func(_ context.Context, n int) (struct{}, error) { got = append(got, n); return struct{}{}, nil }),
		scaled.Handler(func(ctx context.Context, n int) (int, error) {
			by, err := queue.Common[int](ctx)
			return by * n, err
		}))
	equal(t, "the first's value", must[int](t)(double.Call(t.Context(), x, 3, queue.Then(keep))), 6)
	equal(t, "the second's argument", got, []int{6})
	equal(t, "the second", queuetest.Submitted(t, x, keep), []int{6})
	ins := []int{1, 2, 3, 4}
	equal(t, "map", must[[]int](t)(double.MapAll(t.Context(), x, slices.Values(ins), queue.Chunk(3))), []int{2, 4, 6, 8})
	equal(t, "its arguments", queuetest.Submitted(t, x, double), []int{3, 1, 2, 3, 4})
	equal(t, "shared", must[int](t)(scaled.Call(t.Context(), x, 5, queue.Sharing(7))), 35)
	_, err := double.Submit(t.Context(), x, 1, queue.Then(queue.NewTask[int, int]("nobody")))
	is(t, err, queue.ErrUnknownType)
}

func TestInlineKnowsItsTasks(t *testing.T) {
	n := 0
	count := queue.NewTask[int, int]("count")
	x := queuetest.Inline(t, count.Handler(func(context.Context, int) (int, error) { n++; return n, nil }), audit.Handler(func(context.Context, string) (struct{}, error) { return struct{}{}, nil }))
	a := must[*queue.Future[int]](t)(count.Submit(t.Context(), x, 1, queue.ID("once")))
	b := must[*queue.Future[int]](t)(count.Submit(t.Context(), x, 1, queue.ID("once")))
	if a.ID() != b.ID() || must[int](t)(b.Result()) != 1 || n != 1 {
		t.Errorf("two submissions with one ID ran %d times", n)
	}
	f := must[*queue.Future[struct{}]](t)(audit.Submit(t.Context(), x, "x"))
	is(t, f.Err(), queue.ErrNoReply)
	_, err := double.Submit(t.Context(), x, 1)
	is(t, err, queue.ErrUnknownType)
	_, err = count.Submit(t.Context(), x, 1, queue.OnStream("default"))
	is(t, err, queue.ErrQueueKind)
	_, err = count.Submit(t.Context(), x, 1, queue.Retries(-1))
	is(t, err, queue.ErrOption)
	_, err = count.Open(t.Context(), x, must[*queue.Future[int]](t)(count.Submit(t.Context(), x, 1)).ID())
	is(t, err, queue.ErrResultExpired)
}

func TestInlineHandlersSubmitAndWait(t *testing.T) {
	fib := queue.NewTask[int, int]("fib")
	var x *queuetest.Recorder
	x = queuetest.Inline(t, fib.Handler(func(ctx context.Context, n int) (int, error) {
		if n < 2 {
			return n, nil
		}
		a, err := fib.Call(ctx, x, n-1)
		if err != nil {
			return 0, err
		}
		b, err := fib.Call(ctx, x, n-2)
		return a + b, err
	}))
	equal(t, "fib(10)", must[int](t)(fib.Call(t.Context(), x, 10)), 55)
}

func TestInlineRefusesTasksWithoutEnd(t *testing.T) {
	text := failure(func(t testing.TB) {
		again := queue.NewTask[int, int]("again", queue.NoReply())
		var x *queuetest.Recorder
		x = queuetest.Inline(t, again.Handler(func(ctx context.Context, n int) (int, error) {
			_, err := again.Submit(ctx, x, n+1)
			return n, err
		}))
		_, _ = again.Submit(context.Background(), x, 0)
	})
	if !strings.Contains(text, `1000 tasks run inside one another, the last is "again"`) {
		t.Errorf("the test fails with %q", text)
	}
}
