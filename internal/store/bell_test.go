package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// patience is how long a wait at the bell may take at most before a test fails.
const patience = 20 * time.Second

// hear waits for the bell and fails if it does not ring.
func (w *worker) hear() store.Rung {
	w.b.t.Helper()
	bell := w.b.s.Bell()
	defer func() { _ = bell.Close() }()
	r, ok, err := bell.Wait(w.b.ctx(), w.turn.Line, w.turn.Consumer, patience)
	if err != nil || !ok {
		w.b.t.Fatalf("%s waits at the bell: %v, %v", w.turn.Consumer, ok, err)
	}
	return r
}

// untilOneWaits returns when a client is blocked in the server. Miniredis does not
// tell; there a test may act before the wait has begun, which must not matter.
func (b *bed) untilOneWaits() {
	b.t.Helper()
	for b.real != nil && b.rdb.InfoMap(b.ctx(), "clients").Item("Clients", "blocked_clients") != "1" {
		time.Sleep(time.Millisecond)
	}
}

func (b *bed) onBell(l string) int64 { return b.rdb.LLen(b.ctx(), l+"bell").Val() }

const root = "cenote:{q}:"

func TestAnIdleConsumerIsHandedTheTask(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		wants(t, "nothing yet", len(w.claim(1)), 0)
		m := msg()
		heard := make(chan store.Rung)
		bell := b.s.Bell()
		defer func() { _ = bell.Close() }()
		go func() {
			r, _, err := bell.Wait(context.WithoutCancel(b.ctx()), line, "w", patience)
			if err != nil {
				t.Error(err)
			}
			heard <- r
		}()
		id := b.submit(m)[0]
		r := <-heard
		if r.Task == nil || r.Task.ID != id || r.More || string(r.Task.Wire) != string(m.AppendWire(nil)) {
			t.Fatalf("over the bell came %+v", r)
		}
		k := b.look(line, id)
		wants(t, "state before any turn", k.State, queue.StateRunning)
		wants(t, "consumer", k.Consumer, "w")
		wants(t, "counts", b.counts(), store.Counts{Running: 1, Consumers: 1})
		if got := w.take(1, done(id)); len(got.Stale)+len(got.Tasks) > 0 {
			t.Errorf("its end: %+v", got)
		}
		b.clean()
	})
}

func TestTheBellSaysWhetherMoreWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		ids := b.submit(msg(), msg(), msg())
		wants(t, "on the bell for one idle consumer", b.onBell(root), 1)
		r := w.hear()
		if r.Task == nil || r.Task.ID != ids[0] || !r.More {
			t.Errorf("over the bell came %+v", r)
		}
		wantIDs(t, "the rest", w.claim(5), ids[1:]...)
	})
}

func TestNeverMoreOnTheBellThanConsumers(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.submit(msg())
		b.submit(msg(), msg())
		wants(t, "nobody is there", b.onBell(root), 0)
		a := b.worker("a", long)
		b.worker("c", long)
		wants(t, "claimed", len(a.claim(3)), 3)
		for range 3 {
			b.submit(msg())
			b.submit(msg(), msg())
			high := msg()
			high.Priority = queue.High
			b.submit(high)
		}
		wants(t, "two are there", b.onBell(root), 2)
		wants(t, "waiting", b.counts().Ready, 12)
	})
}

func TestWhoTakesTheLastEntryOfAFullBellLearnsOfWhatIsGivenBack(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		back := b.submit(msg())[0]
		busy := b.worker("busy", long)
		wantIDs(t, "claimed", busy.claim(1), back)
		listens := b.worker("listens", long)
		wants(t, "nothing else", len(listens.claim(1)), 0)
		b.submit(msg())
		b.submit(msg())
		wants(t, "a bell with no room", b.onBell(root), 2)
		busy.take(0, store.End{ID: back, Verdict: queue.VerdictGiveBack})
		wants(t, "still", b.onBell(root), 2)
		if first := listens.hear(); first.Task == nil || first.More {
			t.Errorf("the first entry is %+v; the word goes with the last", first)
		}
		if last := listens.hear(); last.Task == nil || !last.More {
			t.Errorf("the last entry is %+v, and a task waits that was given back", last)
		}
		wantIDs(t, "what waits", listens.claim(1), back)
	})
}

