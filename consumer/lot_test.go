package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// TestPlainTasksComeInLots: while plain tasks stream in they are in flight in lots, and
// those that are not as plain as they looked, or slow, end as they would otherwise.
func TestPlainTasksComeInLots(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	const callers, most = 64, 400_000
	plain := queue.NewTask[int, struct{}]("plain", queue.NoReply(), queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Millisecond, Max: time.Millisecond}))
	runs := make([]atomic.Int32, most)
	b.work(consumer.Config{Concurrency: 100, Lease: noHeartbeat}, plain.Handler(func(_ context.Context, i int) (struct{}, error) {
		n := runs[i].Add(1)
		switch {
		case i%2000 == 1507 && n == 1: // the first of them come when tasks come in lots
			return struct{}{}, errors.New("not yet")
		case i%2000 == 1011:
			time.Sleep(20 * time.Millisecond) // longer than a lot waits for its last one
		}
		return struct{}{}, nil
	}), double.Handler(twice))

	value(b, submit(b, double, 1)) // the worker is there
	run := must[[]string](b)(b.rdb.Keys(b.ctx, root+"run:*").Result())[0]

	var next atomic.Int64
	var seen atomic.Bool // enough of lots
	var producers sync.WaitGroup
	for range callers {
		producers.Go(func() {
			for !seen.Load() {
				i := int(next.Add(1) - 1)
				if i >= most {
					return
				}
				if _, err := plain.Submit(b.ctx, b.x, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	lots, deadline := map[string]bool{}, time.Now().Add(within)
	for (len(lots) < 50 || next.Load() < 20_000) && time.Now().Before(deadline) && next.Load() < most {
		for _, f := range b.rdb.HKeys(b.ctx, run).Val() {
			if strings.HasPrefix(f, "#l") && len(f) > 16 {
				lots[f] = true
			}
		}
	}
	seen.Store(true)
	producers.Wait()
	if len(lots) < 50 {
		t.Errorf("among %d tasks there were %d lots", next.Load(), len(lots))
	}
	b.until("an empty queue", func() bool { return b.rdb.Exists(b.ctx, root+"tasks", root+"arrivals").Val() == 0 })
	b.idle(1)
	for i := range min(int(next.Load()), most) {
		want := int32(1)
		if i%2000 == 1507 {
			want = 2
		}
		if n := runs[i].Load(); n != want {
			t.Fatalf("task %d ran %d times, want %d", i, n, want)
		}
	}
	for f := range b.rdb.HGetAll(b.ctx, run).Val() {
		if strings.HasPrefix(f, "#l") && len(f) > 16 {
			t.Errorf("the lot %q is left", f)
		}
	}
}
