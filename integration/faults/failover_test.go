package faults

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// newBenchOver makes a bench over several servers. Its producer and its workers wait
// for so many replicas.
func newBenchOver(t testing.TB, o *redis.UniversalOptions, cfg workerConfig, parts int) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), parts: parts}
	cfg.Addrs, cfg.Master, cfg.Cluster, cfg.Dir = o.Addrs, o.MasterName, o.IsClusterMode, b.dir
	b.fleet = &fleet{t: t, cfg: cfg}
	dial := func() redis.UniversalClient {
		c := cfg.dial()
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	b.any = dial()
	b.rdb, _ = b.any.(*redis.Client)
	b.equip(dial(), dial(), producer.Replicated(cfg.Replicas))
	if _, err := b.load.client.Declare(t.Context(), queue.DefaultQueue, queue.Layout{Partitions: parts}); err != nil {
		t.Fatal(err)
	}
	return b
}

// rounds submits tasks without a pause while strike is called so many times, each
// time when a share of the work is done.
func (b *bench) rounds(tasks, n int, strike func(round int)) {
	b.t.Helper()
	var over atomic.Bool
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		b.load.spread(300, func(i int) bool { return i < tasks || !over.Load() }, func() error { return b.load.insist(brief()) })
	}()
	for k := range n {
		some := b.load.heard.Load() + int64(tasks/(n+1))
		eventually(b.t, "a share of the work", func() bool { return b.load.heard.Load() >= some })
		strike(k)
	}
	some := b.load.heard.Load() + int64(tasks/(n+1))
	eventually(b.t, "the work to go on", func() bool { return b.load.heard.Load() >= some })
	over.Store(true)
	eventually(b.t, "all submissions", func() bool { return isClosed(submitted) })
}

// silences are the longest times, the longest first, during which no future said
// anything: how long it took to recover.
func (b *bench) silences(n int) []time.Duration {
	b.t.Helper()
	var at []int64
	for _, r := range readHistories(b.t, b.dir) {
		if r.Op == opOutcome {
			at = append(at, r.T)
		}
	}
	slices.Sort(at)
	var gaps []time.Duration
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, time.Duration(at[i]-at[i-1]).Round(time.Millisecond))
	}
	slices.SortFunc(gaps, func(a, b time.Duration) int { return int(b - a) })
	return gaps[:min(n, len(gaps))]
}

// outlived fails the test if a worker has ended.
func (b *bench) outlived() {
	b.t.Helper()
	for _, p := range b.fleet.procs {
		if p.Gone() {
			b.t.Errorf("worker %s has ended: it must outlive any outage; it said:\n%s", p.name, p.log())
		}
	}
}

// TestSentinelFailover makes Sentinels elect another master, with everybody waiting
// for both replicas: nothing that was accepted is lost, and nothing completes twice.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	tasks, failovers := 3000, 1
	if *chaos {
		tasks, failovers = 30_000, 10
	}
	const workers = 3
	g := redistest.StartSentinels(t, 2)
	cfg := short
	cfg.Replicas = 2
	b := newBenchOver(t, g.Options(), cfg, 1)
	b.fleet.startMany(workers)
	b.rounds(tasks, failovers, func(round int) {
		old := g.Master()
		if round%2 == 0 {
			old.Kill()
		} else { // it takes itself for the master for a while when it comes back
			old.Freeze()
		}
		eventually(t, "another master", func() bool { return g.Master() != old })
		if round%2 == 0 {
			old.Follow(g.Master())
		} else {
			old.Thaw()
		}
	})
	b.outlived()
	rep := b.finish(rules{Dups: failovers * workers * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	t.Logf("sentinel, replicated: tasks %d, failovers %d, lost %d, duplicates %d, longest silences %v",
		rep.Accepted, failovers, rep.Lost, rep.Dups, b.silences(failovers))
}

// TestClusterFailover kills a master of a cluster, and then moves the slots of
// partitions, with everybody waiting for the master's replica: nothing that was accepted
// is lost, and nothing completes twice.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	tasks, rounds := 4000, 2
	if *chaos {
		tasks, rounds = 40_000, 20
	}
	const workers, parts = 3, 4
	g := redistest.StartCluster(t, 3)
	cfg := short
	cfg.Replicas = 1
	b := newBenchOver(t, g.Options(), cfg, parts)
	b.fleet.startMany(workers)
	slot := func(part int) int { return g.Slot(store.Root(queue.DefaultQueue, uint16(part))) } //nolint:gosec // few
	kills, moves, keys := 0, 0, 0
	b.rounds(tasks, rounds, func(round int) {
		at := slot(round / 2 % parts)
		old := g.MasterOf(at)
		if round%2 == 0 {
			kills++
			old.Kill()
			eventually(t, "another master", func() bool {
				m := g.MasterOf(at)
				return m != nil && m != old
			})
			old.Restart()
			eventually(t, "the cluster to agree", func() bool { return g.MasterOf(at) != nil })
			return
		}
		moves++
		for other := range parts {
			if to := g.MasterOf(slot(other)); to != nil && to != old {
				g.Move(at, old, to, func() {
					keys++
					time.Sleep(10 * time.Millisecond) // for the load to meet half of a slot
				})
				break
			}
		}
		eventually(t, "the cluster to agree", func() bool { return g.MasterOf(at) != nil })
	})
	b.outlived()
	rep := b.finish(rules{Dups: rounds * workers * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	t.Logf("cluster, replicated: tasks %d, kills %d, slots moved %d (%d keys), lost %d, duplicates %d, longest silences %v",
		rep.Accepted, kills, moves, keys, rep.Lost, rep.Dups, b.silences(rounds))
}
