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
	const tasks, stops = 2400, 8
	b := newBench(t, setup{worker: steady})
	b.fleet.startMany(3)
	b.strike(tasks, stops, func(p *process) {
		p.stop()
		b.fleet.start()
		p.endsWell()
	})
	b.finish(rules{})
}

// TestSecondSignal ends the grace of a worker that drains: what it runs goes to
// another one at once, with no crash to its name.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	cfg := steady
	cfg.Grace = time.Hour
	b := newBench(t, setup{worker: cfg})
	p := b.fleet.start()
	gate := filepath.Join(t.TempDir(), "gate")
	for range cfg.Concurrency {
		if _, err := b.load.submit(job{Gate: gate, Heeding: true}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the worker to run all tasks", func() bool { return p.count(opStart) == cfg.Concurrency })
	p.signal(syscall.SIGTERM)
	other := b.fleet.start()
	// The first worker has time without end; the second signal takes it away.
	eventually(t, "the worker to drain", p.draining)
	if p.Gone() {
		t.Fatalf("the worker has ended although it had tasks and time; it said:\n%s", p.log())
	}
	p.signal(syscall.SIGTERM)
	p.endsWell()
	openGate(t, gate)
	rep := b.finish(rules{Dups: cfg.Concurrency})
	if got := other.count(opEnd); got != cfg.Concurrency || rep.Recovered > 0 {
		t.Errorf("the other worker has finished %d tasks, %d of them taken over; want %d, handed back", got, rep.Recovered, cfg.Concurrency)
	}
}
