package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// falseClock is a clock that a redis-server is made to believe.
type falseClock struct {
	t    *testing.T
	file string
}

// newFalseClock returns the clock and the environment of a server that goes by it.
func newFalseClock(t *testing.T) (*falseClock, []string) {
	t.Helper()
	libs, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(libs) == 0 {
		t.Fatalf("no libfaketime on this machine (%v); install it with: apt-get install faketime", err)
	}
	// A jemalloc that looks at the clock before libfaketime is ready would end the
	// server, so that its memory is to be libc's.
	libc := filepath.Join(filepath.Dir(filepath.Dir(libs[0])), "libc.so.6")
	c := &falseClock{t: t, file: filepath.Join(t.TempDir(), "clock")}
	c.set(0)
	return c, []string{"LD_PRELOAD=" + libs[0] + " " + libc, "FAKETIME_TIMESTAMP_FILE=" + c.file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"}
}

// set makes the clock wrong by so much.
func (c *falseClock) set(by time.Duration) {
	c.t.Helper()
	// In one step: the server reads the file whenever it looks at the clock.
	draft := c.file + ".draft"
	if err := os.WriteFile(draft, fmt.Appendf(nil, "%+d", int(by.Seconds())), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(draft, c.file); err != nil {
		c.t.Fatal(err)
	}
}

// TestClockJumps makes Redis's clock jump an hour, forwards and backwards, under
// load, and kills a worker after each jump. Everything that has a time in Redis is an
// hour off at once: every lease may lapse, no task may be lost.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T12", "Redis's clock jumps an hour, either way")
	const workers = 3
	rounds := size(1, 8)
	clock, env := newFalseClock(t)
	b := newBench(t, setup{worker: short, redisEnv: env})
	b.load.chains = true
	b.fleet.startMany(workers)
	var enough atomic.Bool
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		b.load.spread(60, func(int) bool { return !enough.Load() }, func() error {
			_, err := b.load.submit(brief())
			return err
		})
	}()
	jumps := 0
	for range rounds {
		for _, at := range []time.Duration{time.Hour, 0, -time.Hour, 0} {
			for _, p := range b.fleet.alive() {
				eventually(t, "worker "+p.name+" to be ready", p.started)
			}
			goOn(b, 100)
			clock.set(at)
			jumps++
			eventually(t, "the clock to jump", func() bool {
				now, err := b.rdb.Time(t.Context()).Result()
				return err == nil && (time.Until(now)-at).Abs() < 10*time.Minute
			})
			goOn(b, 100)
			b.fleet.kill(b.fleet.alive()[0])
			b.fleet.start()
			b.forgotten() // within a lease of the new time
		}
	}
	enough.Store(true)
	<-submitted
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	waves := jumps*workers + b.fleet.kills
	rep := b.finish(rules{Dups: waves * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	reached("%d jumps, %d tasks: lost %d, completed twice %d, run again %d of at most %d", jumps, rep.Accepted, rep.Lost, rep.Twice, rep.Dups, waves*b.fleet.inFlight())
}

// goOn waits until so many more futures have spoken.
func goOn(b *bench, n int64) {
	b.t.Helper()
	before := b.load.heard.Load()
	eventually(b.t, "work to go on", func() bool { return b.load.heard.Load() >= before+n })
}
