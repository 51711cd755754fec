package consumer_test

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestWorkerOutlivesARestartThatForgetsEverything(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	w := b.work(consumer.Config{Concurrency: 2, Lease: 3 * time.Second}, double.Handler(twice))
	value(b, submit(b, double, 1))
	for range 2 {
		b.server.Restart()
		b.until("the worker to be back", func() bool { return len(b.consumers()) == 1 })
		f := submit(b, double, 21)
		if got := value(b, f); got != 42 {
			t.Errorf("value %d", got)
		}
	}
	w.stop()
}

// A Redis that forgets everything without so much as closing a connection leaves
// the worker waiting at the bell under a name that no longer exists.
func TestAWaitAtTheBellOfAForgottenWorkerTakesNothingAway(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		w := b.work(consumer.Config{Concurrency: 2, Lease: 6 * time.Second}, double.Handler(twice))
		value(b, submit(b, double, 1))
		for range 3 {
			forgotten := b.consumers()
			if err := b.rdb.FlushAll(b.ctx).Err(); err != nil {
				t.Fatal(err)
			}
			b.until("the worker to be back", func() bool { return len(b.consumers()) == 1 })
			if now := b.consumers(); now[0] == forgotten[0] {
				t.Errorf("it goes on as %s, which another may have taken over from", now[0])
			}
			if got := value(b, submit(b, double, 21)); got != 42 {
				t.Errorf("value %d", got)
			}
		}
		w.stop()
	})
}

func TestWorkerOutlivesARestartThatForgetsNothing(t *testing.T) {
	t.Parallel()
	b := onRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	g := newGate()
	w := b.work(consumer.Config{Concurrency: 2}, double.Handler(twice), gated.Handler(g.handle))
	running := submit(b, gated, 5)
	b.wait("the task", g.entered)
	later := submit(b, double, 1, queue.Delay(300*time.Millisecond))
	b.server.Kill()
	close(g.open) // it ends while nobody can be told
	b.server.Restart()
	if got := value(b, running); got != 5 {
		t.Errorf("value %d", got)
	}
	if got := value(b, later); got != 2 {
		t.Errorf("value %d", got)
	}
	if s := w.Stats(); s.Lapsed != 0 || s.Succeeded != 2 {
		t.Errorf("stats %+v: the lease was good all the time", s)
	}
	w.stop()
}

func TestWorkerOutlivesTheLossOfItsConnections(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	w := b.work(consumer.Config{Concurrency: 4, Lease: noHeartbeat}, double.Handler(twice))
	for range 5 {
		fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, numbers(200)))
		if err := b.rdb.ClientKillByFilter(b.ctx, "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		for i, f := range fs {
			if got := value(b, f); got != 2*i {
				t.Fatalf("value %d of task %d", got, i)
			}
		}
		// And one that finds the worker idle, at a bell that it had to dial again.
		if got := value(b, submit(b, double, 1)); got != 2 {
			t.Errorf("value %d", got)
		}
	}
	w.stop()
	if s := w.Stats(); s.Succeeded != 5*201 || s.Lapsed != 0 {
		t.Errorf("stats %+v", s)
	}
}
