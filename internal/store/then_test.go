package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// next is a task that is to follow another one, and what says so.
func next(p queue.Priority, delay time.Duration) (queue.TaskID, *store.Next) {
	n := &store.Next{ID: queue.NewTaskID(0), Wire: msg().AppendWire(nil), Priority: p, Delay: delay}
	return n.ID, n
}

// followed is the successful end of id with what follows it.
func followed(id queue.TaskID, n *store.Next) store.End {
	e := ended(queue.VerdictDone, id, queue.StateSucceeded)
	e.Next = n
	return e
}

func TestWhatFollowsIsStoredWithTheEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		w := b.worker("w", long)
		w.claim(3)
		normal, n := next(queue.Normal, 0)
		high, h := next(queue.High, 0)
		later, l := next(queue.Low, b.span())
		r := w.take(1, followed(ids[0], n), done(ids[1]), followed(ids[2], h))
		wantIDs(t, "claimed by the turn that stored it", idsOf(r), high)
		wantIDs(t, "refused", r.Stale)
		wantIDs(t, "the other", w.claim(5), normal)
		if got := b.look(line, high); got.Note.Priority() != queue.High || got.Consumer != "w" {
			t.Errorf("the high one: %+v", got)
		}
		w.take(5, followed(high, l), done(normal))
		wants(t, "the later one", b.state(later), queue.StateScheduled)
		b.pass(b.span())
		r = w.take(5)
		wantIDs(t, "when it is due", idsOf(r), later)
		wants(t, "its priority", r.Tasks[0].Note.Priority(), queue.Low)
		w.take(0, ended(queue.VerdictDone, later, queue.StateSucceeded))
		b.clean()
	})
}

func TestWhatFollowsRingsForAnother(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w, other := b.worker("w", long), b.worker("other", long)
		w.claim(1)
		follower, n := next(queue.Normal, 0)
		w.take(0, followed(id, n))
		bell := b.s.Bell()
		defer func() { _ = bell.Close() }()
		if rung, ok, err := bell.Wait(b.ctx(), line, "other", time.Second); err != nil || !ok || !rung.More {
			t.Fatalf("the bell: %+v, %v, %v", rung, ok, err)
		}
		wantIDs(t, "claimed by another", other.claim(1), follower)
	})
}

func TestATurnTakenAgainStoresWhatFollowsOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg())
		w := b.worker("w", long)
		w.claim(2)
		follower, n := next(queue.Normal, 0)
		later, l := next(queue.Normal, time.Hour)
		w.turn.Number++
		for range 3 {
			r := w.again(0, followed(ids[0], n), followed(ids[1], l))
			wantIDs(t, "refused", r.Stale)
			wants(t, "counts", b.counts(), store.Counts{Ready: 1, Scheduled: 1, Consumers: 1})
		}
		wantIDs(t, "claimed", w.claim(5), follower)
		// Also once it has come and gone: the reply was lost for long.
		w.take(0, done(follower))
		wants(t, "waits", b.state(later), queue.StateScheduled)
		wants(t, "is gone", b.state(follower), queue.StateUnknown)
	})
}

func TestNothingFollowsAnEndThatIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg())
		w, other := b.worker("w", long), b.worker("other", long)
		w.claim(1)
		other.claim(1)
		theirs, n := next(queue.Normal, 0)
		mine, n2 := next(queue.Normal, 0)
		// One that is accepted, before and behind it, does not let it slip in.
		r := w.take(0, followed(ids[1], n), followed(ids[0], n2), followed(ids[1], n))
		wantIDs(t, "refused", r.Stale, ids[1], ids[1])
		wants(t, "what follows a refused end", b.state(theirs), queue.StateUnknown)
		wants(t, "what follows an accepted end", b.state(mine), queue.StateReady)
		wants(t, "counts", b.counts(), store.Counts{Ready: 1, Running: 1, Consumers: 2})
	})
}

func TestOnRecordIsWhatTheHolderAdds(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w, other := b.worker("w", lapses), b.worker("other", long)
		w.claim(0)
		id := b.submit(msg())[0]
		w.hear() // over the bell, and no turn since
		record := func(who string, had int, part string) error {
			return b.s.Record(b.ctx(), line, who, id, had, []byte(part))
		}
		for range 2 { // the second time as after a lost reply
			if err := record("w", 0, "ab"); err != nil {
				t.Fatal(err)
			}
		}
		if err := record("other", 2, "x"); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("one who does not run it: %v", err)
		}
		for _, had := range []int{0, 1, 3} {
			if err := record("w", had, "xx"); !errors.Is(err, store.ErrRecord) {
				t.Errorf("added behind %d bytes where there are 2: %v", had, err)
			}
		}
		w.claim(0) // now it is on the books
		if err := record("w", 2, "cd"); err != nil {
			t.Fatal(err)
		}
		key := root + "part:" + string(id[:])
		if ttl := b.rdb.TTL(b.ctx(), key).Val(); ttl <= 0 || ttl > time.Hour {
			t.Errorf("kept for %v", ttl)
		}
		b.pass(lapses)
		other.beat()
		wantIDs(t, "taken over", other.claim(1), id)
		if err := record("w", 4, "e"); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("one who lost it: %v", err)
		}
		got, err := b.s.Recall(b.ctx(), line, id)
		if err != nil || string(got) != "abcd" {
			t.Fatalf("on record: %q, %v", got, err)
		}
		if err := record("other", 4, "e"); err != nil {
			t.Fatal(err)
		}
		retry := ended(queue.VerdictRetry, id, queue.StateDead)
		retry.Part, retry.Note = true, store.Note{Level: 1, Attempts: 1}
		other.take(0, retry)
		wants(t, "while it is to be tried again", b.rdb.Exists(b.ctx(), key).Val(), 1)
		b.pass(2 * time.Millisecond)
		wantIDs(t, "claimed again", other.claim(1), id)
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.Part = true
		w2 := b.worker("w2", long)
		w2.take(0, e)
		wants(t, "when somebody else says that it ended", b.rdb.Exists(b.ctx(), key).Val(), 1)
		other.take(0, e)
		wants(t, "when it has ended", b.rdb.Exists(b.ctx(), key).Val(), 0)
		b.clean()
	})
}

func TestACommonArgumentIsStoredOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		data := bytes.Repeat([]byte("table"), 1000)
		ref, err := b.s.Share(b.ctx(), "q", data)
		if err != nil {
			t.Fatal(err)
		}
		key := root + "common:" + ref
		b.rdb.Expire(b.ctx(), key, time.Minute)
		b.rdb.SetRange(b.ctx(), key, 0, "T") // to see that it is not sent again
		again, err := b.s.Share(b.ctx(), "q", data)
		if err != nil || again != ref {
			t.Fatalf("%q, %v, the first time %q", again, err, ref)
		}
		if ttl := b.rdb.TTL(b.ctx(), key).Val(); ttl < 23*time.Hour {
			t.Errorf("kept for %v after it was shared again", ttl)
		}
		got, err := b.s.Common(b.ctx(), "q", ref)
		if err != nil || !strings.HasPrefix(string(got), "Table") || len(got) != len(data) {
			t.Errorf("%.10q, %v", got, err)
		}
		if other, err := b.s.Share(b.ctx(), "q", []byte("else")); err != nil || other == ref {
			t.Errorf("other data: %q, %v", other, err)
		}
		b.rdb.Del(b.ctx(), key)
		if _, err := b.s.Common(b.ctx(), "q", ref); !errors.Is(err, queue.ErrResultExpired) || !strings.Contains(err.Error(), "queue.Sharing") {
			t.Errorf("when it is gone: %v", err)
		}
	})
}
