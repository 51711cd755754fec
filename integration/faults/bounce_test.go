package faults

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestBounce makes Redis forget its scripts twenty times a second and cut all its
// connections five times a second. No lease can lapse meanwhile, so no task may
// need that, and none may run twice.
func TestBounce(t *testing.T) {
	t.Parallel()
	const flushes = 150
	b := newBench(t, setup{worker: steady})
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
	t.Logf("%d times SCRIPT FLUSH, %d submissions failed", flushed.Load(), rep.Unsure)
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
		kind := map[int64]string{0: "normal", 4: "pubsub"}[n%8]
		if kind == "" {
			continue
		}
		if err := b.rdb.ClientKillByFilter(t.Context(), "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
			t.Errorf("CLIENT KILL TYPE %s: %v", kind, err)
		}
	}
}
