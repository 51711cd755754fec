package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// What goes wrong with the notification of an outcome is made up for by a slow
// timer. Tests of it go through it more often than the timer helps within their
// time.
const often = 15

func TestLargeValuesArrive(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		grow := queue.NewTask[int, string]("grow")
		b.work(consumer.Config{Concurrency: 2}, grow.Handler(func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil }))
		for i := range often {
			n := 65000 + 100*i // some below, some above what is sent along with the notification
			if i%2 == 1 {
				n = 700_000
			}
			if got := value(b, submit(b, grow, n)); len(got) != n {
				t.Errorf("%d bytes, want %d", len(got), n)
			}
		}
	})
}

func TestFuturesOutliveTheLossOfConnections(t *testing.T) {
	for _, kind := range []string{"pubsub", "normal"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := onRedis(t)
			g := newGate()
			b.work(consumer.Config{Concurrency: 20}, gated.Handler(g.handle))
			for range often {
				var fs []*queue.Future[int]
				for i := range 10 {
					fs = append(fs, submit(b, gated, i))
				}
				for range fs {
					b.wait("the tasks", g.entered)
				}
				if err := b.rdb.ClientKillByFilter(b.ctx, "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
					t.Fatal(err)
				}
				for range fs { // some before the subscription is made anew, some after
					g.open <- struct{}{}
				}
				for i, f := range fs {
					if got := value(b, f); got != i {
						t.Errorf("value %d of task %d", got, i)
					}
				}
			}
		})
	}
}

func TestNoReplyIsNotWaitedFor(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		ran := make(chan int, 1)
		b.work(consumer.Config{Concurrency: 1}, double.Handler(func(_ context.Context, n int) (int, error) {
			ran <- n
			return n, nil
		}))
		f := submit(b, double, 5, queue.NoReply())
		if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrNoReply) {
			t.Errorf("error %v, want ErrNoReply", err)
		}
		select {
		case n := <-ran:
			if n != 5 {
				t.Errorf("ran with %d", n)
			}
		case <-b.ctx.Done():
			t.Error("the task does not run")
		}
		if keys := b.rdb.Keys(b.ctx, "cenote:*reply:*").Val(); len(keys) != 0 {
			t.Errorf("outcomes that nobody waits for are sent to %q", keys)
		}
	})
}

func TestContextEndsASubmitThatRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	var runs atomic.Int64
	submit(b, double, 0) // the queue is known, the subscription stands
	if err := b.rdb.Do(b.ctx, "CLIENT", "PAUSE", 600000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	defer cancel()
	_, err := double.Submit(ctx, b.x, 1, queue.ID("once"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "which it may do yet") {
		t.Errorf("error %v", err)
	}
	fs, err := double.SubmitAll(ctx, b.x, []int{1, 2})
	if bulk, ok := errors.AsType[*queue.BulkError](err); !ok || len(bulk.Errs) != 2 || !errors.Is(err, context.DeadlineExceeded) || fs[0] != nil {
		t.Errorf("futures %v, error %v", fs, err)
	}
	if err := b.rdb.Do(b.ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	// Submitting again with the same key is safe, whatever became of the first.
	f := submit(b, double, 1, queue.ID("once"))
	b.work(consumer.Config{Concurrency: 1}, double.Handler(func(_ context.Context, n int) (int, error) {
		if n == 1 {
			runs.Add(1)
		}
		return 2 * n, nil
	}))
	if got := value(b, f); got != 2 {
		t.Errorf("value %d", got)
	}
	b.until("all tasks to be run", func() bool { return b.rdb.HLen(b.ctx, root+"tasks").Val() == 0 })
	if n := runs.Load(); n < 1 || n > 2 { // the keyed one, and the bulk's, which may have been accepted
		t.Errorf("%d runs", n)
	}
}

func TestWaitThatIsGivenUpLeavesTheTaskAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1)
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		if _, err := f.Get(ctx); !errors.Is(err, queue.ErrNotReady) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		if got := value(b, f); got != 2 {
			t.Errorf("value %d", got)
		}
	})
}
