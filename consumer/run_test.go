package consumer_test

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestAtMostConcurrencyTasksRunAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		const size = 4
		var running, most atomic.Int64
		full := make(chan struct{})
		fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 60)))
		b.work(consumer.Config{Concurrency: size}, double.Handler(func(ctx context.Context, n int) (int, error) {
			now := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			if now == size {
				select {
				case <-full:
				default:
					close(full) // one at a time gets here: size is reached by one
				}
			}
			select { // the first ones wait for each other: the bound is reached
			case <-full:
			case <-b.ctx.Done():
			}
			time.Sleep(time.Millisecond) // work, so that the rest has a chance to be too many
			return n, nil
		}))
		for _, f := range fs {
			value(b, f)
		}
		if most.Load() != size {
			t.Errorf("%d tasks ran at once, Concurrency is %d", most.Load(), size)
		}
	})
}

func TestRetriesAreSpacedAndThenTheTaskIsDead(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		type run struct {
			attempt int
			token   uint64
			at      time.Time
		}
		var mu sync.Mutex
		var runs []run
		broken := errors.New("broken")
		task := queue.NewTask[int, int]("fails", queue.Retries(2), queue.Sentinel("broken", broken),
			queue.Spaced(queue.Backoff{Base: 80 * time.Millisecond, Max: time.Hour}))
		w := b.work(consumer.Config{Concurrency: 2}, task.Handler(func(ctx context.Context, _ int) (int, error) {
			r := queue.FromContext(ctx)
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, run{r.Attempt, r.Token, b.now()})
			return 0, broken
		}))
		f := submit(b, task, 1)
		_, err := f.Get(b.ctx)
		te, ok := errors.AsType[*queue.TaskError](err)
		if !ok || te.Attempt != 3 || !errors.Is(err, broken) || f.State() != queue.StateDead {
			t.Errorf("error %v (%+v), state %v", err, te, f.State())
		}
		mu.Lock()
		defer mu.Unlock()
		if len(runs) != 3 {
			t.Fatalf("%d attempts, want 3", len(runs))
		}
		for i, r := range runs {
			if r.attempt != i+1 {
				t.Errorf("attempt %d calls itself %d", i+1, r.attempt)
			}
			if i > 0 && r.token <= runs[i-1].token {
				t.Errorf("tokens %d, then %d", runs[i-1].token, r.token)
			}
		}
		// The base, doubled each time, at most a quarter less.
		for i, least := range []time.Duration{60 * time.Millisecond, 120 * time.Millisecond} {
			if gap := runs[i+1].at.Sub(runs[i].at); gap < least {
				t.Errorf("attempt %d came %v after the one before, want at least %v", i+2, gap, least)
			}
		}
		if n := b.rdb.ZCard(b.ctx, root+"dead").Val(); n != 1 {
			t.Errorf("%d dead tasks, want 1", n)
		}
		if s := w.Stats(); s.Retried != 2 || s.Dead != 1 || s.Claimed != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRetryAfterAndNoRetry(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		// By its own backoff the task would wait for an hour.
		task := queue.NewTask[string, int]("fails", queue.Retries(5), queue.Spaced(queue.Backoff{Base: time.Hour, Max: time.Hour}))
		b.work(consumer.Config{Concurrency: 2}, task.Handler(func(ctx context.Context, how string) (int, error) {
			attempt := queue.FromContext(ctx).Attempt
			switch {
			case how == "never again":
				return 0, queue.NoRetry(errors.New("hopeless"))
			case attempt < 3:
				return 0, queue.RetryAfter(time.Millisecond, errors.New("not yet"))
			}
			return attempt, nil
		}))
		again, never := submit(b, task, "again"), submit(b, task, "never again")
		if got := value(b, again); got != 3 {
			t.Errorf("attempt %d succeeded, want the third", got)
		}
		_, err := never.Get(b.ctx)
		if te, ok := errors.AsType[*queue.TaskError](err); !ok || te.Attempt != 1 || te.Message != "hopeless" {
			t.Errorf("error %v, want the first attempt's", err)
		}
	})
}

