package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// patience is how long an event may take. It only bounds how long a hopeless test
// hangs: no test passes or fails by how fast the machine is. Whoever looks for a
// bug sets CENOTE_FAULT_PATIENCE to less.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CENOTE_FAULT_PATIENCE")); err == nil {
		return d
	}
	return 2 * time.Minute
}()

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	if !within(f) {
		t.Fatalf("waited %v in vain for %s", patience, what)
	}
}

// within waits until f is true, and returns false if it does not come to that.
func within(f func() bool) bool {
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// newRand returns what a test chooses at random with. The seed is in the log, and
// in the environment for a second try.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("CENOTE_FAULT_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("CENOTE_FAULT_SEED is %q, want a number: %v", s, err)
		}
		seed = n
	}
	t.Logf("CENOTE_FAULT_SEED=%d chooses the same again", seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
}

// bench is a Redis, its worker processes, a producer, and all their histories.
type bench struct {
	t       testing.TB
	dir     string                // of the histories
	redis   *redistest.Server     // nil if there are several
	rdb     *redis.Client         // past any proxy; nil for a cluster
	any     redis.UniversalClient // rdb, or of the cluster
	parts   int                   // of the queue
	fleet   *fleet
	load    *load
	witness *witness
}

// setup is what benches differ in. The zero value is an ordinary one.
type setup struct {
	redisArgs []string
	worker    workerConfig                  // Addr, Dir and Proc aside
	reached   func(addr string) (at string) // says where the producer and the workers find the Redis at addr
}

// newBench starts a Redis and makes everything ready. Workers are the test's to
// start.
func newBench(t testing.TB, s setup) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), redis: redistest.Start(t, s.redisArgs...), parts: 1}
	b.rdb = b.redis.Client()
	b.any = b.rdb
	addr := b.redis.Addr()
	if s.reached != nil {
		addr = s.reached(addr)
	}
	cfg := s.worker
	cfg.Addr, cfg.Dir = addr, b.dir
	b.fleet = &fleet{t: t, cfg: cfg}

	o := b.redis.Options()
	o.Addr = addr
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	b.equip(rdb, b.redis.Client())
	return b
}

// equip gives the bench its producer, on rdb, and its witness.
func (b *bench) equip(rdb, aside redis.UniversalClient, opts ...producer.Option) {
	t := b.t
	t.Helper()
	c, err := producer.New(rdb, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	rec, err := newRecorder(b.dir, "producer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rec.close() })
	b.load = newLoad(t, c, rec)
	b.witness = newWitness(t, aside, b.dir)
}

// finish ends a test whose tasks have all been heard of: the workers drain, and
// what is left is held against the invariants.
func (b *bench) finish(may rules) *report {
	b.t.Helper()
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	b.forgotten()
	b.fleet.stopAll()
	if err := b.load.client.Close(); err != nil {
		b.t.Errorf("close the producer: %v", err)
	}
	return b.verdict(may)
}

// giveUp fails the test, which has no hope of coming to its end, and shows what is
// in Redis, what the workers have said, and the histories of unfinished tasks.
func (b *bench) giveUp(why string) {
	b.t.Helper()
	b.t.Errorf("%s, for %v; what is left in Redis, and the histories:", why, patience)
	for _, p := range b.fleet.alive() {
		b.t.Logf("worker %s has said:\n%s", p.name, p.log())
	}
	b.verdict(rules{Dups: 1 << 30, Crashes: 1 << 30})
	b.t.FailNow()
}

// verdict holds the histories and what is in Redis against the invariants.
func (b *bench) verdict(may rules) *report {
	b.t.Helper()
	b.witness.stop()
	b.fleet.verify()
	b.checkKeys()
	rep := check(readHistories(b.t, b.dir), may)
	b.t.Log(rep)
	for _, p := range rep.Problems {
		b.t.Error(p)
	}
	return rep
}

// forgotten waits until no worker that is gone is on the books of Redis.
func (b *bench) forgotten() {
	b.t.Helper()
	living := int64(len(b.fleet.alive()))
	eventually(b.t, "Redis to strike the dead workers off", func() bool {
		for part := range b.parts {
			n, err := b.any.ZCard(b.t.Context(), store.Root(queue.DefaultQueue, uint16(part))+"alive").Result() //nolint:gosec // few
			if err != nil || n > living {
				return false
			}
		}
		return true
	})
}
