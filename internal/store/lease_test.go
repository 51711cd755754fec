package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestALapsedConsumersTasksAreTakenOver(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		lost := b.worker("lost", lapses)
		lost.claim(2)
		b.pass(lapses)
		w := b.worker("w", long)
		bt := w.beat()
		if bt.Recovered+bt.Lapsed == 0 { // signing on has done it already
			bt.Recovered, bt.Lapsed = 2, 1
		}
		wants(t, "taken over", bt.Recovered, 2)
		wants(t, "from", bt.Lapsed, 1)
		r := w.take(5)
		wants(t, "claimed", len(r.Tasks), 3)
		for _, c := range r.Tasks {
			crashes := 1
			if c.ID == ids[2] {
				crashes = 0
			}
			wants(t, "crashes", c.Note.Crashes, crashes)
		}
		wants(t, "the one that was not lost comes last", r.Tasks[2].ID, ids[2])
	})
}

func TestALapsedConsumerIsFenced(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		lost := b.worker("lost", lapses)
		lost.claim(1)
		b.pass(lapses)
		w := b.worker("w", long)
		w.beat()
		if _, err := lost.try(1, done(id)); !errors.Is(err, store.ErrLapsed) || !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("a turn: %v, want ErrLapsed", err)
		}
		if _, err := b.s.Beat(b.ctx(), line, "lost", long, 0); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("a heartbeat: %v, want ErrLapsed", err)
		}
		wants(t, "the task", b.state(id), queue.StateReady)
		wantIDs(t, "claimed by another", w.claim(1), id)
		if _, err := lost.try(0, done(id)); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("a later turn: %v, want ErrLapsed", err)
		}
		wants(t, "the task", b.look(line, id).Consumer, "w")
	})
}

func TestAConsumerThatNeverSignedOnIsLapsed(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.submit(msg())
		w := &worker{b: b, turn: store.Turn{Line: line, Consumer: "stranger", Lease: long, Number: 1}}
		if _, err := w.try(1); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("a turn: %v", err)
		}
		if _, err := b.s.Beat(b.ctx(), line, "stranger", long, 0); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("a heartbeat: %v", err)
		}
		if n, err := b.s.Leave(b.ctx(), line, "stranger"); n != 0 || err != nil {
			t.Errorf("leaving: %d, %v", n, err)
		}
	})
}

// A sign-on may arrive long after its sender has given it up, and signed off.
func TestASignOnThatComesLateDoesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.worker("stays", long)
		leave := func(name string) {
			if _, err := b.s.Leave(b.ctx(), line, name); err != nil {
				t.Error(err)
			}
		}
		on := func(name, former string) error { return b.s.SignOn(b.ctx(), line, name, former, long) }
		leave("unheard")
		if err := on("unheard", ""); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("of one that nobody had heard of when it left: %v, want ErrLapsed", err)
		}
		if err := errors.Join(on("first", ""), on("second", "first")); err != nil {
			t.Fatal(err)
		}
		leave("second")
		for _, name := range []string{"first", "second"} {
			if err := on(name, ""); !errors.Is(err, store.ErrLapsed) {
				t.Errorf("of the %s: %v, want ErrLapsed", name, err)
			}
		}
		wants(t, "signed on", b.rdb.ZCard(b.ctx(), root+"alive").Val(), 1)
		wants(t, "with something in flight", len(b.rdb.Keys(b.ctx(), root+"run:*").Val()), 1)
	})
}

func TestAHeartbeatKeepsTheLease(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w, other := b.worker("w", lapses), b.worker("other", long)
		w.claim(1)
		w.turn.Lease = long
		w.beat()
		b.pass(lapses)
		bt := other.beat()
		wants(t, "taken over", bt.Lapsed, 0)
		if bt.Next <= 0 || bt.Next > long {
			t.Errorf("the next lease lapses in %v", bt.Next)
		}
		if r := w.take(0, done(id)); len(r.Stale) > 0 {
			t.Error("the end was refused")
		}
	})
}

func TestWhatWasTakenOffTheBellIsTakenOverToo(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		lost := b.worker("lost", lapses)
		lost.claim(1)
		id := b.submit(msg())[0]
		lost.hear()
		b.pass(lapses)
		r := b.worker("w", long).take(1)
		wantIDs(t, "claimed", idsOf(r), id)
		wants(t, "crashes", r.Tasks[0].Note.Crashes, 1)
	})
}

