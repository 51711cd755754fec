package store_test

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// later is a message that starts after d.
func later(d time.Duration) *queue.Message {
	m := msg()
	m.Delay = d
	return m
}

func TestARetryHasSomebodyWhoGetsUpForIt(t *testing.T) {
	for name, set := range map[string]struct {
		turn  store.Turn
		want  int
		keeps bool
	}{
		"by one that has room":      {store.Turn{}, 1, true},
		"by one that listens":       {store.Turn{Listens: true}, 0, true},
		"by one that is full":       {store.Turn{}, 0, false},
		"by one that stops working": {store.Turn{Quiet: true}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				b.submit(msg())
				other := b.worker("other", long)
				w := b.worker("w", long)
				w.turn.Quiet, w.turn.Listens = set.turn.Quiet, set.turn.Listens
				e := ended(queue.VerdictRetry, w.claim(1)[0], queue.StateDead)
				e.Note, e.Delay = store.Note{Level: 1, Attempts: 1}, time.Minute
				r := w.take(set.want, e)
				if set.keeps {
					if r.Wake <= 0 {
						t.Errorf("it gets up after %v", r.Wake)
					}
					return
				}
				if r.Wake >= 0 {
					t.Errorf("it has no room and gets up after %v all the same", r.Wake)
				}
				other.hear()
				if r := other.take(1); r.Wake <= 0 || r.Wake > time.Minute {
					t.Errorf("the other one, that was woken, gets up after %v", r.Wake)
				}
			})
		})
	}
}

func TestWhoDoesNotKnowATaskDoesNotGetUpForIt(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		park := store.End{ID: id, Verdict: queue.VerdictPark, Delay: time.Minute}
		if r := w.take(1, park); r.Wake <= 0 {
			t.Errorf("there is nobody else, and it gets up after %v", r.Wake)
		}
		b.submit(msg())
		id = w.claim(1)[0]
		other := b.worker("other", long)
		if r := w.take(1, store.End{ID: id, Verdict: queue.VerdictPark, Delay: time.Second}); r.Wake >= 0 {
			t.Errorf("another one may know the task, and it gets up itself after %v", r.Wake)
		}
		other.hear()
		if r := other.take(1); r.Wake < 0 || r.Wake > time.Second {
			t.Errorf("the other one gets up after %v", r.Wake)
		}
	})
}

func TestTheTimeIsKeptWhenItsKeeperHasWork(t *testing.T) {
	for name, p := range map[string]queue.Priority{"ordinary tasks": queue.Normal, "tasks with a note": queue.Low} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				soon, then := later(b.span()), later(24*time.Hour)
				soon.Priority, then.Priority = p, p
				ids := b.submit(soon, then)
				keeper, other := b.worker("keeper", long), b.worker("other", long)
				if r := keeper.take(1); r.Wake < 0 {
					t.Fatal("nobody keeps the time")
				}
				other.take(1)
				b.pass(b.span())
				wantIDs(t, "claimed by the keeper", keeper.claim(1), ids[0])
				other.hear()
				if r := other.take(1); r.Wake <= 0 {
					t.Errorf("the keeper runs a task, and nobody gets up for the next one: %v", r.Wake)
				}
			})
		})
	}
}

func TestWhatIsDueIsNotLostOnAKeeperThatIsFull(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(later(b.span()), later(24*time.Hour))
		keeper, other := b.worker("keeper", long), b.worker("other", long)
		keeper.take(1)
		other.take(1)
		b.pass(b.span())
		if r := keeper.take(0); len(r.Tasks) > 0 {
			t.Fatalf("%+v", r)
		}
		other.hear()
		r := other.take(2)
		wantIDs(t, "claimed by the other", idsOf(r), ids[0])
		if r.Wake <= 0 {
			t.Errorf("nobody gets up for the next one: %v", r.Wake)
		}
	})
}
