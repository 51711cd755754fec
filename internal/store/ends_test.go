package store_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestARetryWaitsAndRemembers(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Priority = queue.High
		id := b.submit(m)[0]
		w := b.worker("w", long)
		note := w.take(1).Tasks[0].Note
		note.Attempts, note.Crashes = 1, 1
		e := ended(queue.VerdictRetry, id, queue.StateDead)
		e.Delay, e.Note = 50*time.Millisecond, note
		before := b.clock()
		w.take(0, e)
		k := b.look(line, id)
		wants(t, "state", k.State, queue.StateRetry)
		wants(t, "note", k.Note, note)
		if k.Due.Before(before.Add(e.Delay)) {
			t.Errorf("due %v, which is less than %v after %v", k.Due, e.Delay, before)
		}
		if k.Outcome == nil || k.Outcome.Err.Message != "no" {
			t.Errorf("the last attempt's outcome: %+v", k.Outcome)
		}
		b.pass(60 * time.Millisecond)
		r := w.take(1)
		wantIDs(t, "claimed", idsOf(r), id)
		wants(t, "note", r.Tasks[0].Note, note)
		w.take(0, done(id))
		b.clean()
	})
}

func TestARetryWithoutDelayIsReadyAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictRetry, id, queue.StateDead)
		e.Note = store.Note{Level: 1, Attempts: 1}
		wantIDs(t, "claimed by the same turn", idsOf(w.take(1, e)), id)
	})
}

func TestALongestRetryDelayIsNotNow(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictRetry, id, queue.StateDead)
		e.Note, e.Delay = store.Note{Level: 1, Attempts: 1}, math.MaxInt64
		wants(t, "claimed", len(w.take(1, e).Tasks), 0)
	})
}

func TestDeadTasksAreKeptForALook(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		w.take(0, ended(queue.VerdictDead, id, queue.StateDead))
		k := b.look(line, id)
		wants(t, "state", k.State, queue.StateDead)
		if k.Message == nil || k.Message.Type != "t" || k.Outcome == nil || k.Outcome.Err.Message != "no" {
			t.Errorf("nothing to look at: %+v", k)
		}
		wants(t, "counts", b.counts(), store.Counts{Dead: 1, Consumers: 1})
		wants(t, "claimable", len(w.claim(1)), 0)

		b.pass(20 * time.Millisecond)
		for _, keep := range []time.Duration{0, time.Hour} {
			if _, err := b.s.Beat(b.ctx(), line, "w", long, keep); err != nil {
				t.Fatal(err)
			}
			wants(t, "state while it is kept", b.state(id), queue.StateDead)
		}
		if _, err := b.s.Beat(b.ctx(), line, "w", long, 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		wants(t, "state after its time", b.state(id), queue.StateUnknown)
		b.clean()
	})
}

func TestParkedTasksComeBackUnchanged(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		w.take(0, store.End{ID: id, Verdict: queue.VerdictPark, Delay: 20 * time.Millisecond})
		wants(t, "state", b.state(id), queue.StateScheduled)
		b.pass(30 * time.Millisecond)
		r := b.worker("other", long).take(1)
		wantIDs(t, "claimed by another", idsOf(r), id)
		wants(t, "note", r.Tasks[0].Note, store.Note{Level: 1})
	})
}

func TestGivenBackTasksAreFirstInLine(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg())
		w, idle := b.worker("w", long), b.worker("idle", long)
		w.claim(1)
		m := msg()
		m.Priority = queue.Low
		low := b.submit(m)[0]
		wantIDs(t, "the normal one", w.claim(1), ids[1])
		wantIDs(t, "the low one", w.claim(1), low)
		idle.claim(1)
		w.take(0, store.End{ID: low, Verdict: queue.VerdictGiveBack}, store.End{ID: ids[0], Verdict: queue.VerdictGiveBack})
		if r := idle.hear(); r.Task != nil {
			t.Errorf("over the bell came %+v", r)
		}
		later := b.submit(msg())[0]
		r := b.worker("third", long).take(5)
		got := idsOf(r)
		if len(got) != 3 || got[2] != low {
			t.Fatalf("claimed %v, want %v first and %v last", got, ids[0], low)
		}
		for i, id := range got[:2] {
			if id != ids[0] && id != later {
				t.Errorf("claimed %v at %d", id, i)
			}
		}
		wants(t, "attempts", r.Tasks[2].Note, store.Note{Level: 2})
	})
}

