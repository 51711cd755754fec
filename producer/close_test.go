package producer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestClose(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		b.work(consumer.Config{Concurrency: 2}, gated.Handler(g.handle), double.Handler(twice))
		value(b, submit(b, double, 1)) // the log of outcomes is there
		if keys := b.rdb.Keys(b.ctx, "cenote:*reply:*").Val(); len(keys) != 1 {
			t.Fatalf("logs of outcomes: %q", keys)
		}
		pending := submit(b, gated, 1, queue.Keep(time.Hour))
		b.wait("the task", g.entered)
		for range 2 {
			if err := b.x.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if _, err := pending.Get(b.ctx); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("pending future: %v, want ErrClosed", err)
		}
		if keys := b.rdb.Keys(b.ctx, "cenote:*reply:*").Val(); len(keys) != 0 {
			t.Errorf("logs of outcomes are left: %q", keys)
		}
		for name, err := range map[string]error{
			"Submit": func() error { _, err := double.Submit(b.ctx, b.x, 1); return err }(),
			"Submit to a new queue": func() error {
				_, err := double.Submit(b.ctx, b.x, 1, queue.On("new"))
				return err
			}(),
			"Submit without reply": func() error { _, err := double.Submit(b.ctx, b.x, 1, queue.NoReply()); return err }(),
			"SubmitAll":            func() error { _, err := double.SubmitAll(b.ctx, b.x, []int{1}); return err }(),
			"Open":                 func() error { _, err := double.Open(b.ctx, b.x, pending.ID()); return err }(),
		} {
			if !errors.Is(err, queue.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		// The task goes on, and its outcome can be had elsewhere.
		close(g.open)
		if got := value(b, b.open(gated, pending.ID())); got != 1 {
			t.Errorf("value %d", got)
		}
	})
}

func TestCloseWaitsForSubmissionsUnderWay(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	submit(b, double, 0, queue.NoReply())
	if err := b.rdb.Do(b.ctx, "CLIENT", "PAUSE", 600000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	// Its caller gives up, but the task is on its way.
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := double.Submit(ctx, b.x, 1, queue.NoReply()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = b.x.Close()
	}()
	cancel() // so that nothing more is asked of Redis
	b.until("Close to begin", func() bool {
		_, err := b.x.Open(ctx, &queue.Message{ID: queue.NewTaskID(0), Queue: "default"})
		return errors.Is(err, queue.ErrClosed)
	})
	for range 50 { // time enough to return
		b.now()
	}
	select {
	case <-closed:
		t.Error("Close does not wait")
	default:
	}
	if err := b.rdb.Do(b.ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	b.wait("Close", closed)
	if n := b.rdb.HLen(b.ctx, root+"tasks").Val(); n != 2 {
		t.Errorf("%d tasks are stored when Close returns, want 2", n)
	}
}
