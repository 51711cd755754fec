package store_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// audit returns what an audit finds.
func (b *bed) audit(repair bool) []store.Finding {
	b.t.Helper()
	found, _ := b.auditIn(store.AuditOptions{Repair: repair}, 0, 0)
	return found
}

func (b *bed) auditIn(o store.AuditOptions, most, step int) ([]store.Finding, store.Audited) {
	b.t.Helper()
	var found []store.Finding
	o.Found = func(f store.Finding) { found = append(found, f) }
	a, err := b.s.AuditIn(b.ctx(), o, most, step)
	if err != nil {
		b.t.Fatal(err)
	}
	if int(a.Findings) != len(found) {
		b.t.Errorf("%d findings counted and %d told", a.Findings, len(found))
	}
	return found, a
}

// sound fails if an audit finds anything.
func (b *bed) sound(when string) {
	b.t.Helper()
	for _, f := range b.audit(false) {
		b.t.Errorf("%s: found %s of %x at %q: %s", when, f.Damage, f.ID, f.Key, f.Text)
	}
}

// town is a line with a task in every state.
type town struct {
	*bed
	w                                                     *worker
	ready, high, scheduled, running, retried, dead, alone queue.TaskID
	bundle                                                []queue.TaskID
}

func newTown(b *bed) *town {
	b.t.Helper()
	if _, err := b.s.Declare(b.ctx(), "q", queue.Layout{Kind: queue.KindList}); err != nil {
		b.t.Fatal(err)
	}
	n := &town{bed: b, w: b.worker("w1", long)}
	first := b.submit(msg(), msg(), msg(), msg())
	n.running, n.retried, n.dead, n.alone = first[0], first[1], first[2], first[3]
	wantIDs(b.t, "claimed", n.w.claim(10), first...)
	retry := ended(queue.VerdictRetry, n.retried, queue.StateDead) // as a worker says it
	retry.Delay, retry.Note = long, store.Note{Level: 1, Attempts: 1}
	n.w.take(0, retry, ended(queue.VerdictDead, n.dead, queue.StateDead))
	n.w.take(0, store.End{ID: n.alone, Verdict: queue.VerdictGiveBack})
	for _, name := range []string{"c1", "c2"} { // a task that costs two workers
		bad := b.worker(name, lapses)
		wantIDs(b.t, "claimed", bad.claim(1), n.alone)
		b.pass(lapses + time.Millisecond)
		n.w.beat()
	}
	later := time.Now().Add(long)
	high, in, at := msg(), msg(), []*queue.Message{msg(), msg(), msg()}
	high.Priority, in.Delay = queue.High, long
	for _, m := range at {
		m.RunAt = later
	}
	n.high, n.scheduled = b.submit(high)[0], b.submit(in)[0]
	n.bundle = b.submit(at...)
	n.ready = b.submit(msg())[0]
	return n
}

func key(rest string) string { return store.Root("q", 0) + rest }

// damage is what can be found: what does it, what is found then, and what is true
// when it is repaired. Without after it cannot be.
type damage struct {
	do     func(n *town)
	damage store.Damage
	id     func(n *town) queue.TaskID
	after  func(n *town)
}

