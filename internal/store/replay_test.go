package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestATurnTakenAgainClaimsTheSame(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg(), msg())
		w := b.worker("w", long)
		first := w.claim(2)
		wantIDs(t, "claimed", first, ids[:2]...)
		for range 2 {
			again := idsOf(w.again(2))
			slices.SortFunc(again, func(x, y queue.TaskID) int { return slices.Compare(x[:], y[:]) })
			slices.SortFunc(first, func(x, y queue.TaskID) int { return slices.Compare(x[:], y[:]) })
			wantIDs(t, "claimed again", again, first...)
		}
		wants(t, "in flight", b.counts().Running, 2)
		wantIDs(t, "the next turn", w.claim(2), ids[2:]...)
	})
}

func TestATurnTakenAgainFinishesNothingTwice(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg(), msg(), msg(), msg())
		w := b.worker("w", long)
		w.claim(6)
		kept := ended(queue.VerdictDone, ids[1], queue.StateSucceeded)
		kept.ReplyTo = "addr"
		retry := ended(queue.VerdictRetry, ids[3], queue.StateDead)
		retry.Delay, retry.Note = time.Hour, store.Note{Level: 1, Attempts: 1}
		ends := []store.End{
			done(ids[0]), kept, ended(queue.VerdictDead, ids[2], queue.StateDead), retry,
			{ID: ids[4], Verdict: queue.VerdictGiveBack}, {ID: ids[5], Verdict: queue.VerdictPark, Delay: time.Hour},
		}
		w.turn.Number++
		for i := range 3 {
			r := w.again(0, ends...)
			if len(r.Stale) > 0 {
				t.Errorf("time %d: %d ends are refused; a turn sent again is the same turn", i, len(r.Stale))
			}
		}
		wants(t, "counts", b.counts(), store.Counts{Ready: 1, Scheduled: 2, Dead: 1, Consumers: 1})
		log, err := b.s.ReadLog(b.ctx(), store.ReplyKey("q", 0, "addr"), "", 10)
		if err != nil || len(log) != 1 {
			t.Errorf("%d outcomes were sent, want 1: %v", len(log), err)
		}
	})
}

func TestATurnTakenAgainDoesNotTakeWhatAnotherHasNow(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w, other := b.worker("w", long), b.worker("other", long)
		w.claim(1)
		w.take(0, store.End{ID: id, Verdict: queue.VerdictGiveBack})
		wantIDs(t, "claimed by another", other.claim(1), id)
		w.again(0, store.End{ID: id, Verdict: queue.VerdictGiveBack})
		wants(t, "run by", b.look(line, id).Consumer, "other")
		wants(t, "waiting", b.counts().Ready, 0)
	})
}

func TestALateTurnDoesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		w := b.worker("w", long)
		w.claim(1)
		w.claim(1)
		late := *w
		late.turn.Number = 1
		if r, err := late.try(1, done(ids[0])); err == nil {
			t.Errorf("a turn that a later one has passed was carried out: %+v", r)
		}
		wants(t, "in flight", b.counts(), store.Counts{Ready: 1, Running: 2, Consumers: 1})
	})
}

func TestLanesAreIndependent(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		a := b.worker("w", long)
		c := &worker{b: b, turn: a.turn}
		c.turn.Lane = 1
		wantIDs(t, "lane 0", a.claim(1), ids[0])
		wantIDs(t, "lane 1", c.claim(1), ids[1])
		wantIDs(t, "lane 0, again", idsOf(a.again(1)), ids[0])
		wantIDs(t, "lane 1, again", idsOf(c.again(1)), ids[1])
		if r := c.take(1, done(ids[0])); len(r.Stale) > 0 {
			t.Error("one lane may not finish what the other claimed")
		}
	})
}

