package faults

import (
	"bytes"
	"os"
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
		var all [][]byte
		for len(all) < 8<<10 { // of 1 MiB: nobody stops it otherwise
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
			time.Sleep(time.Duration(len(all)>>9) * time.Millisecond) // who looks has time to see it, once it is large
		}
	},
	"segv": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSEGV); time.Sleep(time.Hour) },
}

// deeper overflows the stack.
func deeper(n int) int { return deeper(n+1) + n } //nolint:staticcheck // without end

// TestPoison puts tasks that end their process among good ones. Each must be dead
// after as many deliveries as it may cost, and none of its neighbours with it.
func TestPoison(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T13", "tasks that exit, panic out of reach, overflow the stack, segfault")
	const workers = 3
	good := size(300, 1000)
	kinds := []string{"exit", "panic", "stack", "segv", "exit"}
	cfg := short
	cfg.Concurrency, cfg.MaxCrashes = 4, 3
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
	if rep.Dead != len(kinds) || rep.Completed != good {
		t.Errorf("%d of %d poison tasks are dead, %d of %d good ones done", rep.Dead, len(kinds), rep.Completed, good)
	}
	reached("%d poison among %d: %d dead, %d done, %d lost, innocents dead 0, %d processes lost", len(kinds), good, rep.Dead, rep.Completed, rep.Lost, deaths)
}