var damages = map[string]damage{
	"a ready task is in no list": {
		do:     func(n *town) { n.rdb.LRem(n.ctx(), key("ready:0"), 0, n.high[:]) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.high },
		after: func(n *town) {
			wants(n.t, "ids ready", n.rdb.LIndex(n.ctx(), key("ready:0"), 0).Val(), string(n.high[:]))
		},
	},
	"a scheduled task is in no set": {
		do:     func(n *town) { n.rdb.ZRem(n.ctx(), key("due"), n.scheduled[:]) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.scheduled },
		after: func(n *town) { wants(n.t, "state", n.state(n.scheduled), queue.StateReady) },
	},
	"a task to be tried again is in no set": {
		do:     func(n *town) { n.rdb.ZRem(n.ctx(), key("due"), n.retried[:]) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.retried },
		after: func(n *town) { wants(n.t, "state", n.state(n.retried), queue.StateReady) },
	},
	"a dead task is in no set": {
		do:     func(n *town) { n.rdb.ZRem(n.ctx(), key("dead"), n.dead[:]) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.dead },
		after: func(n *town) { wants(n.t, "state", n.state(n.dead), queue.StateDead) },
	},
	"a running task is not at its consumer": {
		do:     func(n *town) { n.rdb.HDel(n.ctx(), key("run:w1"), string(n.running[:])) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.running },
		after: func(n *town) { wants(n.t, "state", n.state(n.running), queue.StateReady) },
	},
	"a task that is to run alone is in no list": {
		do:     func(n *town) { n.rdb.Del(n.ctx(), key("alone")) },
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.alone },
		after: func(n *town) { wants(n.t, "tasks to run alone", n.rdb.LLen(n.ctx(), key("alone")).Val(), 1) },
	},
	"a task has its outcome and is still there": {
		do: func(n *town) {
			n.rdb.LRem(n.ctx(), key("ready:0"), 0, n.high[:])
			n.rdb.Set(n.ctx(), key("result:")+string(n.high[:]), "o", time.Hour)
		},
		damage: store.DamageOrphan, id: func(n *town) queue.TaskID { return n.high },
		after: func(n *town) {
			wants(n.t, "the task is there", n.rdb.HExists(n.ctx(), key("tasks"), string(n.high[:])).Val(), false)
			wants(n.t, "its note is there", n.rdb.HExists(n.ctx(), key("notes"), string(n.high[:])).Val(), false)
		},
	},
	"a running task is ready as well": {
		do:     func(n *town) { n.rdb.LPush(n.ctx(), key("ready:1"), n.running[:]) },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.running },
		after: func(n *town) {
			wants(n.t, "state", n.state(n.running), queue.StateRunning)
			wants(n.t, "its place in the list", n.rdb.LPos(n.ctx(), key("ready:1"), string(n.running[:]), redis.LPosArgs{}).Err(), error(redis.Nil))
		},
	},
	"a task is ready twice": {
		do:     func(n *town) { n.rdb.RPush(n.ctx(), key("ready:0"), n.high[:]) },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.high },
		after: func(n *town) { wants(n.t, "ids ready", n.rdb.LLen(n.ctx(), key("ready:0")).Val(), 1) },
	},
	"a scheduled task is ready as well": {
		do:     func(n *town) { n.rdb.RPush(n.ctx(), key("ready:2"), n.scheduled[:]) },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.scheduled },
		after: func(n *town) {
			wants(n.t, "state", n.state(n.scheduled), queue.StateScheduled)
			wants(n.t, "ids ready", n.rdb.LLen(n.ctx(), key("ready:2")).Val(), 0)
		},
	},
	"a dead task is ready as well": {
		do:     func(n *town) { n.rdb.RPush(n.ctx(), key("ready:1"), n.dead[:]) },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.dead },
		after: func(n *town) { wants(n.t, "state", n.state(n.dead), queue.StateDead) },
	},
	"a task of a bundle is ready as well": {
		do:     func(n *town) { n.rdb.RPush(n.ctx(), key("ready:1"), n.bundle[1][:]) },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.bundle[1] },
		after: func(n *town) { wants(n.t, "ids ready", n.rdb.LLen(n.ctx(), key("ready:1")).Val(), 1) },
	},
	"a task of a bundle runs as well": {
		do:     func(n *town) { n.rdb.HSet(n.ctx(), key("run:w1"), string(n.bundle[1][:]), "0:1") },
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.bundle[1] },
		after: func(n *town) {
			wants(n.t, "members that are due", n.rdb.ZCard(n.ctx(), key("due")).Val(), 3)
			wants(n.t, "bundled", n.rdb.Get(n.ctx(), key("bundled")).Val(), "1")
		},
	},
	"a task runs at two consumers": {
		do: func(n *town) {
			n.worker("w2", long)
			n.rdb.HSet(n.ctx(), key("run:w2"), string(n.running[:]), "0:1")
		},
		damage: store.DamageTwice, id: func(n *town) queue.TaskID { return n.running },
	},
	"a running task's message is gone": {
		do:     func(n *town) { n.rdb.HDel(n.ctx(), key("tasks"), string(n.running[:])) },
		damage: store.DamageDangling, id: func(n *town) queue.TaskID { return n.running },
		after: func(n *town) {
			wants(n.t, "it is in flight", n.rdb.HExists(n.ctx(), key("run:w1"), string(n.running[:])).Val(), false)
		},
	},
	"a scheduled task's message is gone": {
		do:     func(n *town) { n.rdb.HDel(n.ctx(), key("tasks"), string(n.scheduled[:])) },
		damage: store.DamageDangling, id: func(n *town) queue.TaskID { return n.scheduled },
		after: func(n *town) {
			wants(n.t, "scheduled", n.rdb.ZScore(n.ctx(), key("due"), string(n.scheduled[:])).Err(), error(redis.Nil))
		},
	},
	"something is on the books of dead tasks that is none": {
		do:     func(n *town) { n.rdb.ZAdd(n.ctx(), key("dead"), redis.Z{Score: 1, Member: "nonsense"}) },
		damage: store.DamageDangling,
		after:  func(n *town) { wants(n.t, "dead", n.rdb.ZCard(n.ctx(), key("dead")).Val(), 1) },
	},
	"a note of no task": {
		do:     func(n *town) { n.rdb.HSet(n.ctx(), key("notes"), strings.Repeat("n", 16), "1 0 0 0") },
		damage: store.DamageLeftover,
		after:  func(n *town) { wants(n.t, "notes", n.rdb.HLen(n.ctx(), key("notes")).Val(), 3) },
	},
	"somebody watches no task": {
		do:     func(n *town) { n.rdb.HSet(n.ctx(), key("watch"), strings.Repeat("n", 16), "p1") },
		damage: store.DamageLeftover,
		after:  func(n *town) { wants(n.t, "watch", n.rdb.Exists(n.ctx(), key("watch")).Val(), 0) },
	},
	"a consumer is not there": {
		do:     func(n *town) { n.rdb.ZRem(n.ctx(), key("alive"), "w1") },
		damage: store.DamageConsumer,
		after: func(n *town) {
			wants(n.t, "state", n.state(n.running), queue.StateReady)
			wants(n.t, "crashes", n.look(line, n.running).Note.Crashes, 1)
		},
	},
	"a consumer that is not there took tasks off the bell": {
		do: func(n *town) {
			n.rdb.LRem(n.ctx(), key("ready:0"), 0, n.high[:])
			n.rdb.RPush(n.ctx(), key("taken:w9"), "."+string(n.high[:])+"message")
		},
		damage: store.DamageConsumer,
		after:  func(n *town) { wants(n.t, "state", n.state(n.high), queue.StateReady) },
	},
	"a reply log never expires": {
		do: func(n *town) {
			n.rdb.XAdd(n.ctx(), &redis.XAddArgs{Stream: key("reply:p"), Values: []string{"o", "x"}})
		},
		damage: store.DamageExpiry,
		after:  func(n *town) { wants(n.t, "it expires", n.rdb.TTL(n.ctx(), key("reply:p")).Val() > 0, true) },
	},
	"an outcome never expires": {
		do:     func(n *town) { n.rdb.Set(n.ctx(), key("result:")+string(n.high[:]), "o", 0) },
		damage: store.DamageExpiry,
		after: func(n *town) {
			wants(n.t, "it expires", n.rdb.TTL(n.ctx(), key("result:")+string(n.high[:])).Val() > 0, true)
		},
	},
	"a link never expires": {
		do:     func(n *town) { n.rdb.Set(n.ctx(), "cenote:link:p", "on", 0) },
		damage: store.DamageExpiry,
		after:  func(n *town) { wants(n.t, "it expires", n.rdb.TTL(n.ctx(), "cenote:link:p").Val() > 0, true) },
	},
	"what a shared object remembers never expires": {
		do: func(n *town) {
			root := store.SharedRoot("counter", "c") // is to be kept for ever
			n.rdb.Set(n.ctx(), root, "7", 0)
			n.rdb.Set(n.ctx(), root+":from:m", "1 2:=7", 0)
		},
		damage: store.DamageExpiry,
		after: func(n *town) {
			root := store.SharedRoot("counter", "c")
			wants(n.t, "what is remembered expires", n.rdb.TTL(n.ctx(), root+":from:m").Val() > 0, true)
			wants(n.t, "the object expires", n.rdb.TTL(n.ctx(), root).Val() > 0, false)
		},
	},
	"bundled says too much": {
		do:     func(n *town) { n.rdb.Incr(n.ctx(), key("bundled")) },
		damage: store.DamageBundled,
		after:  func(n *town) { wants(n.t, "bundled", n.rdb.Get(n.ctx(), key("bundled")).Val(), "2") },
	},
	"bundled is gone": {
		do:     func(n *town) { n.rdb.Del(n.ctx(), key("bundled")) },
		damage: store.DamageBundled,
		after:  func(n *town) { wants(n.t, "bundled", n.rdb.Get(n.ctx(), key("bundled")).Val(), "2") },
	},
	"a key of the queue that is none": {
		do:     func(n *town) { n.rdb.Set(n.ctx(), key("nonsense"), "x", 0) },
		damage: store.DamageUnknown,
	},
	"a key of a partition that is none": {
		do:     func(n *town) { n.rdb.HSet(n.ctx(), store.Root("q", 7)+"notes", "f", "v") },
		damage: store.DamageUnknown,
	},
	"a key of no queue": {
		do:     func(n *town) { n.rdb.Set(n.ctx(), "cenote:nonsense", "x", 0) },
		damage: store.DamageUnknown,
	},
	"a key of another type": {
		do:     func(n *town) { n.rdb.Set(n.ctx(), key("ready:2"), "x", 0) },
		damage: store.DamageType,
	},
}

