package store_test

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestABatchIsStoredOnce(t *testing.T) {
	for name, n := range map[string]int{"a lone task": 1, "several tasks": 3} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				ms := make([]*queue.Message, n)
				for i := range ms {
					ms[i] = msg()
				}
				batch := newBatch(queue.KindList, 7, ms...)
				for range 3 { // the reply was lost twice
					if _, err := b.s.Submit(b.ctx(), batch); err != nil {
						t.Fatal(err)
					}
				}
				w := b.worker("w", long)
				got := w.claim(10)
				wants(t, "stored", len(got), n)
				for _, id := range got {
					w.take(0, done(id))
				}
				for _, number := range []uint64{7, 6, 7, 1, 7} { // the same again, and by connections given up long ago
					batch.Number = number
					if _, err := b.s.Submit(b.ctx(), batch); err != nil {
						t.Fatal(err)
					}
				}
				wants(t, "stored again after completion", len(w.claim(10)), 0)
				b.clean()
				batch.Number = 8
				if _, err := b.s.Submit(b.ctx(), batch); err != nil {
					t.Fatal(err)
				}
				wants(t, "the next batch", len(w.claim(10)), n)
			})
		})
	}
}

func TestProducersNumbersAreTheirOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		for _, from := range []string{"a", "b"} {
			batch := newBatch(queue.KindList, 1, msg())
			batch.From = from
			if _, err := b.s.Submit(b.ctx(), batch); err != nil {
				t.Fatal(err)
			}
		}
		wants(t, "stored", len(b.worker("w", long).claim(10)), 2)
	})
}

// keyed is a message whose id stands for a key.
func keyed() *queue.Message {
	m := msg()
	m.Key, m.Keep, m.ReplyTo = "invoice-7", time.Hour, "addr"
	return m
}

func TestAKeyIsOneTask(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids, there := b.submitBatch(queue.KindList, keyed())
		wants(t, "there before", len(there), 0)
		id := ids[0]
		same := func(when, want string) {
			t.Helper()
			_, there := b.submitBatch(queue.KindList, msg(), keyed(), msg())
			got, ok := there[1]
			if !ok || got != want || len(there) != 1 {
				t.Errorf("%s: submitted again it is there as %q, %v; want %q", when, got, ok, want)
			}
		}
		w := b.worker("w", long)

		same("waiting", "")
		wants(t, "claimed", w.claim(1)[0], id)
		same("running", "")
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.ReplyTo, e.Keep = "addr", time.Hour
		if r := w.take(0, e); len(r.Stale) > 0 {
			t.Fatal("the end was refused")
		}
		same("finished, outcome kept", string(e.Outcome.AppendWire(nil)))
		for _, other := range w.claim(20) {
			if other == id {
				t.Error("it is there twice")
			}
			w.take(0, done(other))
		}
		b.clean()

		if err := b.rdb.Del(b.ctx(), "cenote:{q}:result:"+string(id[:])).Err(); err != nil {
			t.Fatal(err)
		}
		if _, there := b.submitBatch(queue.KindList, keyed()); len(there) != 0 {
			t.Error("its outcome is no longer kept: it is a new task")
		}
		wantIDs(t, "claimed", w.claim(1), id)
	})
}

func TestAKeyOfADeadTaskTellsHowItDied(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids, _ := b.submitBatch(queue.KindList, keyed())
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictDead, ids[0], queue.StateDead)
		w.take(0, e)
		_, there := b.submitBatch(queue.KindList, keyed())
		wants(t, "there", there[0], string(e.Outcome.AppendWire(nil)))
		wants(t, "state", b.state(ids[0]), queue.StateDead)
		wants(t, "claimable", len(w.claim(1)), 0)
	})
}

func TestAKeyTwiceInOneBatch(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		_, there := b.submitBatch(queue.KindList, keyed(), keyed())
		if v, ok := there[1]; !ok || v != "" || len(there) != 1 {
			t.Errorf("there: %v", there)
		}
		wants(t, "claimed", len(b.worker("w", long).claim(5)), 1)
	})
}

func TestADelayedKeyIsOneTask(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := keyed()
		m.Delay = time.Hour
		b.submitBatch(queue.KindList, m)
		sooner := keyed()
		if _, there := b.submitBatch(queue.KindList, sooner); len(there) != 1 {
			t.Error("the second submission is another task")
		}
		wants(t, "claimable", len(b.worker("w", long).claim(1)), 0)
		wants(t, "state", b.state(m.ID), queue.StateScheduled)
	})
}
