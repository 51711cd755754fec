package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// lotted returns a worker that has claimed n tasks as a lot, and the lot. All other
// tasks have ended.
func (b *bed) lotted(n int) (*worker, *loner, []queue.TaskID, store.Lot) {
	b.t.Helper()
	w, l := b.flowing()
	w.turn.Whole = true
	ids := l.together(msgs(n)...)
	r := w.take(100)
	wantIDs(b.t, "claimed", idsOf(r), ids...)
	wants(b.t, "a lot", r.Lot, true)
	for _, c := range r.Tasks {
		wants(b.t, "message of "+c.ID.String(), string(c.Wire), string(msg().AppendWire(nil)))
		wants(b.t, "note of "+c.ID.String(), c.Note, store.Note{Level: 1})
	}
	return w, l, ids, store.Lot{Lane: w.turn.Lane, Number: w.turn.Number}
}

// over tells what became of lots, and takes a turn.
func (w *worker) over(lots []store.LotEnd, ends ...store.End) *store.TurnReply {
	w.b.t.Helper()
	w.turn.Lots = lots
	defer func() { w.turn.Lots = nil }()
	return w.take(0, ends...)
}

// stored is how many tasks are in flight, or wait, by themselves.
func (b *bed) stored() int64 { return b.rdb.HLen(b.ctx(), root+"tasks").Val() }

// TestALotIsInFlightAsAWhole: its tasks are there for whoever looks, take next to nothing,
// and are gone together.
func TestALotIsInFlightAsAWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		for _, n := range []int{2, 32, 33, 100} {
			w, _, ids, lot := b.lotted(n)
			wants(t, "tasks by themselves", b.stored(), 0)
			wants(t, "counts", b.counts(), store.Counts{Running: n, Consumers: 1})
			wants(t, "state", b.state(ids[n-1]), queue.StateRunning)
			r := w.over([]store.LotEnd{{Lot: lot}})
			wants(t, "unknown lots", len(r.Unknown), 0)
			wants(t, "counts", b.counts(), store.Counts{Consumers: 1})
			wants(t, "state", b.state(ids[n-1]), queue.StateUnknown)
			for f := range b.rdb.HGetAll(b.ctx(), root+"run:w").Val() {
				if len(f) > len("#l") {
					t.Errorf("%q is left of the lot", f)
				}
			}
			w.turn.Lots = []store.LotEnd{{Lot: lot}}
			wants(t, "unknown lots of the same turn", len(w.again(0).Unknown), 0)
			w.turn.Lots = nil
			if _, err := b.s.Leave(b.ctx(), line, "w"); err != nil {
				t.Fatal(err)
			}
			b.rdb.FlushAll(b.ctx())
		}
	})
}

// TestALotIsSpreadForWhoHasToDoWithATask: from then on each of its tasks is in flight by
// itself, and what is told of the lot is told again task by task.
func TestALotIsSpreadForWhoHasToDoWithATask(t *testing.T) {
	for name, c := range map[string]struct {
		touch func(b *bed, w *worker, id queue.TaskID)
		late  bool // it is spread when its end is told
		left  int  // tasks that go on then
	}{
		"waiting": {func(b *bed, _ *worker, id queue.TaskID) {
			st, err := b.s.Open(b.ctx(), line, id, "addr")
			wants(b.t, "waits", fmt.Sprint(st.Waits, err), "true <nil>")
		}, true, 1},
		"answering": {func(b *bed, w *worker, id queue.TaskID) {
			wants(b.t, "answer", b.cancel("asker.1", id)[0], store.AnswerWait)
			wants(b.t, "tasks by themselves", b.stored(), 0)
			wants(b.t, "answer", w.answer("asker.1", id), store.AnswerBefore)
		}, false, -1},
		"recording": {func(b *bed, _ *worker, id queue.TaskID) {
			err := b.s.Record(b.ctx(), line, "w", id, 0, []byte("part"))
			wants(b.t, "recording", err, nil)
		}, false, 0},
		"the turn again": {func(_ *bed, w *worker, _ queue.TaskID) {
			r := w.again(100)
			wants(w.b.t, "claimed again", len(r.Tasks), 40)
			wants(w.b.t, "a lot again", r.Lot, false)
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				w, _, ids, lot := b.lotted(40)
				c.touch(b, w, ids[7])
				there := 40 + min(c.left, 0)
				wants(t, "running", b.counts().Running, there)
				if !c.late {
					wants(t, "tasks by themselves", b.stored(), int64(there))
				}
				r := w.over([]store.LotEnd{{Lot: lot}})
				wants(t, "unknown lots", fmt.Sprint(r.Unknown), "[0]")
				wants(t, "tasks by themselves", b.stored(), int64(there))
				w.turn.Lots = []store.LotEnd{{Lot: lot}}
				wants(t, "unknown lots of the same turn", fmt.Sprint(w.again(0).Unknown), "[0]")
				w.turn.Lots = nil
				r = w.take(0, dones(ids)...)
				wants(t, "refused", len(r.Stale), 40-there)
				wants(t, "put off", len(r.Watched), max(c.left, 0))
				wants(t, "running", b.counts().Running, max(c.left, 0))
			})
		})
	}
}