func TestAuditFindsEachDamageAndOnlyIt(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		for _, name := range slices.Sorted(maps.Keys(damages)) {
			t.Run(name, func(t *testing.T) {
				if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				again := newBed(t, b.rdb, b.mini, b.real)
				again.now = b.now
				n := newTown(again)
				b.now = again.now
				findOnly(n, damages[name])
			})
		}
	})
}

// findOnly does damage, and sees it found, repaired if it can be, and gone.
func findOnly(n *town, d damage) {
	t := n.t
	t.Helper()
	n.sound("before")
	d.do(n)
	one := func(repair bool) store.Finding {
		t.Helper()
		found := n.audit(repair)
		if len(found) != 1 || found[0].Damage != d.damage {
			t.Fatalf("found %+v, want one %s", found, d.damage)
		}
		if d.id != nil {
			if id := d.id(n); found[0].ID != string(id[:]) {
				t.Errorf("it is said of %x, want %x", found[0].ID, id)
			}
		}
		return found[0]
	}
	if f := one(false); f.Mended != "" || f.Text == "" {
		t.Errorf("without repair: %+v", f)
	}
	one(false) // the first look has changed nothing
	f := one(true)
	if (f.Mended != "") != (d.after != nil) {
		t.Fatalf("what was done is %q", f.Mended)
	}
	if d.after == nil {
		one(false)
		return
	}
	n.sound("when it is repaired")
	d.after(n)
	if again := n.audit(true); len(again) > 0 {
		t.Errorf("repaired once more: %+v", again)
	}
}

