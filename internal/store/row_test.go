package store_test

import (
	"bytes"
	"testing"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// three are the ends of three tasks that w runs, all for one address.
func three(b *bed, w *worker) ([]queue.TaskID, []store.End) {
	b.t.Helper()
	ids := b.submit(msg(), msg(), msg())
	wantIDs(b.t, "claimed", w.claim(3), ids...)
	var ends []store.End
	for _, id := range ids {
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.ReplyTo = "addr"
		ends = append(ends, e)
	}
	return ids, ends
}

// row is the outcomes of ends one after the other.
func row(ends []store.End) (all []byte) {
	for _, e := range ends {
		all = e.Outcome.AppendWire(all)
	}
	return all
}

func TestOutcomesForOneAddressTravelTogether(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		ids, ends := three(b, w)
		over := ended(queue.VerdictExpire, b.submit(msg())[0], queue.StateExpired)
		over.ReplyTo = "addr"
		w.claim(1)
		apart := ended(queue.VerdictDone, b.submit(msg())[0], queue.StateSucceeded)
		apart.ReplyTo = "other"
		w.claim(1)
		ends = append(ends, apart, over, done(b.submit(msg())[0]))
		w.claim(1)
		if r := w.take(0, ends...); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("stale %v, put off %v", r.Stale, r.Watched)
		}
		if r := w.again(0, ends...); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("taken again: stale %v, put off %v", r.Stale, r.Watched)
		}
		if got := b.logged("addr"); len(got) != 1 || !bytes.Equal(got[0], append(row(ends[:3]), row([]store.End{over})...)) {
			t.Errorf("%d entries for addr: %x", len(got), got)
		}
		if got := b.logged("other"); len(got) != 1 || !bytes.Equal(got[0], row([]store.End{apart})) {
			t.Errorf("%d entries for other: %x", len(got), got)
		}
		if r := w.take(0, ends[:3]...); len(r.Stale) != 3 {
			t.Errorf("ended a second time: %v of %v were stale", r.Stale, ids)
		}
		wants(t, "entries after that", len(b.logged("addr")), 1)
		b.clean()
	})
}

func TestOneOfARowIsStale(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		ids, ends := three(b, w)
		w.take(0, done(ids[1]))
		r := w.take(0, ends...)
		wantIDs(t, "stale", r.Stale, ids[1])
		wantIDs(t, "put off", r.Watched, ids[0], ids[2])
		wants(t, "told", len(b.logged("addr")), 0)
		wants(t, "state", b.state(ids[0]), queue.StateRunning)
		ends[0].Apart, ends[2].Apart = true, true
		if r := w.take(0, ends[0], ends[2]); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("by themselves: stale %v, put off %v", r.Stale, r.Watched)
		}
		if got := b.logged("addr"); len(got) != 1 || !bytes.Equal(got[0], row([]store.End{ends[0], ends[2]})) {
			t.Errorf("%d entries: %x", len(got), got)
		}
		b.clean()
	})
}

func TestOneOfARowIsWaitedForBySomebodyElse(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		ids, ends := three(b, w)
		b.open(ids[2], "late")
		r := w.take(0, ends...)
		wants(t, "put off", len(r.Watched), 3)
		for i := range ends {
			ends[i].Apart = true
		}
		if r := w.take(0, ends...); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("by themselves: stale %v, put off %v", r.Stale, r.Watched)
		}
		if got := b.logged("addr"); len(got) != 1 || !bytes.Equal(got[0], row(ends)) {
			t.Errorf("%d entries: %x", len(got), got)
		}
		if got := b.logged("late"); len(got) != 1 || !bytes.Equal(got[0], row(ends[2:])) {
			t.Errorf("%d entries for late: %x", len(got), got)
		}
		b.clean()
	})
}

// Tasks that came over the bell are noted as in flight by the first turn after it,
// which may be the one that puts their end off.
func TestARowThatCameOverTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		a := b.submit(msg())[0]
		w.hear()
		c := b.submit(msg())[0]
		w.hear()
		b.open(c, "late")
		ends := []store.End{ended(queue.VerdictDone, a, queue.StateSucceeded), ended(queue.VerdictDone, c, queue.StateSucceeded)}
		ends[0].ReplyTo, ends[1].ReplyTo = "addr", "addr"
		r := w.take(0, ends...)
		wants(t, "put off", len(r.Watched), 2)
		ends[0].Apart, ends[1].Apart = true, true
		if r := w.take(0, ends...); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("by themselves: stale %v, put off %v", r.Stale, r.Watched)
		}
		wants(t, "told", len(b.logged("addr")), 1)
		wants(t, "told late", len(b.logged("late")), 1)
		b.clean()
	})
}

// A listpack is searched from end to end, for every task that begins or ends.
func TestTheHashOfTasksInFlightIsATable(t *testing.T) {
	r := redistest.Start(t)
	b := newBed(t, r.Client(), nil, r)
	b.worker("w", long)
	keys := b.rdb.Keys(b.ctx(), "*run:w").Val()
	if len(keys) != 1 {
		t.Fatalf("hashes of tasks in flight: %q", keys)
	}
	wants(t, "encoding", b.rdb.ObjectEncoding(b.ctx(), keys[0]).Val(), "hashtable")
}