func TestStaleEndsAreRefusedAndTheOthersAreNot(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		w, other := b.worker("w", long), b.worker("other", long)
		w.claim(2)
		other.claim(1)
		stranger := queue.NewTaskID(0)
		for name, e := range map[string]func(queue.TaskID) store.End{
			"done": done,
			"done with an outcome": func(id queue.TaskID) store.End {
				e := ended(queue.VerdictDone, id, queue.StateSucceeded)
				e.ReplyTo, e.Keep = "addr", time.Hour
				return e
			},
			"dead":  func(id queue.TaskID) store.End { return ended(queue.VerdictDead, id, queue.StateDead) },
			"retry": func(id queue.TaskID) store.End { return ended(queue.VerdictRetry, id, queue.StateDead) },
			"park":  func(id queue.TaskID) store.End { return store.End{ID: id, Verdict: queue.VerdictPark} },
			"back":  func(id queue.TaskID) store.End { return store.End{ID: id, Verdict: queue.VerdictGiveBack} },
		} {
			r := w.take(0, e(ids[2]), e(stranger))
			if fmt.Sprint(r.Stale) != fmt.Sprint([]queue.TaskID{ids[2], stranger}) {
				t.Errorf("%s: refused %v", name, r.Stale)
			}
		}
		wants(t, "its consumer", b.look(line, ids[2]).Consumer, "other")
		r := w.take(0, done(ids[0]), done(ids[2]), done(ids[1]))
		wantIDs(t, "refused", r.Stale, ids[2])
		wants(t, "counts", b.counts(), store.Counts{Running: 1, Consumers: 2})
		if n := b.rdb.Exists(b.ctx(), store.ReplyKey("q", 0, "addr"), root+"result:"+string(ids[2][:])).Val(); n != 0 {
			t.Error("an outcome that was refused was sent or kept")
		}
	})
}

// A turn whose reply is lost is sent again while the other lane goes on: what it
// ended may have come back to the same consumer meanwhile.
func TestATurnTakenAgainDoesNotEndWhatTheOtherLaneHasNow(t *testing.T) {
	for name, end := range map[string]func(queue.TaskID) store.End{
		"done": done,
		"done with an outcome": func(id queue.TaskID) store.End {
			return ended(queue.VerdictDone, id, queue.StateSucceeded)
		},
		"retry": func(id queue.TaskID) store.End {
			e := ended(queue.VerdictRetry, id, queue.StateDead)
			e.Note = store.Note{Level: 1, Attempts: 1}
			return e
		},
		"back": func(id queue.TaskID) store.End { return store.End{ID: id, Verdict: queue.VerdictGiveBack} },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				id := b.submit(keyed())[0]
				a := b.worker("w", long)
				c := &worker{b: b, turn: a.turn}
				c.turn.Lane = 1
				a.claim(1)
				a.take(0, end(id))
				if b.state(id) == queue.StateUnknown {
					b.submit(keyed()) // the key is free again
				}
				wantIDs(t, "the other lane", c.claim(1), id)
				if r := a.again(0, end(id)); len(r.Tasks)+len(r.Stale) > 0 {
					t.Errorf("the turn again: %+v", r)
				}
				wants(t, "the task", b.state(id), queue.StateRunning)
				if r := c.take(0, done(id)); len(r.Stale) > 0 {
					t.Error("its own end is refused")
				}
				b.clean()
			})
		})
	}
}

func TestWhatIsKnownOfBatchesExpires(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		known := root + "from:p"
		number := uint64(0)
		send := func(number uint64, renew bool) {
			t.Helper()
			batch := newBatch(queue.KindList, number, msg())
			batch.From, batch.Renew = "p", renew
			if _, err := b.s.Submit(b.ctx(), batch); err != nil {
				t.Fatal(err)
			}
		}
		next := func(renew bool) {
			t.Helper()
			number++
			send(number, renew)
			wants(t, "the number that is known", b.rdb.Get(b.ctx(), known).Val(), fmt.Sprint(number))
			if left := b.rdb.PTTL(b.ctx(), known).Val(); left <= 0 {
				t.Errorf("after batch %d it is known for %v", number, left)
			}
		}
		next(false)
		next(false)
		b.rdb.PExpire(b.ctx(), known, time.Minute)
		next(false)
		if left := b.rdb.PTTL(b.ctx(), known).Val(); left > time.Minute {
			t.Errorf("nobody renewed it, and it is known for %v", left)
		}
		next(true)
		if left := b.rdb.PTTL(b.ctx(), known).Val(); left < 9*time.Minute {
			t.Errorf("renewed, it is known for %v", left)
		}
		b.rdb.Del(b.ctx(), known) // as after ten minutes without a batch
		next(false)
		number += 3 // which never arrived
		next(false)
		wants(t, "stored", b.counts().Ready, 6)
		for _, late := range []uint64{number, number - 1, 1} {
			send(late, false)
			send(late, true)
			wants(t, "still known", b.rdb.Get(b.ctx(), known).Val(), fmt.Sprint(number))
		}
		wants(t, "stored", b.counts().Ready, 6)
		next(false)
		wants(t, "stored", b.counts().Ready, 7)
	})
}
