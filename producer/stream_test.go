package producer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestStreamOutcomes(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		task := queue.NewTask[int, int]("add", queue.OnStream("events"))
		for group, plus := range map[string]int{"one": 1, "ten": 10} {
			b.work(consumer.Config{Concurrency: 2, Queues: []consumer.Queue{{Name: "events", Group: group}}},
				task.Handler(func(_ context.Context, n int) (int, error) { return n + plus, nil }))
		}
		b.until("both groups", func() bool { return b.rdb.SCard(b.ctx, "cenote:{events}:groups").Val() == 2 })
		if _, err := submit(b, task, 1).Get(b.ctx); !errors.Is(err, queue.ErrNoReply) {
			t.Errorf("nobody's outcome: %v, want ErrNoReply", err)
		}
		for range 20 {
			if got := value(b, submit(b, task, 100, queue.ReplyFrom("ten"))); got != 110 {
				t.Errorf("value %d, want that of the group ten", got)
			}
			if got := value(b, submit(b, task, 100, queue.ReplyFrom("one"))); got != 101 {
				t.Errorf("value %d, want that of the group one", got)
			}
		}
		// One key is one task, for both clients.
		key, from := queue.ID("k"), queue.ReplyFrom("ten")
		f := submit(b, task, 1, key, from)
		g := must[*queue.Future[int]](b)(task.Submit(b.ctx, b.producer(), 2, key, from))
		if v, w := value(b, f), value(b, g); v != 11 || w != 11 {
			t.Errorf("values %d and %d, want 11 twice", v, w)
		}
	})
}

func TestStreamFailureReachesTheCaller(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		broken := errors.New("broken")
		task := queue.NewTask[int, int]("fails", queue.OnStream("events"), queue.ReplyFrom("g"), queue.Sentinel("broken", broken))
		f := submit(b, task, 1) // before the group exists: the stream keeps it
		b.work(consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "events", Group: "g"}}},
			task.Handler(func(context.Context, int) (int, error) { return 0, broken }))
		if _, err := f.Get(b.ctx); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	})
}
