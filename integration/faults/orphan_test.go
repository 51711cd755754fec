package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// TestOrphans kills workers whose children compute and have started processes of their
// own: all of them must go, too.
func TestOrphans(t *testing.T) {
	reached := inTable(t, "T3", "workers killed whose children compute and have children")
	rounds := size(5, 50)
	cfg := steady
	cfg.Concurrency, cfg.Children = 2, &childConfig{}
	b := newBench(t, setup{worker: cfg})
	var took []time.Duration
	for range rounds {
		p := b.fleet.start()
		for range cfg.Concurrency {
			if _, err := work.Submit(t.Context(), b.load.client, job{Spawns: true, Spins: true}, queue.NoReply()); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the tasks to begin", func() bool { return p.count(opStart) == cfg.Concurrency })
		p.herd().whole()
		// The worker, its children, and the processes of the two that work.
		all := 1 + cfg.Concurrency + 1 + cfg.Concurrency
		eventually(t, "the processes to be there", func() bool { return len(kin(t, b.dir)) == all })
		family := kin(t, b.dir)
		at := time.Now()
		b.fleet.kill(p)
		eventually(t, "all of them to be gone", func() bool { return len(kin(t, b.dir)) == 0 })
		took = append(took, time.Since(at))
		eventually(t, "somebody to wait for them", func() bool { return len(zombies(family)) == 0 })
		if err := b.rdb.FlushAll(t.Context()).Err(); err != nil { // what they ran would never end
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	slowest := took[len(took)-1].Round(time.Millisecond)
	if *chaos && slowest > 5*time.Second {
		t.Errorf("it took up to %v until all were gone", slowest)
	}
	reached("%d kills: processes left 0, zombies 0; all gone after %v (median), %v at most", rounds, took[len(took)/2].Round(time.Millisecond), slowest)
}
