package faults

import (
	"math/rand/v2"
	"testing"
	"time"
)

// short is a worker that others take over from a second after its death.
var short = workerConfig{Concurrency: 10, Lease: time.Second, Grace: 20 * time.Second, MaxCrashes: 20}

// steady is a worker that nobody takes over from while a test lasts: whatever its
// tasks need, they do not get it from a lease that lapses.
var steady = workerConfig{Concurrency: 10, Lease: 10 * time.Minute, Sweep: 100 * time.Millisecond, Grace: 20 * time.Second, MaxCrashes: 3}

// brief is a job of 1 to 3 milliseconds.
func brief() job { return job{Micros: 1000 + rand.IntN(2000)} } //nolint:gosec // a test's choice

// TestKillStorm kills worker processes again and again while they work.
func TestKillStorm(t *testing.T) {
	const tasks, kills, workers = 20_000, 50, 4
	rnd := newRand(t)
	b := newBench(t, setup{worker: short})
	b.fleet.startMany(workers)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		b.load.spread(1500, upTo(tasks), func() error {
			_, err := b.load.submit(brief())
			return err
		})
	}()
	// The kills are spread over the work: one whenever another share of it is done.
	for k := range kills {
		eventually(t, "another share of the work", func() bool { return b.load.heard.Load() >= int64(k*tasks/(kills+1)) })
		living := b.fleet.alive()
		victim := living[rnd.IntN(len(living))]
		eventually(t, "worker "+victim.name+" to be at work", victim.busy)
		b.fleet.kill(victim)
		b.fleet.start()
	}
	<-submitted
	b.finish(rules{Dups: kills * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	if b.fleet.kills != kills {
		t.Errorf("%d kills, want %d", b.fleet.kills, kills)
	}
}

// TestNoFault does the same work with nothing going wrong: nothing may run twice.
func TestNoFault(t *testing.T) {
	const tasks = 20_000
	b := newBench(t, setup{worker: workerConfig{Concurrency: 10, MaxCrashes: 3}})
	b.fleet.startMany(4)
	b.load.spread(1500, upTo(tasks), func() error {
		_, err := b.load.submit(brief())
		return err
	})
	rep := b.finish(rules{})
	if rep.Accepted != tasks || rep.Completed != tasks || rep.Announced != tasks {
		t.Errorf("accepted %d, completed %d, announced %d; want %d each", rep.Accepted, rep.Completed, rep.Announced, tasks)
	}
}
