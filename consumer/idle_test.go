package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// An idle worker costs Redis at most a command a second, those inside scripts
// counted too.
func TestIdleWorkerCostsNextToNothing(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	b.work(consumer.Config{Concurrency: 4}, double.Handler(twice))
	value(b, submit(b, double, 1))
	b.idle(1)
	const seconds = 12
	before := b.info("stats", "total_commands_processed:")
	from := b.now()
	for b.now().Sub(from) < seconds*time.Second {
		time.Sleep(2 * time.Second) // the one thing that this test needs is that time passes
	}
	after := b.info("stats", "total_commands_processed:")
	const own = 1 + 1 + seconds/2 + 1 // this INFO, and the looks at the clock
	if n := after - before - own; n > seconds {
		t.Errorf("%d commands in %d seconds", n, seconds)
	} else {
		t.Logf("%d commands in %d seconds", n, seconds)
	}
}

// One of many idle workers gets up for a delayed task; the others sleep on.
func TestOneIdleWorkerGetsUpForADueTask(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	var runs atomic.Int64
	const workers = 10
	for range workers {
		b.work(consumer.Config{Concurrency: 1, Lease: noHeartbeat}, double.Handler(func(context.Context, int) (int, error) {
			return int(runs.Add(1)), nil
		}))
	}
	b.idle(workers)
	value(b, submit(b, double, 1)) // from here on the scripts are known and the producer listens
	b.idle(workers)
	for range 3 {
		before := b.info("commandstats", "cmdstat_evalsha:calls=")
		value(b, submit(b, double, 1, queue.Delay(100*time.Millisecond)))
		b.idle(workers)
		// The submission; the one who is rung and keeps the time; that one again when
		// the task is due and when it has ended; the one whom it hands the time to.
		if n := b.info("commandstats", "cmdstat_evalsha:calls=") - before; n >= workers {
			t.Errorf("%d turns for one task: the herd gets up", n)
		}
	}
	if n := runs.Load(); n != 4 {
		t.Errorf("%d runs of 4 tasks", n)
	}
}
