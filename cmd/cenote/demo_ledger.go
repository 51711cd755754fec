package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger is what the workers of a demo say they did: an account of every run of
// every task that depends on nothing that Redis says. It may be used concurrently.
type ledger struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every event
	runs    map[string]*taskRuns
	flying  []map[string]struct{} // by worker: what it runs
	held    int                   // tasks that are held until a worker is lost
	again   int                   // tasks that were run because a worker was lost
	twice   int                   // tasks that were run to their end twice
}

// taskRuns is the account of one task.
type taskRuns struct {
	ends      int
	held      bool
	restarted time.Time // zero unless it was run again
}

func newLedger(workers int) *ledger {
	l := &ledger{changed: make(chan struct{}), runs: map[string]*taskRuns{}}
	for range workers {
		l.flying = append(l.flying, map[string]struct{}{})
	}
	return l
}

// follow books what a worker tells until it is gone.
func (l *ledger) follow(worker int, events io.Reader) {
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue // cut off in the middle of a word
		}
		l.mu.Lock()
		t := l.runs[f[1]]
		if t == nil {
			t = &taskRuns{}
			l.runs[f[1]] = t
		}
		switch {
		case f[0] == eventEnd:
			delete(l.flying[worker], f[1])
			t.ends++
			if t.ends == 2 {
				l.twice++
			}
		case f[0] == eventHeld && !t.held:
			t.held = true
			l.held++
		case f[0] == eventStart && len(f) == 3 && (f[2] == "true" || f[2] == "false"): // not cut off
			l.flying[worker][f[1]] = struct{}{}
			if f[2] == "true" && t.restarted.IsZero() {
				t.restarted = time.Now()
				l.again++
			}
		}
		l.signal()
		l.mu.Unlock()
	}
}

// signal wakes those who wait for a change. l.mu is held.
func (l *ledger) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait waits until ok, which is called with l.mu held, or ctx is done.
func (l *ledger) wait(ctx context.Context, ok func() bool) bool {
	for {
		l.mu.Lock()
		done, changed := ok(), l.changed
		l.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// waitHeld waits until n tasks are held.
func (l *ledger) waitHeld(ctx context.Context, n int) bool {
	return l.wait(ctx, func() bool { return l.held >= n })
}

// busy returns the first worker in the given order that runs something.
func (l *ledger) busy(order []int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range order {
		if len(l.flying[w]) > 0 {
			return w
		}
	}
	return order[0]
}

// running returns the ids of the tasks that the worker runs.
func (l *ledger) running(worker int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.flying[worker]))
}

// waitRestarted waits until all of the tasks were run again, and returns when the
// last one was.
func (l *ledger) waitRestarted(ctx context.Context, ids []string) (last time.Time, ok bool) {
	ok = l.wait(ctx, func() bool {
		for _, id := range ids {
			at := l.runs[id].restarted
			if at.IsZero() {
				return false
			}
			if at.After(last) {
				last = at
			}
		}
		return true
	})
	return last, ok
}

// recovered returns how many tasks were run again because a worker was lost, and
// how many tasks were run to their end twice.
func (l *ledger) recovered() (again, twice int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.again, l.twice
}