func TestTakingOverWakesTheIdle(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.submit(msg())
		idle := b.worker("idle", long) // whoever signs on takes over, too
		b.worker("lost", lapses).claim(1)
		idle.claim(1)
		b.pass(lapses)
		b.worker("w", long).beat()
		if r := idle.hear(); r.Task != nil || !r.More {
			t.Errorf("over the bell came %+v", r)
		}
		wants(t, "claimed", len(idle.claim(1)), 1)
	})
}

func TestLeavingGivesBackAndCountsNoCrash(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		a := b.worker("a", long)
		a.claim(1)
		a.claim(1)
		n, err := b.s.Leave(b.ctx(), line, "a")
		if n != 2 || err != nil {
			t.Fatalf("gave back %d, %v", n, err)
		}
		if n, err := b.s.Leave(b.ctx(), line, "a"); n != 0 || err != nil {
			t.Errorf("leaving twice: %d, %v", n, err)
		}
		wants(t, "consumers", b.counts().Consumers, 0)
		r := b.worker("w", long).take(5)
		wants(t, "claimed", len(r.Tasks), 3)
		wants(t, "the one that was not claimed comes last", r.Tasks[2].ID, ids[2])
		for _, c := range r.Tasks {
			wants(t, "crashes", c.Note.Crashes, 0)
		}
		if _, err := a.try(1); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("the name of one that left is good for a turn: %v", err)
		}
	})
}

// crash makes the task lose n workers, one after the other.
func (b *bed) crash(names ...string) {
	b.t.Helper()
	for _, name := range names {
		w := b.worker(name, lapses)
		w.turn.Empty = true
		if got := w.claim(1); len(got) != 1 {
			b.t.Fatalf("%s claimed %v", name, got)
		}
		b.pass(lapses)
		mustLapse(b, name)
	}
}

func mustLapse(b *bed, name string) {
	b.t.Helper()
	keeper := b.worker("keeper-of-"+name, long)
	keeper.beat()
	if _, err := b.s.Beat(b.ctx(), line, name, long, 0); !errors.Is(err, store.ErrLapsed) {
		b.t.Fatalf("%s did not lapse: %v", name, err)
	}
	if _, err := b.s.Leave(b.ctx(), line, "keeper-of-"+name); err != nil {
		b.t.Fatal(err)
	}
}

func TestASecondCrashMakesATaskRunAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		poison := b.submit(msg())[0]
		b.crash("one", "two")
		wants(t, "waiting", b.counts().Ready, 1)
		others := b.submit(msg(), msg())

		busy := b.worker("busy", long)
		busy.turn.Empty = false
		r := busy.take(5)
		if !r.Drain || r.Alone || len(r.Tasks) > 0 {
			t.Fatalf("a consumer with other tasks: %+v, want that it empties itself", r)
		}
		second := b.worker("second", long)
		second.turn.Empty = true
		r = second.take(1)
		if r.Drain || r.Alone {
			t.Errorf("a second consumer empties itself for the same task: %+v", r)
		}
		wantIDs(t, "it takes what may have neighbours", idsOf(r), others[0])

		busy.turn.Empty = true
		r = busy.take(5)
		if !r.Alone || r.Drain {
			t.Fatalf("empty now: %+v", r)
		}
		wantIDs(t, "alone", idsOf(r), poison)
		wants(t, "crashes", r.Tasks[0].Note.Crashes, 2)
		if again := busy.again(5); !again.Alone || len(again.Tasks) != 1 {
			t.Errorf("the same turn again: %+v", again)
		}
		busy.turn.Empty = true
		r = busy.take(5, done(poison))
		wantIDs(t, "back to normal", idsOf(r), others[1])
		if r.Alone || r.Drain {
			t.Errorf("still alone: %+v", r)
		}
		if again := busy.again(5, done(poison)); again.Alone || len(again.Tasks) != 1 {
			t.Errorf("the same turn again, of one ordinary task: %+v", again)
		}
	})
}

func TestATaskGivenBackWhileAloneStaysAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		poison := b.submit(msg())[0]
		b.crash("one", "two")
		w := b.worker("w", long)
		w.turn.Empty = true
		wantIDs(t, "alone", w.claim(1), poison)
		w.take(0, store.End{ID: poison, Verdict: queue.VerdictGiveBack})
		if r := w.take(1); !r.Alone {
			t.Errorf("claimed among others: %+v", r)
		}
	})
}