// What cancelled tasks leave behind is no damage.
func TestAuditLetsLeftIDsBe(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		n := newTown(b)
		if _, err := b.s.Cancel(b.ctx(), "q", 0, "p.1", queue.Cancellation{}, []queue.TaskID{n.bundle[0]}); err != nil {
			t.Fatal(err)
		}
		n.sound("after a cancellation")
		if _, a := n.auditIn(store.AuditOptions{}, 0, 0); a.Stale != 1 || a.Tasks != 9 {
			t.Errorf("looked at %d tasks and %d ids of cancelled ones, want 9 and 1", a.Tasks, a.Stale)
		}
	})
}

// A stream queue has a line for each group, and one for what waits for its time.
func TestAuditOfAStream(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		if _, err := b.s.Declare(b.ctx(), "s", queue.Layout{Kind: queue.KindStream, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
		g := store.NewLine("s", 0, "g")
		for part := range uint16(2) {
			if _, err := b.s.Join(b.ctx(), store.NewLine("s", part, "g")); err != nil {
				t.Fatal(err)
			}
		}
		w := b.workerOn(g, "w1", long)
		now, later := msg(), msg()
		now.Queue, later.Queue, later.Delay = "s", "s", long
		ids, _ := b.submitBatch(queue.KindStream, now, later, &queue.Message{Type: "t", Queue: "s"})
		wantIDs(t, "claimed", w.claim(1), ids[0])
		b.sound("before")

		base := store.Root("s", 0)
		b.rdb.HDel(b.ctx(), base+"@g/run:w1", string(ids[0][:]))
		b.rdb.ZRem(b.ctx(), base+"due", string(ids[1][:]))
		b.rdb.SRem(b.ctx(), store.Root("s", 1)+"groups", "g")
		b.rdb.HSet(b.ctx(), base+"@other/tasks", "f", "v")
		var kinds []string
		for _, f := range b.audit(true) {
			kinds = append(kinds, fmt.Sprint(f.Damage, f.Mended != ""))
		}
		slices.Sort(kinds)
		if want := []string{"grouptrue", "orphantrue", "orphantrue", "unknownfalse"}; !slices.Equal(kinds, want) {
			t.Fatalf("found %v, want %v", kinds, want)
		}
		b.rdb.Del(b.ctx(), base+"@other/tasks")
		b.sound("when it is repaired")
		if got := w.claim(10); !slices.Contains(got, ids[0]) || !slices.Contains(got, ids[1]) {
			t.Errorf("claimed %v, want %v among them", got, ids[:2])
		}
		b.rdb.XGroupDestroy(b.ctx(), base+"stream", "g")
		if found := b.audit(true); len(found) != 1 || found[0].Damage != store.DamageGroup || found[0].Mended != "" {
			t.Errorf("a group without a place in the stream: %+v", found)
		}
	})
}

