package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// blameless fails the test if anything that happened counts as a crash.
func (b *bed) blameless() {
	b.t.Helper()
	for _, note := range b.rdb.HGetAll(b.ctx, root+"notes").Val() {
		b.t.Errorf("a task has the note %q (priority, attempts, crashes, expiry)", note)
	}
}

func TestStopLetsRunningTasksFinishAndGivesTheRestBack(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		ctx, stop := context.WithCancel(b.ctx)
		defer stop()
		first := b.start(ctx, consumer.Config{Concurrency: 1}, double.Handler(twice), gated.Handler(func(ctx context.Context, n int) (int, error) {
			stop() // at once, before what is held ahead can go back because this one is slow
			return g.handle(ctx, n)
		}))
		// Many short tasks make the worker hold some ahead, so that the tasks behind
		// the gate are in its hands when it is stopped.
		before := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 400)))
		held := submit(b, gated, 7)
		after := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 50)))
		b.wait("the task at the gate", g.entered)

		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice), gated.Handler(g.handle))
		for _, f := range append(before, after...) {
			value(b, f) // while the first worker still waits for its last task
		}
		select {
		case <-first.done:
			t.Error("Run returned while a task ran and its grace was not over")
		default:
		}
		close(g.open)
		first.ended()
		if got := value(b, held); got != 7 {
			t.Errorf("value %d", got)
		}
		if s := first.Stats(); s.Succeeded+s.GivenBack != s.Claimed {
			t.Errorf("stats %+v: claimed tasks are neither finished nor given back", s)
		}
		if n := len(g.entered); n != 0 {
			t.Errorf("the task that could finish within the grace ran %d times", n+1)
		}
		b.blameless()
	})
}

func TestAfterTheGraceTasksAreCancelledAndHandedBack(t *testing.T) {
	for name, end := range map[string]func(h *hand){
		"grace over": func(*hand) {},
		"abort":      func(h *hand) { h.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *bed) {
				cfg := consumer.Config{Concurrency: 1, Grace: time.Millisecond}
				if name == "abort" {
					cfg.Grace = time.Hour
				}
				g := newGate()
				cause := make(chan error, 1)
				first := b.work(cfg, gated.Handler(func(ctx context.Context, n int) (int, error) {
					_, err := g.handle(ctx, n)
					cause <- context.Cause(ctx)
					return 0, err
				}))
				f := submit(b, gated, 1)
				b.wait("the task", g.entered)
				first.cancel()
				end(first)
				first.ended()
				if err := <-cause; !errors.Is(err, queue.ErrShutdown) {
					t.Errorf("the context was cancelled with cause %v", err)
				}
				b.blameless()
				b.work(consumer.Config{Concurrency: 1}, gated.Handler(func(ctx context.Context, _ int) (int, error) {
					return queue.FromContext(ctx).Attempt, nil
				}))
				if attempt := value(b, f); attempt != 1 {
					t.Errorf("the next worker runs attempt %d: being handed back used up a retry", attempt)
				}
				if n := first.Stats().GivenBack; n != 1 {
					t.Errorf("%d tasks given back, want 1", n)
				}
			})
		})
	}
}

func TestHandlerThatIgnoresItsContextDoesNotHoldRunUp(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		t.Cleanup(func() { // it goes on when the test is over, and nothing comes of it
			close(g.open)
		})
		first := b.work(consumer.Config{Concurrency: 1, Grace: -1}, gated.Handler(g.ignore))
		f := submit(b, gated, 1)
		b.wait("the task", g.entered)
		first.stop()
		b.blameless()
		b.work(consumer.Config{Concurrency: 1}, gated.Handler(func(context.Context, int) (int, error) { return 2, nil }))
		if got := value(b, f); got != 2 {
			t.Errorf("value %d, want the second worker's", got)
		}
	})
}

func TestQuietTakesNothingMore(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	g := newGate()
	first := b.work(consumer.Config{Concurrency: 2}, gated.Handler(g.handle), double.Handler(func(context.Context, int) (int, error) {
		t.Error("a quiet worker took a task")
		return 0, nil
	}))
	b.idle(1)
	running := submit(b, gated, 1)
	b.wait("the task", g.entered)
	b.idle(1) // it listens for the second one
	first.Quiet()
	first.Quiet()
	b.until("the bell to be given up", func() bool { // its connection, not just this wait
		return !strings.Contains(b.rdb.ClientList(b.ctx).Val(), "cmd=blmove")
	})
	fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 3)))
	close(g.open)
	if got := value(b, running); got != 1 {
		t.Errorf("value %d", got)
	}
	select {
	case <-first.done:
		t.Error("Quiet ended Run")
	default:
	}
	b.work(consumer.Config{Concurrency: 2}, double.Handler(twice))
	for _, f := range fs {
		value(b, f)
	}
	first.stop()
}

func TestRunMayBeCalledOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		w := b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		value(b, submit(b, double, 1))
		if err := w.Run(b.ctx); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("the second Run returned %v, want ErrClosed", err)
		}
		w.stop()
		if err := w.Run(b.ctx); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Run of a stopped worker returned %v, want ErrClosed", err)
		}
		if n := len(b.consumers()); n != 0 {
			t.Errorf("%d leases are left behind", n)
		}
	})
}