func TestTimeoutEndsTheAttempt(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		cause := make(chan error, 1)
		task := queue.NewTask[int, int]("slow", queue.Timeout(30*time.Millisecond))
		b.work(consumer.Config{Concurrency: 1}, task.Handler(func(ctx context.Context, _ int) (int, error) {
			if queue.FromContext(ctx).Deadline.IsZero() {
				t.Error("the handler is not told its deadline")
			}
			select {
			case <-ctx.Done():
			case <-b.ctx.Done():
			}
			cause <- context.Cause(ctx)
			return 0, ctx.Err()
		}))
		_, err := submit(b, task, 1).Get(b.ctx)
		if !errors.Is(err, queue.ErrTimeout) || !queue.IsTaskError(err) {
			t.Errorf("error %v, want the task's timeout", err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the task's timeout looks like one of the caller's wait")
		}
		if c := <-cause; !errors.Is(c, queue.ErrTimeout) {
			t.Errorf("the handler's context ended with cause %v", c)
		}
	})
}

// TestAHandlersContextOutlivesItsTask: what a handler may know stays true for a
// goroutine that it leaves behind, and its context then says that the attempt is over.
func TestAHandlersContextOutlivesItsTask(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		type key struct{}
		task := queue.NewTask[int, int]("leaves", queue.Header("tenant", "a"), queue.Timeout(time.Minute))
		left := make(chan context.Context, 1)
		b.work(consumer.Config{Concurrency: 1}, task.Handler(func(ctx context.Context, n int) (int, error) {
			if ctx.Err() != nil || context.Cause(ctx) != nil || ctx.Value(key{}) != nil {
				t.Errorf("while it runs: %v, %v", ctx.Err(), context.Cause(ctx))
			}
			left <- context.WithValue(ctx, key{}, queue.FromContext(ctx))
			return n, nil
		}))
		f := submit(b, task, 1)
		if _, err := f.Get(b.ctx); err != nil {
			t.Fatal(err)
		}
		ctx := <-left
		select {
		case <-ctx.Done():
		case <-b.ctx.Done():
			t.Fatal("the context of a task that has ended is not done")
		}
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("it says %v, because %v", ctx.Err(), context.Cause(ctx))
		}
		during, after := ctx.Value(key{}).(queue.Running), queue.FromContext(ctx)
		if !reflect.DeepEqual(during, after) {
			t.Errorf("the handler was told %+v, and later %+v", during, after)
		}
		if r := after; r.ID != f.ID() || r.Type != "leaves" || r.Queue != queue.DefaultQueue || r.Attempt != 1 || r.Token != 1 || r.Headers["tenant"] != "a" || r.Deadline.IsZero() {
			t.Errorf("the handler was told %+v", r)
		}
	})
}

func explode() { panic("kaboom") }

func TestPanicAndGoexitAreErrorsAndCostNoSlot(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		task := queue.NewTask[string, string]("ends")
		b.work(consumer.Config{Concurrency: 1}, task.Handler(func(_ context.Context, how string) (string, error) {
			switch how {
			case "panic":
				explode()
			case "exit":
				runtime.Goexit()
			}
			return how, nil
		}))
		for range 3 { // with one slot: what is lost once is lost for good
			_, err := submit(b, task, "panic").Get(b.ctx)
			te, ok := errors.AsType[*queue.TaskError](err)
			if !ok || !errors.Is(err, queue.ErrPanic) || !strings.Contains(te.Message, "kaboom") {
				t.Fatalf("error %v, want the panic", err)
			}
			if !strings.Contains(te.Stack, "explode") {
				t.Errorf("the stack does not say where it panicked:\n%s", te.Stack)
			}
			if _, err := submit(b, task, "exit").Get(b.ctx); !errors.Is(err, queue.ErrExited) {
				t.Fatalf("error %v, want ErrExited", err)
			}
		}
		if got := value(b, submit(b, task, "fine")); got != "fine" {
			t.Errorf("value %q", got)
		}
	})
}

func TestMiddlewareWrapsInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var mu sync.Mutex
		var steps []string
		step := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, s)
		}
		named := func(name string) queue.Middleware {
			return func(next queue.Handler) queue.Handler {
				return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
					step(name + " before " + m.Type + " " + queue.FromContext(ctx).Headers["tenant"])
					defer step(name + " after")
					return next.Handle(ctx, m)
				})
			}
		}
		b.work(consumer.Config{Concurrency: 1, Middleware: []queue.Middleware{named("outer"), named("inner")}},
			double.Handler(func(_ context.Context, n int) (int, error) {
				step("handler")
				return 2 * n, nil
			}))
		if got := value(b, submit(b, double, 21, queue.Header("tenant", "acme"))); got != 42 {
			t.Errorf("value %d", got)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{"outer before double acme", "inner before double acme", "handler", "inner after", "outer after"}
		if !slices.Equal(steps, want) {
			t.Errorf("steps %q, want %q", steps, want)
		}
	})
}