func TestATokenThatWasHeardIsNoTask(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		high := msg()
		high.Priority = queue.High
		b.submit(high)
		if r := w.hear(); r.Task != nil {
			t.Fatalf("over the bell came %+v", r)
		}
		wants(t, "counts", b.counts(), store.Counts{Ready: 1, Consumers: 1})
	})
}

func TestWhatWaitsIsNotOvertakenOverTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		first := b.submit(msg(), msg())
		w := b.worker("w", long)
		lone, several := b.submit(msg()), b.submit(msg(), msg())
		wants(t, "on the bell while others wait", b.onBell(root), 0)
		wantIDs(t, "claimed", w.claim(10), append(append(first, lone...), several...)...)
		handed := b.submit(msg())
		wants(t, "on the bell when nothing waits", b.onBell(root), 1)
		rest := b.submit(msg(), msg())
		wantIDs(t, "claimed", w.claim(10), append(handed, rest...)...)
	})
}

func TestATurnTakesWhatIsOnTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.worker("sleeper", long).claim(1)
		id := b.submit(msg())[0]
		wants(t, "on the bell", b.onBell(root), 1)
		w := b.worker("w", long)
		wantIDs(t, "claimed", w.claim(1), id)
		wants(t, "on the bell", b.onBell(root), 0)
		wants(t, "run by", b.look(line, id).Consumer, "w")
	})
}

func TestTasksWithANoteRingButDoNotGoOverTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		m := msg()
		m.Priority = queue.High
		id := b.submit(m)[0]
		if r := w.hear(); r.Task != nil || !r.More {
			t.Errorf("over the bell came %+v", r)
		}
		wants(t, "a token is no task", b.counts().Ready, 1)
		r := w.take(1)
		wantIDs(t, "claimed", idsOf(r), id)
		wants(t, "level", r.Tasks[0].Note.Level, 0)
	})
}

func TestTheBellGoesSilent(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		bell := b.s.Bell()
		if _, ok, err := bell.Wait(b.ctx(), line, "w", time.Second); ok || err != nil {
			t.Errorf("nothing rang: %v, %v", ok, err)
		}
		ended := make(chan error)
		go func() {
			_, _, err := bell.Wait(context.WithoutCancel(b.ctx()), line, "w", patience)
			ended <- err
		}()
		b.untilOneWaits()
		if err := bell.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Error("closing the bell did not end the wait")
		}
	})
}

func TestOnlyOneIdleConsumerKeepsTheTime(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Delay = time.Minute
		b.submit(m)
		a, c := b.worker("a", long), b.worker("c", long)
		r := a.take(1)
		if r.Wake <= 0 || r.Wake > time.Minute {
			t.Errorf("the first idle consumer gets up after %v", r.Wake)
		}
		if r := c.take(1); r.Wake >= 0 {
			t.Errorf("the second one gets up as well, after %v", r.Wake)
		}
		if r := a.take(1); r.Wake < 0 {
			t.Error("the keeper forgot the time at its next turn")
		}
		if a.beat().Claim || c.beat().Claim {
			t.Error("a heartbeat sends somebody to look although the time is kept")
		}

		sooner := msg()
		sooner.Delay = time.Second
		b.submit(sooner)
		wants(t, "rung for an earlier time", b.onBell(root), 1)
		c.hear()
		if r := c.take(1); r.Wake < 0 || r.Wake > time.Second {
			t.Errorf("who was woken for the earlier time gets up after %v", r.Wake)
		}
		later := msg()
		later.Delay = time.Hour
		b.submit(later)
		wants(t, "rung for a later time", b.onBell(root), 0)
	})
}

