package faults

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// poisons are the ways in which a task ends the process that runs it.
var poisons = map[string]func(){
	"exit":  func() { os.Exit(3) },
	"panic": func() { go panic("poison"); time.Sleep(time.Hour) },
	"stack": func() { debug.SetMaxStack(1 << 20); deeper(0) }, //nolint:staticcheck // for what it does to the stack
	"memory": func() {
		all := bytes.Repeat([]byte{1}, 4*roomy) // of what a child may have
		time.Sleep(time.Hour)
		runtime.KeepAlive(all)
	},
	"segv": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSEGV); time.Sleep(time.Hour) },
}

// deeper overflows the stack.
func deeper(n int) int { return deeper(n+1) + n } //nolint:staticcheck // without end

// TestPoison puts tasks that end their process among good ones. Each must be dead
// after as many deliveries as it may cost, and none of its neighbours with it.
func TestPoison(t *testing.T) {
	t.Parallel()
	amongGood(t, "tasks that exit, panic out of reach, overflow the stack, segfault", []string{"exit", "panic", "stack", "segv", "exit"}, nil)
}

// TestPoisonInChildren does the same to workers that run their tasks in child processes:
// no worker is lost.
func TestPoisonInChildren(t *testing.T) {
	t.Parallel()
	amongGood(t, "the same and tasks that take too much memory, in child processes",
		[]string{"exit", "panic", "stack", "segv", "memory"}, &childConfig{MaxMemory: roomy})
}

func amongGood(t *testing.T, nemesis string, kinds []string, children *childConfig) {
	reached := inTable(t, "T13", nemesis)
	const workers = 3
	good := size(300, 1000)
	cfg := short
	cfg.Concurrency, cfg.MaxCrashes, cfg.Children = 4, 3, children
	b := newBench(t, setup{worker: cfg})
	b.fleet.mayDie = true
	b.leaves = []string{"tasks", "dead", "faults", "notes"} // of the dead
	b.fleet.startMany(workers)
	var submitted atomic.Bool
	go func() {
		defer submitted.Store(true)
		var next atomic.Int64
		total := good + len(kinds)
		b.load.spread(total, upTo(total), func() error {
			j := brief()
			if n := int(next.Add(1)); n%(total/len(kinds)) == 0 {
				j = job{Poison: kinds[n*len(kinds)/total-1]}
			}
			_, err := b.load.submit(j)
			return err
		})
	}()
	deaths := 0
	eventually(t, "all futures", func() bool {
		for len(b.fleet.alive()) < workers { // what a supervisor does
			b.fleet.start()
			deaths++
		}
		return submitted.Load() && b.load.heard.Load() == b.load.accepted.Load()
	})
	rep := b.finish(rules{Dups: deaths * b.fleet.inFlight(), Crashes: cfg.MaxCrashes})
	if children != nil && deaths > 0 {
		t.Errorf("%d workers were lost; want only children to be", deaths)
	}
	if children != nil {
		var dead, crashed int64
		for _, p := range b.fleet.procs {
			dead, crashed = dead+p.stats().Dead, crashed+p.stats().Crashed
		}
		if want := int64(len(kinds)); dead != want || crashed != want*int64(cfg.MaxCrashes) {
			t.Errorf("%d tasks are dead after %d crashes; want %d after %d each", dead, crashed, want, cfg.MaxCrashes)
		}
		b.barren()
	}
	if rep.Dead != len(kinds) || rep.Completed != good {
		t.Errorf("%d of %d poison tasks are dead, %d of %d good ones done", rep.Dead, len(kinds), rep.Completed, good)
	}
	reached("%d poison among %d: %d dead, %d done, %d lost, innocents dead 0, %d processes lost", len(kinds), good, rep.Dead, rep.Completed, rep.Lost, deaths)
}