func TestOutcomesAreLoggedAndAnnounced(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		key := store.ReplyKey("q", 0, "addr")
		sub := b.s.Replies(b.ctx())
		defer func() { _ = sub.Close() }()
		if err := sub.Add(b.ctx(), key); err != nil {
			t.Fatal(err)
		}
		if h, err := sub.Receive(b.ctx()); err != nil || !h.Subscribed || h.Key != key {
			t.Fatalf("%+v, %v", h, err)
		}
		five := b.submit(msg(), msg(), msg(), msg(), msg())
		ids, more := five[:3], five[3:]
		w := b.worker("w", long)
		w.claim(5)
		small, other, large := ended(queue.VerdictDone, ids[0], queue.StateSucceeded), ended(queue.VerdictCancel, ids[1], queue.StateCancelled), ended(queue.VerdictDone, ids[2], queue.StateSucceeded)
		small.ReplyTo, other.ReplyTo, large.ReplyTo = "addr", "addr", "addr"
		large.Outcome.Value = bytes.Repeat([]byte{'x'}, 70_000)

		w.take(0, small, other)
		h, err := sub.Receive(b.ctx())
		if err != nil || h.Key != key || h.Entry == "" {
			t.Fatalf("%+v, %v", h, err)
		}
		want := other.Outcome.AppendWire(small.Outcome.AppendWire(nil))
		if !bytes.Equal(h.Outcomes, want) {
			t.Errorf("announced %x, want both outcomes in one message: %x", h.Outcomes, want)
		}

		w.take(0, large)
		h2, err := sub.Receive(b.ctx())
		if err != nil || len(h2.Outcomes) > 0 || !h2.Skipped {
			t.Errorf("a large outcome is announced without its content: %d bytes, %v", len(h2.Outcomes), err)
		}
		log, err := b.s.ReadLog(b.ctx(), key, h.Entry, 10)
		if err != nil || len(log) != 1 || log[0].Entry != h2.Entry || !bytes.Equal(log[0].Outcomes, large.Outcome.AppendWire(nil)) {
			t.Errorf("the log after the first entry: %d entries, %v", len(log), err)
		}
		all, err := b.s.ReadLog(b.ctx(), key, "", 10)
		if err != nil || len(all) != 2 || !bytes.Equal(all[0].Outcomes, want) {
			t.Errorf("the whole log: %d entries, %v", len(all), err)
		}
		long, short := ended(queue.VerdictDone, more[0], queue.StateSucceeded), ended(queue.VerdictDone, more[1], queue.StateSucceeded)
		long.ReplyTo, short.ReplyTo = "addr", "addr"
		long.Outcome.Value = bytes.Repeat([]byte{'y'}, 2000)
		w.take(0, long, short)
		var told [3]store.Hint
		for i := range told {
			if told[i], err = sub.Receive(b.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(told[0].Outcomes, long.Outcome.AppendWire(nil)) || told[0].Entry != "" || told[1].Entry == "" || len(told[1].Outcomes) > 0 || told[1].Skipped {
			t.Errorf("a long outcome goes first, and then its entry: %d bytes %q, %d bytes %q", len(told[0].Outcomes), told[0].Entry, len(told[1].Outcomes), told[1].Entry)
		}
		if !bytes.Equal(told[2].Outcomes, short.Outcome.AppendWire(nil)) || told[2].Entry <= told[1].Entry {
			t.Errorf("the short one follows: %x %q", told[2].Outcomes, told[2].Entry)
		}
		if ttl := b.rdb.PTTL(b.ctx(), key).Val(); ttl <= 0 {
			t.Errorf("a log that nobody reads is kept for ever: TTL %v", ttl)
		}
		if err := b.s.TrimLog(b.ctx(), key, told[2].Entry); err != nil {
			t.Error(err)
		}
		if all, _ := b.s.ReadLog(b.ctx(), key, "", 10); len(all) != 1 {
			t.Errorf("%d entries are left, want the last one", len(all))
		}
		if err := b.s.DropLog(b.ctx(), key); err != nil || b.rdb.Exists(b.ctx(), key).Val() != 0 {
			t.Errorf("the log is still there: %v", err)
		}
		b.clean()
	})
}

func TestKeptOutcomesGoWhenTheirTimeIsUp(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.Keep = b.span()
		w.take(0, e)
		st, err := b.s.Open(b.ctx(), line, id, "")
		if err != nil || !bytes.Equal(st.Outcome, e.Outcome.AppendWire(nil)) {
			t.Errorf("%+v, %v", st, err)
		}
		wants(t, "state", b.state(id), queue.StateSucceeded)
		b.pass(b.span())
		if st, err := b.s.Open(b.ctx(), line, id, ""); err != nil || st.Outcome != nil || st.Waits {
			t.Errorf("after its time: %+v, %v", st, err)
		}
		wants(t, "state", b.state(id), queue.StateUnknown)
	})
}

func TestTheLongestKeepIsTaken(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.Keep = math.MaxInt64
		w.take(0, e)
		wants(t, "state", b.state(id), queue.StateSucceeded)
	})
}

func TestAnOutcomeNobodyAskedForIsNotStored(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		w.take(0, done(id))
		keys := b.rdb.Keys(b.ctx(), root+"re*").Val() // result and reply
		wants(t, "keys of outcomes", len(keys), 0)
	})
}