func TestTheTimeIsKeptWhenItsKeeperLeaves(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Delay = time.Minute
		b.submit(m)
		a, c := b.worker("a", long), b.worker("c", long)
		a.take(1)
		c.take(1)
		if _, err := b.s.Leave(b.ctx(), line, "a"); err != nil {
			t.Fatal(err)
		}
		if r := c.hear(); r.Task != nil {
			t.Errorf("over the bell came %+v", r)
		}
		if r := c.take(1); r.Wake < 0 {
			t.Error("nobody keeps the time")
		}
	})
}

func TestWhatWasLostOnTheWayFromTheBellIsToldOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		id := b.submit(msg())[0]
		w.hear() // and the reply is lost
		w.take(0)
		wants(t, "it is in flight all the same", b.look(line, id).Consumer, "w")
		w.turn.Resync = true
		wantIDs(t, "after a resync", w.claim(0), id)
		w.turn.Resync = false
		wants(t, "told without being asked", len(w.claim(5)), 0)
		if r := w.take(0, done(id)); len(r.Stale) > 0 {
			t.Error("its end was refused")
		}
		b.clean()
	})
}

func TestResyncComesWithAClaim(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		ids := b.submit(msg(), msg())
		w.hear()
		w.turn.Resync = true
		got := w.claim(1)
		if both := len(got) == 2 && got[0] != got[1] && slices.Contains(ids, got[0]) && slices.Contains(ids, got[1]); !both {
			t.Errorf("got %v, want both of %v", got, ids)
		}
		again := idsOf(w.again(1))
		wants(t, "the same turn again", len(again), 2)
	})
}

func TestABurntNameTakesNothingOffTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		gone := b.worker("gone", long)
		gone.claim(1)
		if _, err := b.s.Leave(b.ctx(), line, "gone"); err != nil {
			t.Fatal(err)
		}
		b.worker("idle", long).claim(1)
		id := b.submit(msg())[0]
		bell := b.s.Bell()
		defer func() { _ = bell.Close() }()
		if r, ok, err := bell.Wait(b.ctx(), line, "gone", time.Second); err == nil || ok {
			t.Errorf("a consumer that left took %+v off the bell, %v", r, ok)
		}
		wantIDs(t, "the task is there for others", b.worker("w", long).claim(1), id)
	})
}

func TestAWaitUnderWayWhenItsNameIsBurntTakesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.worker("gone", long).claim(1)
		bell := b.s.Bell()
		defer func() { _ = bell.Close() }()
		heard := make(chan error)
		go func() {
			_, ok, err := bell.Wait(context.WithoutCancel(b.ctx()), line, "gone", 2*time.Second)
			if ok {
				err = errors.New("it took something")
			}
			heard <- err
		}()
		b.untilOneWaits()
		if _, err := b.s.Leave(b.ctx(), line, "gone"); err != nil {
			t.Fatal(err)
		}
		b.worker("idle", long).claim(1)
		id := b.submit(msg())[0]
		if err := <-heard; err != nil && err.Error() == "it took something" {
			t.Error(err)
		}
		wantIDs(t, "the task is there for others", b.worker("w", long).claim(1), id)
	})
}

func TestLongMessagesAreClaimed(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.worker("idle", long)
		w := b.worker("w", long)
		for _, batch := range [][]*queue.Message{{msg()}, {msg(), msg()}} { // alone, and with others
			for _, m := range batch {
				m.Payload = make([]byte, 2000)
			}
			ids := b.submit(batch...)
			got, err := b.rdb.LRange(b.ctx(), root+"bell", 0, -1).Result()
			if err != nil || len(got) == 0 || strings.Join(got, "") != "" {
				t.Errorf("on the bell: %d bytes, %v; want a token", len(strings.Join(got, "")), err)
			}
			wantIDs(t, "claimed", w.claim(5), ids...)
			for _, id := range ids {
				w.take(0, done(id))
			}
		}
		small, large := msg(), msg()
		large.Payload = make([]byte, 2000)
		ids := b.submit(small, large, msg())
		wantIDs(t, "in their order", w.claim(5), ids...)
	})
}
