package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

var soakFor = flag.Duration("soak", 0, "how long TestSoak goes on; 0 for a moment")

// soak is one load that all faults meet at random, epoch after epoch: each begins
// with fresh workers and ends with an empty Redis, whose histories are checked and
// thrown away.
type soak struct {
	*bench
	rnd       *rand.Rand
	wires     map[*process]*wire
	explained int // runs beyond a task's first that the faults of the epoch can explain
	producers int
	blows     int
	sum       report
	first     usage
}

// usage is what a soak uses at the end of an epoch.
type usage struct {
	goroutines            int
	keys, memory, harness int64 // in Redis, of Redis, and of this process, in bytes
}

// TestSoak lets every fault there is happen at random, for as long as it is told to.
func TestSoak(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T30", "all faults at random")
	s := &soak{rnd: newRand(t)}
	cfg := short
	cfg.MaxCrashes, cfg.LookAhead = 1000, -1
	s.bench = newBench(t, setup{worker: cfg, redisArgs: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	s.load.chains = true
	end := time.Now().Add(*soakFor)
	epochs := size(1, 10)
	n := 0
	for n = 1; n <= epochs || time.Now().Before(end); n++ {
		before := s.sum
		// What a subtest cleans up it does not keep: a soak must not grow.
		t.Run(fmt.Sprintf("epoch-%d", n), func(t *testing.T) { s.as(t, func() { s.epoch(size(10, 30)) }) })
		now := s.use()
		if n == 1 {
			s.first = now
		}
		line := fmt.Sprintf("epoch %d: %d tasks, %d blows so far; lost %d, completed twice %d, silent %d, run again %d; keys %d, Redis %d KiB, harness %d KiB, goroutines %d",
			n, s.sum.Accepted-before.Accepted, s.blows, s.sum.Lost, s.sum.Twice, s.sum.Silent, s.sum.Dups, now.keys, now.memory>>10, now.harness>>10, now.goroutines)
		t.Log(line)
		if *soakFor > 0 {
			fmt.Println(line)
			s.watch(now)
		}
		if t.Failed() {
			break
		}
		reached("%d epochs, %d blows, %d tasks: lost %d, completed twice %d, silent futures %d, run again %d", n, s.blows, s.sum.Accepted, s.sum.Lost, s.sum.Twice, s.sum.Silent, s.sum.Dups)
	}
	s.finish(rules{})
}

// as has f run in the name of a subtest.
func (s *soak) as(t testing.TB, f func()) {
	was := s.t
	set := func(t testing.TB) { s.t, s.fleet.t, s.load.t = t, t, t }
	set(t)
	defer set(was)
	f()
}

// epoch lets so many blows fall on one load and checks what has come of it.
func (s *soak) epoch(blows int) {
	s.t.Helper()
	s.wires, s.explained = map[*process]*wire{}, 0
	for range 4 {
		s.start()
	}
	var enough atomic.Bool
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		s.load.spread(100, func(int) bool { return !enough.Load() }, func() error {
			return s.load.insist(brief(), queue.Keep(time.Minute))
		})
	}()
	kinds := []func(){s.killWorker, s.freezeWorker, s.stopWorker, s.killRedis, s.forget, s.disconnect, s.cutWorker, s.slowWorker, s.loseProducer}
	for range blows {
		for _, p := range s.fleet.alive() {
			eventually(s.t, "worker "+p.name+" to be ready", p.started)
		}
		goOn(s.bench, 20+s.rnd.Int64N(200))
		kinds[s.rnd.IntN(len(kinds))]()
		s.blows++
	}
	enough.Store(true)
	<-submitted
	if !s.load.wait() {
		s.giveUp("waited in vain for futures")
	}
	s.forgotten()
	s.drained()
	lapsed := int(s.fleet.lapsed())
	s.fleet.stopAll()
	for _, w := range s.wires {
		w.close()
	}
	s.judge(rules{Dups: s.explained + lapsed*s.fleet.inFlightFar(), Crashes: s.fleet.cfg.MaxCrashes})
}

// judge checks the epoch's histories, adds them up, and begins new ones.
func (s *soak) judge(may rules) {
	s.t.Helper()
	s.fleet.verify()
	s.survey()
	rep := check(readHistories(s.t, s.dir), may)
	for _, p := range rep.Problems {
		s.t.Error(p)
	}
	s.sum.Accepted += rep.Accepted
	s.sum.Lost += rep.Lost
	s.sum.Twice += rep.Twice
	s.sum.Silent += rep.Silent
	s.sum.Dups += rep.Dups
	if s.t.Failed() {
		return // what there is to look at stays
	}
	paths, err := filepath.Glob(filepath.Join(s.dir, "*.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range paths { // those who live go on writing at the start
		if err := os.Truncate(path, 0); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, p := range s.fleet.procs {
		if err := os.Remove(p.logPath()); err != nil {
			s.t.Error(err)
		}
		if err := os.Remove(historyPath(s.dir, p.name)); err != nil {
			s.t.Error(err)
		}
	}
	s.fleet.procs = nil
}

// watch fails the test if it uses more and more.
func (s *soak) watch(now usage) {
	s.t.Helper()
	const slack = 64 << 20
	switch f := s.first; {
	case now.goroutines > f.goroutines+50:
		s.t.Errorf("I9: %d goroutines, %d after the first epoch", now.goroutines, f.goroutines)
	case now.memory > 2*f.memory+slack:
		s.t.Errorf("I8: Redis has %d bytes, %d after the first epoch", now.memory, f.memory)
	case now.harness > 4*f.harness+4*slack:
		s.t.Errorf("I9: this process has %d bytes, %d after the first epoch", now.harness, f.harness)
	}
}

func (s *soak) use() usage {
	s.t.Helper()
	keys, err := s.rdb.DBSize(s.t.Context()).Result()
	if err != nil {
		s.t.Error(err)
	}
	info, err := s.rdb.Info(s.t.Context(), "memory").Result()
	if err != nil {
		s.t.Error(err)
	}
	_, memory, _ := strings.Cut(info, "used_memory:")
	memory, _, _ = strings.Cut(memory, "\r")
	bytes, err := strconv.ParseInt(memory, 10, 64)
	if err != nil {
		s.t.Error(err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{goroutines: runtime.NumGoroutine(), keys: keys, memory: bytes, harness: int64(m.HeapAlloc)} //nolint:gosec // a size
}

// start starts a worker at the end of a wire of its own.
func (s *soak) start() {
	s.t.Helper()
	w := newWire(s.t, s.redis.Addr())
	s.fleet.cfg.Addr = w.addr()
	s.wires[s.fleet.start()] = w
}

// victim chooses a worker.
func (s *soak) victim() *process {
	living := s.fleet.alive()
	return living[s.rnd.IntN(len(living))]
}

func (s *soak) killWorker() {
	s.fleet.kill(s.victim())
	s.explained += s.fleet.inFlightFar()
	s.start()
	s.forgotten()
}

// freezeWorker stops a worker until the others have struck it off.
func (s *soak) freezeWorker() {
	p := s.victim()
	p.freeze()
	eventually(s.t, "the others to strike off "+p.name, func() bool {
		n, err := s.rdb.ZCard(s.t.Context(), s.lines[0]+"alive").Result()
		return err == nil && n < int64(len(s.fleet.alive()))
	})
	p.thaw()
	s.explained += s.fleet.inFlightFar()
	s.whole()
}

func (s *soak) stopWorker() {
	p := s.victim()
	p.stop()
	s.start()
	p.endsWell()
}

func (s *soak) killRedis() {
	s.redis.Kill()
	s.redis.Restart()
	s.explained += len(s.fleet.alive()) * s.fleet.inFlightFar()
	s.whole()
}

func (s *soak) forget() {
	for range 20 {
		if err := s.rdb.ScriptFlush(s.t.Context()).Err(); err != nil {
			s.t.Errorf("SCRIPT FLUSH: %v", err)
		}
		goOn(s.bench, 5)
	}
}

func (s *soak) disconnect() {
	for _, kind := range []string{"normal", "pubsub"} {
		if err := s.rdb.ClientKillByFilter(s.t.Context(), "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
			s.t.Errorf("CLIENT KILL TYPE %s: %v", kind, err)
		}
	}
}

// cutWorker cuts a worker off until it has given its lease up.
func (s *soak) cutWorker() {
	p := s.victim()
	before := p.stats().Lapsed
	w := s.wires[p]
	switch s.rnd.IntN(3) {
	case 0:
		w.set(silent(), silent())
	case 1:
		w.set(silent(), way{})
	case 2:
		w.set(way{}, silent())
	}
	p.givesUp(before)
	w.mend()
	s.whole()
}

// slowWorker makes a worker's connection bad, and not so bad that it loses its lease.
func (s *soak) slowWorker() {
	w := s.wires[s.victim()]
	w.reset()
	w.set(way{delay: 20 * time.Millisecond, jitter: 20 * time.Millisecond}, way{limit: 20_000})
	goOn(s.bench, 100)
	w.mend()
}

func (s *soak) loseProducer() {
	s.killProducer(s.producers, 8_000+s.rnd.Int64N(80_000))
	s.producers++
}
