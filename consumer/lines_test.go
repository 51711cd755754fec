package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// A worker that could do something and does not is found by its next heartbeat.
// With such a lease there is none while a test runs: what is not started in time
// is never started.
const noHeartbeat = time.Hour

func TestFewSlotsServeManyLines(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.work(consumer.Config{Concurrency: 1, Lease: noHeartbeat, Queues: []consumer.Queue{{Name: "a"}, {Name: "b"}, {Name: "c"}}}, double.Handler(twice))
		for range 3 {
			// One queue has much while the others have nothing.
			for _, f := range must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 200), queue.On("b"))) {
				value(b, f)
			}
			for _, q := range []string{"a", "b", "c", "c", "b", "a"} {
				value(b, submit(b, double, 1, queue.On(q)))
			}
		}
	})
}

func TestFewSlotsServeManyPartitions(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		if _, err := b.x.Declare(b.ctx, "default", queue.Layout{Partitions: 5}); err != nil {
			t.Fatal(err)
		}
		b.work(consumer.Config{Concurrency: 2, Lease: noHeartbeat}, double.Handler(twice))
		for range 40 {
			value(b, submit(b, double, 1))
		}
	})
}

func TestRetriesNeedNoHeartbeat(t *testing.T) {
	for _, slots := range []int{1, 3} {
		t.Run(fmt.Sprint(slots, " slots"), func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *bed) {
				task := queue.NewTask[int, int]("fails", queue.Retries(9), queue.Spaced(queue.Backoff{Base: 4 * time.Millisecond, Max: 4 * time.Millisecond}))
				b.work(consumer.Config{Concurrency: slots, Lease: noHeartbeat}, task.Handler(func(ctx context.Context, n int) (int, error) {
					if queue.FromContext(ctx).Attempt < 4 {
						return 0, errors.New("not yet")
					}
					return n, nil
				}))
				for range 5 {
					value(b, submit(b, task, 1))
				}
				for _, f := range must[[]*queue.Future[int]](b)(task.SubmitAll(b.ctx, b.x, make([]int, 20))) {
					value(b, f)
				}
			})
		})
	}
}

func TestRetryWhileTheOtherSlotsAreTaken(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		task := queue.NewTask[int, int]("fails", queue.Retries(9), queue.Spaced(queue.Backoff{Base: 4 * time.Millisecond, Max: 4 * time.Millisecond}))
		routes := []queue.Route{gated.Handler(g.handle), task.Handler(func(ctx context.Context, n int) (int, error) {
			if queue.FromContext(ctx).Attempt < 4 {
				return 0, errors.New("not yet")
			}
			return n, nil
		})}
		for range 2 {
			b.work(consumer.Config{Concurrency: 2, Lease: noHeartbeat}, routes...)
		}
		var held []*queue.Future[int]
		for range 3 {
			held = append(held, submit(b, gated, 1))
		}
		for range len(held) {
			b.wait("the tasks at the gate", g.entered)
		}
		for range 5 {
			value(b, submit(b, task, 1))
		}
		close(g.open)
		for _, f := range held {
			value(b, f)
		}
	})
}

// Tasks that are submitted while workers start find some listening, some about to
// claim for the first time, and none of them may be left to the next heartbeat.
func TestTasksSubmittedWhileWorkersStart(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		for range 15 {
			g := newGate()
			var hands []*hand
			for range 2 {
				hands = append(hands, b.work(consumer.Config{Concurrency: 2, Lease: noHeartbeat}, gated.Handler(g.handle)))
			}
			var fs []*queue.Future[int]
			for range 3 { // one of the workers has no room for the third one
				fs = append(fs, submit(b, gated, 1))
			}
			for range fs {
				b.wait("the tasks at the gate", g.entered)
			}
			close(g.open)
			for _, f := range fs {
				value(b, f)
			}
			for _, h := range hands {
				h.stop()
			}
		}
	})
}
