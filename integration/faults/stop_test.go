package faults

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestRollingStop makes one worker after the other drain while they work. Nothing
// may count as a crash, nothing may run twice, and all must end well.
func TestRollingStop(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T28", "workers told to stop under load")
	stopOneByOne(t, reached, steady)
}

// TestRollingStopOfChildren does the same to workers that run their tasks in child
// processes, none of which may outlive its worker.
func TestRollingStopOfChildren(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T28", "workers with child processes told to stop under load")
	cfg := steady
	cfg.Concurrency, cfg.Children = 3, &childConfig{}
	stopOneByOne(t, reached, cfg)
}

func stopOneByOne(t *testing.T, reached func(string, ...any), cfg workerConfig) {
	tasks, stops := size(2400, 15_000), size(8, 50)
	b := newBench(t, setup{worker: cfg})
	b.fleet.startMany(3)
	b.strike(tasks, stops, func(p *process) {
		p.stop()
		b.fleet.start()
		p.endsWell()
	})
	rep := b.finish(rules{})
	b.barren()
	reached("%d tasks, %d stops: lost %d, run again %d, taken for crashed 0", rep.Accepted, stops, rep.Lost, rep.Dups)
}

// TestSecondSignal ends the grace of a worker that drains: what it runs goes to
// another one at once, with no crash to its name.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	handsBack(t, "grace ended by a second signal", time.Hour, nil, func(p *process) {
		if p.Gone() {
			t.Fatalf("the worker has ended although it had tasks and time; it said:\n%s", p.log())
		}
		p.signal(syscall.SIGTERM)
	})
}

// TestGraceOver lets a worker's grace end by itself.
func TestGraceOver(t *testing.T) {
	t.Parallel()
	handsBack(t, "grace exceeded", 200*time.Millisecond, nil, func(*process) {})
}

// TestGraceOverOfChildren lets the grace of a worker end whose tasks are in child
// processes, and do not heed their contexts: they are killed, and no crash is counted.
func TestGraceOverOfChildren(t *testing.T) {
	t.Parallel()
	handsBack(t, "grace exceeded by child processes that heed nothing", 200*time.Millisecond, &childConfig{}, func(*process) {})
}

// handsBack makes a worker drain that can finish nothing, with as many tasks running
// as it has slots and more that wait. When its grace is over, another worker gets all
// of them, none as a crash.
func handsBack(t *testing.T, nemesis string, grace time.Duration, children *childConfig, end func(p *process)) {
	reached := inTable(t, "T28", nemesis)
	rounds := size(2, 50)
	cfg := steady
	cfg.Grace, cfg.Children = grace, children
	if children != nil {
		cfg.Concurrency = 3
	}
	b := newBench(t, setup{worker: cfg})
	run, all := cfg.Concurrency, 3*cfg.Concurrency
	for range rounds {
		p := b.fleet.start()
		gate := filepath.Join(t.TempDir(), "gate")
		for range all {
			if _, err := b.load.submit(job{Gate: gate, Heeding: children == nil}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the worker to run as much as it may", func() bool { return p.count(opStart) == run })
		p.signal(syscall.SIGTERM)
		eventually(t, "the worker to drain", p.draining)
		other := b.fleet.start()
		end(p)
		p.endsWell()
		openGate(t, gate)
		eventually(t, "the other worker to finish them", func() bool { return other.count(opEnd) == all })
		other.stop()
		other.endsWell()
	}
	rep := b.finish(rules{Dups: rounds * run})
	b.barren()
	reached("%d rounds of %d tasks: lost %d, handed back %d, taken for crashed %d", rounds, all, rep.Lost, rep.Dups, rep.Recovered)
	if rep.Dups != rounds*run || rep.Recovered > 0 {
		t.Errorf("%d tasks ran again, %d of them taken over; want %d, handed back", rep.Dups, rep.Recovered, rounds*run)
	}
}
