package faults

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestBounce makes Redis forget its scripts twenty times a second and cut, ten times
// a second, all subscriptions or all other connections. No lease can lapse meanwhile, so no task may
// need that, and none may run twice.
func TestBounce(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T15", "SCRIPT FLUSH every 50 ms, CLIENT KILL every 100 ms")
	flushes := int64(size(120, 600))
	b := newBench(t, setup{worker: steady})
	b.load.chains = true
	b.fleet.startMany(3)
	var flushed atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		bounce(t, b, &flushed, stop)
	}()
	b.load.spread(32, func(int) bool { return flushed.Load() < flushes }, func() error {
		j := brief()
		j.Micros += 15_000
		if j.Micros%2 == 0 {
			return b.load.insist(j)
		}
		// What fails without a key may have been accepted or not: nobody can tell.
		_, _ = b.load.submit(j)
		return nil
	})
	b.load.wait() // with the trouble going on
	close(stop)
	<-stopped
	rep := b.finish(rules{})
	reached("%d flushes, %d kills, %d tasks: lost %d, silent futures %d, completed twice %d, run again %d",
		flushed.Load(), flushed.Load()/2, rep.Accepted, rep.Lost, rep.Silent, rep.Twice, rep.Dups)
}

// bounce makes trouble until stop is closed.
func bounce(t *testing.T, b *bench, flushed *atomic.Int64, stop <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if err := b.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Errorf("SCRIPT FLUSH: %v", err)
		}
		n := flushed.Add(1)
		kind := map[int64]string{0: "normal", 2: "pubsub"}[n%4]
		if kind == "" {
			continue
		}
		if err := b.rdb.ClientKillByFilter(t.Context(), "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
			t.Errorf("CLIENT KILL TYPE %s: %v", kind, err)
		}
	}
}
