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
	reached := inTable(t, "T1", "workers killed at random")
	const workers = 4
	tasks, kills := size(20_000, 100_000), size(50, 250)
	b := newBench(t, setup{worker: short})
	b.load.chains = true
	b.fleet.startMany(workers)
	b.strike(tasks, kills, func(victim *process) {
		b.fleet.kill(victim)
		b.fleet.start()
	})
	rep := b.finish(rules{Dups: kills * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	reached("%d tasks, %d kills: lost %d, completed twice %d, run again %d of at most %d", rep.Accepted, kills, rep.Lost, rep.Twice, rep.Dups, kills*b.fleet.inFlight())
	if b.fleet.kills != kills {
		t.Errorf("%d kills, want %d", b.fleet.kills, kills)
	}
}

// strike submits tasks and strikes at workers chosen at random, so many times, as
// load.strike does.
func (b *bench) strike(tasks, strikes int, at func(victim *process)) {
	b.t.Helper()
	rnd := newRand(b.t)
	b.load.strike(rnd, tasks, strikes, brief, func() {
		living := b.fleet.alive()
		victim := living[rnd.IntN(len(living))]
		eventually(b.t, "worker "+victim.name+" to be ready", victim.started)
		at(victim)
	})
}

// TestNoFault does the same work with nothing going wrong: nothing may run twice.
func TestNoFault(t *testing.T) {
	reached := inTable(t, "T32", "none")
	tasks := size(20_000, 100_000)
	b := newBench(t, setup{worker: workerConfig{Concurrency: 10, MaxCrashes: 3}})
	b.load.chains = true
	b.fleet.startMany(4)
	b.load.spread(1500, upTo(tasks), func() error {
		_, err := b.load.submit(brief())
		return err
	})
	rep := b.finish(rules{})
	reached("%d tasks: lost %d, run again %d", rep.Accepted, rep.Lost, rep.Dups)
	if rep.Accepted != tasks || rep.Completed != tasks || rep.Announced != tasks {
		t.Errorf("accepted %d, completed %d, announced %d; want %d each", rep.Accepted, rep.Completed, rep.Announced, tasks)
	}
}
