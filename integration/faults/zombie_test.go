package faults

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// TestZombie stops a worker in the middle of a task until another has taken the
// task over, completed it, and gone on; then it lets the worker finish. What it
// says must not count.
func TestZombie(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T11", "workers stopped for longer than their lease")
	rounds := size(5, 30)
	cfg := short
	cfg.Concurrency = 1
	b := newBench(t, setup{worker: cfg})
	b.fleet.startMany(2)
	for round := range rounds {
		gate := filepath.Join(t.TempDir(), "gate")
		fut, err := b.load.submit(job{Gate: gate})
		if err != nil {
			t.Fatal(err)
		}
		id := fut.ID().String()
		var zombie *process
		eventually(t, "a worker to begin task "+id, func() bool {
			for _, p := range b.fleet.alive() {
				if _, ok := p.has(func(r record) bool { return r.Op == opStart && r.ID == id }); ok {
					zombie = p
				}
			}
			return zombie != nil
		})
		zombie.freeze()
		a, err := get(t, fut) // the other one takes over, whose run is not held up
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if strings.HasPrefix(a.Run, zombie.name+".") {
			t.Fatalf("round %d: task %s was completed by the stopped worker %s", round, id, a.Run)
		}
		openGate(t, gate)
		zombie.thaw()
		eventually(t, "the stopped worker to finish its run and to be told that it has lost its lease", func() bool {
			_, ended := zombie.has(func(r record) bool { return r.Op == opEnd && r.ID == id })
			lost := 0
			for _, r := range zombie.history() {
				if r.Op == opStats {
					lost = int(r.Stats.Refused + r.Stats.Lapsed)
				}
			}
			return ended && lost > 0
		})
	}
	rep := b.finish(rules{Dups: rounds, Crashes: 1})
	reached("%d zombies: completions accepted %d, endings refused or leases known to be lost %d", rounds, rep.Twice, rep.Stale+rep.Lapsed)
	if rep.Dups != rounds || rep.Stale+rep.Lapsed < int64(rounds) {
		t.Errorf("%d runs again, %d endings refused and %d leases lost; want %d, and as many refused or lost", rep.Dups, rep.Stale, rep.Lapsed, rounds)
	}
}

// TestZombieWithChildren stops a worker, whose child goes on meanwhile, until another
// worker has taken the task over and completed it. When the worker goes on it kills the
// child; if the child has come to its end meanwhile, what it says must not count.
func TestZombieWithChildren(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T11", "workers with child processes stopped for longer than their lease")
	rounds := size(4, 30)
	cfg := short
	cfg.Concurrency, cfg.Children = 1, &childConfig{KillAfter: time.Hour}
	b := newBench(t, setup{worker: cfg})
	killed := 0
	for round := range rounds {
		zombie := b.fleet.start()
		gate := filepath.Join(t.TempDir(), "gate")
		fut, err := b.load.submit(job{Gate: gate})
		if err != nil {
			t.Fatal(err)
		}
		id := fut.ID().String()
		var run record
		eventually(t, "the worker's child to begin", func() bool {
			var ok bool
			run, ok = zombie.has(func(r record) bool { return r.Op == opStart && r.ID == id })
			return ok
		})
		zombie.freeze()
		other := b.fleet.start()
		a, err := get(t, fut)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if strings.HasPrefix(a.Run, zombie.name+".") {
			t.Fatalf("round %d: task %s was completed by the stopped worker %s", round, id, a.Run)
		}
		_, number, _ := strings.Cut(childOf(run.Run), ".")
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		ended := func() bool {
			_, ok := zombie.has(func(r record) bool { return r.Op == opEnd && r.Run == run.Run })
			return ok
		}
		if round%2 == 0 { // the child goes on for ever
			zombie.thaw()
			eventually(t, "the child to be killed", func() bool { _, parent := stateOf(pid); return parent != zombie.PID() })
			if ended() {
				t.Errorf("round %d: the child has come to its end, although its gate is shut", round)
			}
			killed++
		} else {
			openGate(t, gate)
			eventually(t, "the child to come to its end", ended)
			zombie.thaw()
		}
		eventually(t, "the worker to be told that it has lost its lease", func() bool { return zombie.stats().Refused+zombie.stats().Lapsed > 0 })
		for _, p := range []*process{zombie, other} {
			p.stop()
			p.endsWell()
		}
	}
	rep := b.finish(rules{Dups: rounds, Crashes: 1})
	b.barren()
	for _, p := range b.fleet.procs {
		if n := p.stats().Crashed; n > 0 {
			t.Errorf("worker %s has counted %d crashes of children that it has killed itself", p.name, n)
		}
	}
	reached("%d zombies, %d of whose children were killed: completions accepted %d, endings refused or leases known to be lost %d", rounds, killed, rep.Twice, rep.Stale+rep.Lapsed)
	if rep.Dups != rounds || rep.Stale+rep.Lapsed < int64(rounds) {
		t.Errorf("%d runs again, %d endings refused and %d leases lost; want %d, and as many refused or lost", rep.Dups, rep.Stale, rep.Lapsed, rounds)
	}
}

// get waits for a future, no longer than the test is patient.
func get(t testing.TB, fut *queue.Future[answer]) (answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return fut.Get(ctx)
}

// openGate lets runs end that wait for the gate.
func openGate(t testing.TB, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLateEnding holds back what a worker says about a task it has finished, until
// another worker has taken the task over and completed it. The worker itself sees
// nothing wrong when it speaks: only Redis can refuse it.
func TestLateEnding(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T8", "endings held back until another worker has completed the task")
	rounds := size(3, 20)
	cfg := short
	cfg.Concurrency = 1
	b := newBench(t, setup{worker: cfg})
	for round := range rounds {
		p := newProxy(t, b.redis.Addr())
		b.fleet.cfg.Addr = p.addr()
		slow := b.fleet.start()
		b.fleet.cfg.Addr = b.redis.Addr()
		gate := filepath.Join(t.TempDir(), "gate")
		fut, err := b.load.submit(job{Gate: gate})
		if err != nil {
			t.Fatal(err)
		}
		id := fut.ID()
		eventually(t, "the slow worker to begin", func() bool {
			_, ok := slow.has(func(r record) bool { return r.Op == opStart && r.ID == id.String() })
			return ok
		})
		// From here on nothing that the slow worker sends arrives, its heartbeat neither.
		held, release := make(chan struct{}), make(chan struct{})
		first := true
		p.on(nil, func(x exchange) {
			for _, arg := range x.args {
				if x.verb == "turn" && first && string(arg) == string(id[:]) {
					first = false
					close(held)
				}
			}
			if x.verb == "turn" || x.verb == "beat" {
				<-release
			}
		})
		openGate(t, gate)
		eventually(t, "the slow worker to say that it has finished", func() bool { return isClosed(held) })
		fast := b.fleet.start()
		if _, err := get(t, fut); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		close(release)
		// The connection carries one command after the other: when the slow worker has
		// completed another task, Redis has heard all that was held back.
		fast.stop()
		fast.endsWell()
		next, err := b.load.submit(job{})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := get(t, next); err != nil || !strings.HasPrefix(a.Run, slow.name+".") {
			t.Fatalf("round %d: the slow worker did not go on: %v, %v", round, a, err)
		}
		slow.stop()
		slow.endsWell()
	}
	rep := b.finish(rules{Dups: rounds, Crashes: 1})
	reached("%d late endings: accepted %d, refused %d", rounds, rep.Twice, rep.Stale+rep.Lapsed)
	if rep.Dups != rounds {
		t.Errorf("%d runs again, want %d", rep.Dups, rounds)
	}
}
