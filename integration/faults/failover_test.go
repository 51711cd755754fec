package faults

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// newBenchOver makes a bench over several servers. Its producer waits for as many
// replicas as its workers.
func newBenchOver(t testing.TB, o *redis.UniversalOptions, cfg workerConfig, parts int) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	for part := range parts {
		b.lines = append(b.lines, store.Root(queue.DefaultQueue, uint16(part))) //nolint:gosec // few
	}
	cfg.Addrs, cfg.Master, cfg.Cluster, cfg.Dir = o.Addrs, o.MasterName, o.IsClusterMode, b.dir
	b.fleet = &fleet{t: t, cfg: cfg}
	b.any = cfg.dial(benchName)
	t.Cleanup(func() { _ = b.any.Close() })
	b.rdb, _ = b.any.(*redis.Client)
	b.equip(b.any, producer.Replicated(cfg.Replicas))
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

// recovery is how long it takes, from then on, until a task that is submitted to the
// partition is done. A master that comes back may accept one and forget it, so
// there are several.
func (b *bench) recovery(part int, since time.Time) time.Duration {
	b.t.Helper()
	var probes []*queue.Future[answer]
	next := time.Now()
	eventually(b.t, "a task to be done again", func() bool {
		if !time.Now().Before(next) {
			j := brief()
			j.N = int(b.load.last.Add(1))
			id := queue.ID(queue.NewTaskID(uint16(part)).String()) //nolint:gosec // few
			for {                                                  // or nobody would know what became of it
				fut, err := b.load.resubmit(j, id)
				if err == nil {
					probes = append(probes, fut)
					break
				}
			}
			next = time.Now().Add(500 * time.Millisecond)
		}
		for _, fut := range probes {
			if _, err := fut.Result(); err == nil {
				return true
			}
		}
		return false
	})
	return time.Since(since).Round(10 * time.Millisecond)
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

// TestSentinelFailover makes Sentinels elect another master.
func TestSentinelFailover(t *testing.T) {
	// Everybody waits for both replicas: nothing that was accepted is lost, and nothing
	// completes twice.
	t.Run("replicated", func(t *testing.T) {
		t.Parallel()
		sentinelFailover(t, "Sentinels elect another master, both replicas waited for", 2, rules{Hints: true})
	})
	// Nobody waits: what the new master had not received is forgotten, which is
	// counted. The rest goes on, and everybody hears what became of his tasks.
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		sentinelFailover(t, "Sentinels elect another master, nobody waits for replicas", 0, rules{Forgets: true})
	})
}

func sentinelFailover(t *testing.T, nemesis string, replicas int, may rules) {
	reached := inTable(t, "T6", nemesis)
	tasks, failovers := size(2500, 30_000), size(1, 10)
	const workers = 3
	g := redistest.StartSentinels(t, 2)
	cfg := short
	cfg.Replicas = replicas
	b := newBenchOver(t, g.Options(), cfg, 1)
	b.fleet.startMany(workers)
	var recovered []time.Duration
	b.rounds(tasks, failovers, func(round int) {
		old, since := g.Master(), time.Now()
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
		recovered = append(recovered, b.recovery(0, since))
	})
	b.outlived()
	if !may.Forgets {
		if !b.load.wait() {
			b.giveUp("waited in vain for futures")
		}
		checkKept(t, b)
	}
	may.Dups, may.Crashes = b.explained(failovers), short.MaxCrashes
	rep := b.finish(may)
	reached("%d tasks, %d failovers: lost %d, completed twice %d, run again %d; back after %v",
		rep.Accepted, failovers, rep.Lost, rep.Twice, rep.Dups, recovered)
}

// explained is how many runs beyond a task's first so many failovers can explain:
// whatever was in flight, which is what runs and the endings on their way in both
// lanes, and that twice, as a worker may lose its lease because of the outage and once
// more because the new master does not know all of its turns.
func (b *bench) explained(failovers int) int {
	return 6 * failovers * len(b.fleet.procs) * b.fleet.inFlight()
}

// TestClusterFailover kills masters of a cluster and moves the slots of partitions.
func TestClusterFailover(t *testing.T) {
	t.Run("replicated", func(t *testing.T) {
		t.Parallel()
		clusterFailover(t, "a cluster loses masters and moves slots, replicas waited for", 1, rules{Hints: true})
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		clusterFailover(t, "a cluster loses masters and moves slots, nobody waits for replicas", 0, rules{Forgets: true})
	})
}

func clusterFailover(t *testing.T, nemesis string, replicas int, may rules) {
	reached := inTable(t, "T7", nemesis)
	tasks, rounds := size(2500, 40_000), size(2, 20)
	const workers, parts = 3, 4
	g := redistest.StartCluster(t, 3)
	cfg := short
	cfg.Replicas = replicas
	b := newBenchOver(t, g.Options(), cfg, parts)
	b.fleet.startMany(workers)
	slot := func(part int) int { return g.Slot(store.Root(queue.DefaultQueue, uint16(part))) } //nolint:gosec // few
	kills, moves, keys := 0, 0, 0
	var recovered, moved []time.Duration
	b.rounds(tasks, rounds, func(round int) {
		part := round / 2 % parts
		at := slot(part)
		old, since := g.MasterOf(at), time.Now()
		if round%2 == 0 {
			kills++
			frozen := round%4 == 2
			if frozen {
				old.Freeze()
			} else {
				old.Kill()
			}
			eventually(t, "another master", func() bool {
				m := g.MasterOf(at)
				return m != nil && m != old
			})
			if frozen {
				old.Thaw()
			} else {
				old.Restart()
			}
			recovered = append(recovered, b.recovery(part, since))
			eventually(t, "the cluster to agree", func() bool { return g.MasterOf(at) != nil })
			return
		}
		moves++
		for other := range parts {
			if to := g.MasterOf(slot(other)); to != nil && to != old {
				first := keys
				g.Move(at, old, to, func() {
					if keys++; keys-first <= 20 { // for the load to meet half of a slot
						time.Sleep(50 * time.Millisecond)
					}
				})
				moved = append(moved, b.recovery(part, since))
				break
			}
		}
		eventually(t, "the cluster to agree", func() bool { return g.MasterOf(at) != nil })
	})
	b.outlived()
	if !may.Forgets {
		if !b.load.wait() {
			b.giveUp("waited in vain for futures")
		}
		checkKept(t, b)
	}
	may.Dups, may.Crashes = b.explained(rounds)*parts, short.MaxCrashes
	rep := b.finish(may)
	reached("%d tasks, %d masters lost, %d slots moved (%d keys): lost %d, completed twice %d, run again %d; back after %v, moved within %v",
		rep.Accepted, kills, moves, keys, rep.Lost, rep.Twice, rep.Dups, recovered, moved)
}