// Long queues are gone through in steps and parts, and a list that is too long for
// one look is walked.
func TestAuditOfALongQueue(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	b := newBed(t, r.Client(), nil, r)
	if _, err := b.s.Declare(b.ctx(), "q", queue.Layout{Kind: queue.KindList}); err != nil {
		t.Fatal(err)
	}
	const tasks = 51_000 // more than one look goes through
	var all []queue.TaskID
	for len(all) < tasks {
		batch := make([]*queue.Message, 1000)
		for i := range batch {
			batch[i] = msg()
		}
		all = append(all, b.submit(batch...)...)
	}
	if found, a := b.auditIn(store.AuditOptions{}, 20_000, 0); len(found) > 0 || a.Tasks != tasks {
		t.Fatalf("a queue of %d tasks: looked at %d, found %+v", tasks, a.Tasks, found)
	}
	lost, twice := all[tasks/2], all[tasks/2+1000]
	if n, err := b.rdb.LRem(b.ctx(), key("ready:1"), 1, lost[:]).Result(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := b.rdb.LInsertAfter(b.ctx(), key("ready:1"), string(all[tasks/2+2000][:]), string(twice[:])).Err(); err != nil {
		t.Fatal(err)
	}
	want := map[string]store.Damage{string(lost[:]): store.DamageOrphan, string(twice[:]): store.DamageTwice}
	for _, repair := range []bool{false, true} {
		found, _ := b.auditIn(store.AuditOptions{Repair: repair}, 0, 0)
		if len(found) != len(want) {
			t.Fatalf("found %+v, want two", found)
		}
		for _, f := range found {
			if want[f.ID] != f.Damage || (f.Mended != "") != repair {
				t.Errorf("found %+v", f)
			}
		}
	}
	b.sound("when it is repaired")
	if n := b.rdb.LLen(b.ctx(), key("ready:1")).Val(); n != tasks+1 { // one of them a blank
		t.Errorf("%d ids are ready, want %d and a blank", n, tasks)
	}
}

func TestAuditOfNamedQueues(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		n := newTown(b)
		for _, name := range []string{"q2", "other"} {
			if _, err := b.s.Declare(b.ctx(), name, queue.Layout{Kind: queue.KindList}); err != nil {
				t.Fatal(err)
			}
			b.rdb.Set(b.ctx(), store.Root(name, 0)+"nonsense", "x", 0)
		}
		if found, a := n.auditIn(store.AuditOptions{Queues: []string{"q"}}, 0, 0); len(found) > 0 || a.Queues != 1 {
			t.Errorf("%d queues, found %+v; the others are none of its business", a.Queues, found)
		}
		if found, a := n.auditIn(store.AuditOptions{Queues: []string{"q", "q2"}}, 0, 0); len(found) != 1 || a.Queues != 2 {
			t.Errorf("%d queues, found %+v", a.Queues, found)
		}
		if found := n.audit(false); len(found) != 2 {
			t.Errorf("found %+v, want both", found)
		}
		if _, err := b.s.Audit(b.ctx(), store.AuditOptions{Queues: []string{"none"}}); !errors.Is(err, store.ErrNoQueue) {
			t.Errorf("a queue that is not there: %v", err)
		}
		if _, err := b.s.Audit(b.ctx(), store.AuditOptions{Queues: []string{"{x}"}}); !errors.Is(err, queue.ErrName) {
			t.Errorf("a name that is none: %v", err)
		}
	})
}
