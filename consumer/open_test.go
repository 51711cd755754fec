package consumer_test

import (
	"testing"

	"github.com/cenote-go/cenote/consumer"
)

// TestNobodyWaitsWhereNobodyIsRung: while a worker is at it the arrivals stay open for it,
// and nobody is rung for what comes there. It comes back for that by itself, without a
// heartbeat, and when there is no more it listens again.
func TestNobodyWaitsWhereNobodyIsRung(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	b.work(consumer.Config{Concurrency: 16, Lease: noHeartbeat}, double.Handler(twice))
	seen := 0
	for range 1000 {
		if _, err := double.SubmitAll(b.ctx, b.x, make([]int, 500)); err != nil {
			t.Fatal(err)
		}
		for b.rdb.HLen(b.ctx, root+"tasks").Val() > 0 {
			seen += int(b.rdb.Exists(b.ctx, root+"arrivals").Val())
		}
		value(b, submit(b, double, 1))
		if seen >= 20 {
			break
		}
	}
	if seen < 20 {
		t.Errorf("in 1000 rounds the arrivals were seen %d times", seen)
	}
	b.idle(1)
	if b.rdb.Exists(b.ctx, root+"arrivals").Val() > 0 {
		t.Error("the worker is idle and the arrivals are open")
	}
	value(b, submit(b, double, 1))
}
