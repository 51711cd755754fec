package faults

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// cooperative is a worker whose handlers have a second to heed their contexts,
// between its own fence and the end of its lease. On a slow line it would hold many
// tasks ahead, all of which a cut would have run again.
var cooperative = workerConfig{Concurrency: 4, LookAhead: -1, Lease: 6 * time.Second, Sweep: 100 * time.Millisecond, Grace: 20 * time.Second, MaxCrashes: 20}

// TestPartition cuts workers off from Redis in all the ways that a network has. A
// worker that is cut off for long gives its tasks up before others take them over,
// so that no two runs of a task are ever under way at the same time.
func TestPartition(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T8", "workers cut off: silence, one direction, reset, cut in a reply, slow")
	cuts := size(12, 200)
	b := newBench(t, setup{worker: cooperative})
	b.fleet.start() // one with a good connection, to take over
	wires := map[*process]*wire{}
	var cutOff []*process
	for range 2 {
		w := newWire(t, b.redis.Addr())
		b.fleet.cfg.Addr = w.addr()
		p := b.fleet.start()
		wires[p], cutOff = w, append(cutOff, p)
	}
	for _, p := range b.fleet.alive() {
		eventually(t, "worker "+p.name+" to be ready", p.started)
	}
	var enough atomic.Bool
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		b.load.spread(24, func(int) bool { return !enough.Load() }, func() error {
			j := brief()
			j.Micros, j.Heeding = 20*j.Micros, true
			_, err := b.load.submit(j)
			return err
		})
	}()
	rnd := newRand(t)
	long := 0
	for i := range cuts {
		p := cutOff[rnd.IntN(len(cutOff))]
		w := wires[p]
		b.whole()
		if i%4 == 0 { // the others are over before anybody has noticed
			gate, fut := b.occupy(p)
			before := p.stats().Lapsed
			switch i / 4 % 3 {
			case 0:
				w.set(silent(), silent())
			case 1:
				w.set(way{}, silent())
			case 2:
				w.set(silent(), way{})
			}
			if p.givesUp(before) {
				long++
			}
			// Its task is taken over and done while it would still be at it.
			if _, err := get(t, fut); err != nil {
				t.Errorf("a task that was taken over: %v", err)
			}
			openGate(t, gate)
		} else {
			switch i % 4 {
			case 1:
				w.reset()
			case 2:
				w.set(way{}, way{limit: 1 + rnd.IntN(2000)})
			case 3:
				w.set(way{rate: 2000}, way{delay: 50 * time.Millisecond, jitter: 50 * time.Millisecond})
			}
		}
		goOn(b, 10+rnd.Int64N(40))
		w.mend()
	}
	enough.Store(true)
	<-submitted
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	lapsed := int(b.fleet.lapsed())
	rep := b.finish(rules{Dups: lapsed * b.fleet.inFlightFar(), Crashes: cooperative.MaxCrashes, Alone: true})
	reached("%d cuts, %d longer than a lease: overlapping runs %d, lost %d, completed twice %d, run again %d of at most %d", cuts, long, rep.Overlaps, rep.Lost, rep.Twice, rep.Dups, lapsed*b.fleet.inFlightFar())
	if long < cuts/8 {
		t.Errorf("only %d leases were given up in %d cuts", long, cuts)
	}
}

// occupy has p run a task that it does not end before the gate is open or its context
// is done.
func (b *bench) occupy(p *process) (gate string, fut *queue.Future[answer]) {
	b.t.Helper()
	for {
		gate = filepath.Join(b.t.TempDir(), "gate")
		fut, err := b.load.submit(job{Gate: gate, Heeding: true})
		if err != nil {
			b.t.Fatal(err)
		}
		var at *process
		eventually(b.t, "a worker to begin task "+fut.ID().String(), func() bool {
			for _, q := range b.fleet.alive() {
				if _, ok := q.has(func(r record) bool { return r.Op == opStart && r.ID == fut.ID().String() }); ok {
					at = q
				}
			}
			return at != nil
		})
		if at == p {
			return gate, fut
		}
		openGate(b.t, gate)
	}
}

// givesUp waits, while the worker is cut off, until it has given up one lease more
// than before. It waits for three leases at most: a worker that had none just then has
// none to give up.
func (p *process) givesUp(before int64) bool {
	p.t.Helper()
	for end := time.Now().Add(3 * p.cfg.Lease); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if p.stats().Lapsed > before {
			return true
		}
	}
	return false
}

// whole waits until all living workers are on the books of Redis.
func (b *bench) whole() {
	b.t.Helper()
	eventually(b.t, "all workers to be back", func() bool {
		n, err := b.rdb.ZCard(b.t.Context(), b.lines[0]+"alive").Result()
		return err == nil && n >= int64(len(b.fleet.alive()))
	})
}

// TestSlowNetwork makes every packet late, and then the line narrow. As long as a
// round trip takes less than a sixth of a lease, none may be lost.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T10", "every packet late, so that a round trip takes 200 ms, give or take 100; then 64 KiB a second")
	tasks := size(150, 2500)
	cfg := steady
	cfg.Lease = 3 * time.Second
	var w *wire
	b := newBench(t, setup{worker: cfg, reached: func(addr string) string {
		w = newWire(t, addr)
		return w.addr()
	}})
	slow := way{delay: 100 * time.Millisecond, jitter: 50 * time.Millisecond}
	w.set(slow, slow)
	b.fleet.startMany(3)
	for _, p := range b.fleet.alive() {
		eventually(t, "worker "+p.name+" to be ready", p.started)
	}
	submit := func(n, ballast int) {
		b.load.spread(40, upTo(n), func() error {
			j := brief()
			j.Micros *= 10
			j.Ballast = make([]byte, ballast)
			_, err := b.load.submit(j)
			return err
		})
	}
	began := time.Now()
	submit(tasks, 0)
	narrow := way{rate: 64 << 10}
	w.set(narrow, narrow)
	submit(tasks/4, 1000)
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	took := time.Since(began)
	rep := b.finish(rules{})
	reached("%d tasks in %.0f s: leases lost %d, taken over %d, lost %d, run again %d", rep.Accepted, took.Seconds(), rep.Lapsed, rep.Recovered, rep.Lost, rep.Dups)
	if rep.Lapsed > 0 || rep.Recovered > 0 {
		t.Errorf("%d leases were lost and %d tasks taken over because the network is slow", rep.Lapsed, rep.Recovered)
	}
}