// A task that has cost two workers and then failed in an ordinary way is still not to
// be run beside others: neither must it take them along, nor they it.
func TestATaskRetriedAfterTwoCrashesStaysAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		poison := b.submit(keyed())[0]
		b.crash("one", "two")
		w := b.worker("w", long)
		w.turn.Empty = true
		again := func() *store.TurnReply {
			e := ended(queue.VerdictRetry, poison, queue.StateDead)
			e.Delay, e.Note = b.span(), store.Note{Level: 1, Attempts: 1, Crashes: 2}
			w.take(0, e)
			b.pass(b.span())
			w.take(0) // what is due becomes ready
			return w.take(1)
		}
		wantIDs(t, "alone", w.claim(1), poison)
		if r := again(); !r.Alone || len(r.Tasks) != 1 {
			t.Errorf("claimed among others: %+v", r)
		}
		e := ended(queue.VerdictRetry, poison, queue.StateDead)
		e.Note = store.Note{Level: 1, Attempts: 2, Crashes: 2}
		w.take(0, e)
		w.take(0)
		wants(t, "cancelled", b.cancel("asker.1", poison)[0], store.AnswerBefore)
		wants(t, "left", b.counts(), store.Counts{Consumers: 1})
		b.clean()
	})
}

func TestATaskThatRunsAloneAndHasNoHandlerHereIsAnothersToLookAtFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		poison := b.submit(msg())[0]
		b.crash("one", "two")
		unable, able := b.worker("unable", long), b.worker("able", long)
		unable.turn.Empty, able.turn.Empty = true, true
		wantIDs(t, "alone", unable.claim(1), poison)
		unable.take(0, store.End{ID: poison, Verdict: queue.VerdictPark, Delay: b.span(), Note: store.Note{Level: 1, Crashes: 2}})
		b.pass(b.span())
		unable.take(0) // what is due becomes ready
		for b.onBell(root) > 0 {
			able.hear()
		}
		if r := unable.take(1); len(r.Tasks) > 0 || r.Drain {
			t.Errorf("who had no handler claims it again: %+v", r)
		}
		wants(t, "rung for another", b.onBell(root), 1)
		able.hear()
		wantIDs(t, "alone", able.claim(1), poison)
	})
}

func TestTheTurnToRunAlonePassesOnWhenItsHolderIsLost(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.submit(msg())
		b.crash("one", "two")
		holder := b.worker("holder", lapses)
		holder.turn.Lease = long // the right to run it alone does not end by itself meanwhile
		if r := holder.take(1); !r.Drain {
			t.Fatalf("%+v", r)
		}
		b.pass(lapses)
		mustLapse(b, "holder")
		w := b.worker("w", long)
		w.turn.Empty = true
		if r := w.take(1); !r.Alone {
			t.Errorf("nobody may run it: %+v", r)
		}
	})
}

func TestAHeartbeatTellsWhetherAClaimFindsSomething(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		wants(t, "nothing is there", w.beat().Claim, false)
		b.submit(msg())
		wants(t, "a task waits", w.beat().Claim, true)
		w.claim(1)
		wants(t, "it is claimed", w.beat().Claim, false)
		m := msg()
		m.Delay = time.Hour
		b.submit(m)
		wants(t, "a time to keep and nobody keeps it", w.beat().Claim, true)
		w.claim(1)
		wants(t, "the time is kept", w.beat().Claim, false)
	})
}

// A clock that is put back makes leases end later than their length allows.
func TestALeaseDoesNotOutlastAClockThatIsPutBack(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		b.worker("lost", lapses).claim(1)
		b.worker("lost too", lapses)
		w := b.worker("w", long)
		alive := store.Root("q", 0) + "alive"
		for _, name := range []string{"lost", "lost too", "w"} {
			b.rdb.ZIncrBy(b.ctx(), alive, float64(time.Hour/time.Millisecond), name)
		}
		w.beat()
		if left := time.Duration(b.rdb.ZScore(b.ctx(), alive, "w").Val())*time.Millisecond - time.Duration(b.clock().UnixMilli())*time.Millisecond; left > long {
			t.Errorf("a lease of %v is good for %v", long, left)
		}
		b.pass(lapses)
		wants(t, "workers struck off", w.beat().Lapsed, 2)
		wantIDs(t, "taken over", w.claim(1), id)
	})
}