// TestABrokenLot: what else becomes of one of its tasks is told of that task, and the
// others end by themselves.
func TestABrokenLot(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w, _, ids, lot := b.lotted(40)
		retried := ended(queue.VerdictRetry, ids[0], queue.StateDead)
		retried.Delay, retried.Note = long, store.Note{Level: 1, Attempts: 1}
		broken := []store.LotEnd{{Lot: lot, Broken: true}}
		r := w.over(broken, append(dones(ids[1:20]), retried)...)
		wants(t, "refused", len(r.Stale), 0)
		wants(t, "counts", b.counts(), store.Counts{Scheduled: 1, Running: 20, Consumers: 1})
		r = w.over(broken, dones(ids[20:])...) // said twice it is as good
		wants(t, "refused", len(r.Stale), 0)
		wants(t, "counts", b.counts(), store.Counts{Scheduled: 1, Consumers: 1})
	})
}

// TestWhoIsLostLosesItsLots: all of their tasks go back.
func TestWhoIsLostLosesItsLots(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		_, _, ids, _ := b.lotted(40)
		if _, err := b.s.Leave(b.ctx(), line, "w"); err != nil {
			t.Fatal(err)
		}
		wants(t, "counts", b.counts(), store.Counts{Ready: 40})
		heir := b.worker("heir", long)
		got := map[queue.TaskID]bool{}
		for _, id := range heir.claim(100) {
			got[id] = true
		}
		for _, id := range ids {
			wants(t, id.String()+" is there", got[id], true)
		}
	})
}

// TestWhatIsUnusualIsNoLot: then each task is in flight by itself, as ever.
func TestWhatIsUnusualIsNoLot(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w, l := b.flowing()
		w.turn.Whole = true
		claim := func(what string, want, n int) {
			t.Helper()
			r := w.take(want)
			wants(t, what+": a lot", r.Lot, false)
			wants(t, what+": claimed", len(r.Tasks), n)
			wants(t, what+": by themselves", b.stored(), int64(n))
			w.take(0, dones(idsOf(r))...)
		}
		l.together(msg())
		claim("one task", 100, 1)
		batch := l.batch(msgs(40)...)
		for range 2 {
			if _, err := b.s.Submit(b.ctx(), batch); err != nil {
				t.Fatal(err)
			}
		}
		claim("a batch that came twice", 100, 40)
		l.together(msgs(40)...)
		if _, err := b.s.Open(b.ctx(), line, l.together(msgs(2)...)[0], "addr"); err != nil {
			t.Fatal(err)
		}
		r := w.take(100)
		wants(t, "one that somebody waits for: a lot", r.Lot, false)
		w.turn.Whole = false
		l.together(msgs(40)...)
		r = w.take(100)
		wants(t, "for who did not ask: a lot", r.Lot, false)
	})
}

// A lot's name is no id.
func TestALotsFieldIsNoID(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.lotted(2)
		for f := range b.rdb.HGetAll(b.ctx(), root+"run:w").Val() {
			if !strings.HasPrefix(f, "#") || len(f) == 16 {
				t.Errorf("%q looks like a task", f)
			}
		}
	})
}
