package faults

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
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
	fleet   *fleet
	load    *load
	witness *witness
	notes   *recorder // what the bench itself has seen
	lines   []string  // what the keys of the workers' lines begin with
	stream  string    // the key of the queue's stream, if it has one
	leaves  []string  // names of keys that the test leaves on purpose
}

// password is that of users that tests make.
const password = "sesame"

// The names that connections to Redis have: the bench's own, and those of workers and
// producers.
const (
	benchName = "bench"
	partyName = "party"
)

// client makes a client that passes any proxy.
func (b *bench) client() *redis.Client {
	o := b.redis.Options()
	o.ClientName = benchName
	c := redis.NewClient(o)
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// setup is what benches differ in. The zero value is an ordinary one.
type setup struct {
	redisArgs []string
	redisEnv  []string
	user      string                        // whom the producer and the workers are to Redis; made with all rights, see password
	worker    workerConfig                  // Addr, Dir and Proc aside
	reached   func(addr string) (at string) // says where the producer and the workers find the Redis at addr
}

// newBench starts a Redis and makes everything ready. Workers are the test's to
// start.
func newBench(t testing.TB, s setup) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), lines: []string{root}, redis: redistest.StartIn(t, s.redisEnv, s.redisArgs...)}
	b.rdb = b.client()
	b.any = b.rdb
	if s.user != "" {
		if err := b.rdb.Do(t.Context(), "ACL", "SETUSER", s.user, "on", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
	}
	addr := b.redis.Addr()
	if s.reached != nil {
		addr = s.reached(addr)
	}
	cfg := s.worker
	cfg.Addr, cfg.Dir, cfg.User = addr, b.dir, s.user
	b.fleet = &fleet{t: t, cfg: cfg}

	b.equip(b.client())
	return b
}

// equip gives the bench its own history, its producer, and its witness, on aside.
func (b *bench) equip(aside redis.UniversalClient, opts ...producer.Option) {
	b.t.Helper()
	b.notes = b.recorder("bench")
	b.load = b.newLoad("producer", opts...)
	b.witness = newWitness(b.t, aside, b.dir)
}

// recorder makes a history for somebody in this process.
func (b *bench) recorder(name string) *recorder {
	b.t.Helper()
	rec, err := newRecorder(b.dir, name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = rec.close() })
	return rec
}

// newLoad makes a producer with connections of its own, which finds Redis where the
// workers do.
func (b *bench) newLoad(name string, opts ...producer.Option) *load {
	b.t.Helper()
	rdb := b.fleet.cfg.dial(partyName)
	c, err := producer.New(rdb, opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	l := newLoad(b.t, c, b.recorder(name))
	l.rdb = rdb
	b.t.Cleanup(func() { _ = l.close() })
	return l
}

// finish ends a test whose tasks have all been heard of: the workers drain, and
// what is left is held against the invariants.
func (b *bench) finish(may rules) *report {
	b.t.Helper()
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	b.forgotten()
	b.drained()
	b.fleet.stopAll()
	if err := b.load.close(); err != nil {
		b.t.Errorf("close the producer: %v", err)
	}
	b.connections()
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
	b.fsck(b.t.Context(), "at the end")
	b.survey()
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
	living := map[string]bool{}
	for _, p := range b.fleet.alive() {
		living[strconv.Itoa(p.PID())] = true
	}
	eventually(b.t, "Redis to strike the dead workers off", func() bool {
		for _, line := range b.lines {
			names, err := b.any.ZRange(b.t.Context(), line+"alive", 0, -1).Result()
			dead := func(name string) bool { // which is host.pid.letters
				parts := strings.Split(name, ".")
				return len(parts) < 2 || !living[parts[1]]
			}
			if err != nil || len(names) > len(living) || slices.ContainsFunc(names, dead) {
				return false
			}
		}
		return true
	})
}

// drained waits until all that is left of tasks in Redis are dead ones.
func (b *bench) drained() {
	b.t.Helper()
	if !within(func() bool {
		for _, line := range b.lines {
			tasks, err := b.any.HLen(b.t.Context(), line+"tasks").Result()
			dead, err2 := b.any.ZCard(b.t.Context(), line+"dead").Result()
			if err != nil || err2 != nil || tasks != dead {
				return false
			}
		}
		return b.stream == "" || b.readByAll(b.stream)
	}) {
		b.giveUp("Redis is not drained")
	}
}
