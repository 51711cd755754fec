package store_test

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	billing = store.NewLine("s", 0, "billing")
	mailing = store.NewLine("s", 0, "mailing")
)

func event() *queue.Message {
	return &queue.Message{Type: "t", Payload: []byte{0xc0}, Queue: "s", Stream: true}
}

// join makes the groups and gives each a consumer.
func (b *bed) join(lines ...store.Line) []*worker {
	b.t.Helper()
	ws := make([]*worker, len(lines))
	for i, l := range lines {
		if _, err := b.s.Join(b.ctx(), l); err != nil {
			b.t.Fatal(err)
		}
		ws[i] = b.workerOn(l, "w-"+l.Group, long)
	}
	return ws
}

func (b *bed) publish(ms ...*queue.Message) []queue.TaskID {
	b.t.Helper()
	ids, _ := b.submitBatch(queue.KindStream, ms...)
	return ids
}

func (b *bed) streamLen() int64 { return b.rdb.XLen(b.ctx(), "cenote:{s}:stream").Val() }

func TestEveryGroupGetsEveryTask(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		second := b.workerOn(billing, "second", long)
		ids := b.publish(event(), event(), event())
		wantIDs(t, "one worker of a group", ws[0].claim(2), ids[:2]...)
		wantIDs(t, "another worker of it", second.claim(5), ids[2])
		wantIDs(t, "the other group", ws[1].claim(5), ids...)
		for _, w := range ws {
			w.take(0, done(ids[0]))
		}
		wants(t, "state in one group", b.look(billing, ids[1]).State, queue.StateRunning)
		wants(t, "state when finished", b.look(billing, ids[0]).State, queue.StateUnknown)
		wants(t, "nothing comes twice", len(second.claim(5)), 0)
		// What is in flight is in the group's own hash; a second list of it in the
		// stream would only grow.
		p, err := b.rdb.XPending(b.ctx(), "cenote:{s}:stream", "billing").Result()
		if err != nil || p.Count != 0 {
			t.Errorf("pending in the stream: %+v, %v", p, err)
		}
	})
}

func TestGroupsAreListed(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.join(billing)
		b.join(billing) // again
		got, err := b.s.Groups(b.ctx(), "s")
		if err != nil || len(got) != 1 || got[0] != "billing" {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := b.s.Join(b.ctx(), line); err != nil || b.rdb.Exists(b.ctx(), root+"stream").Val() != 0 {
			t.Errorf("joining a list made something of it: %v", err)
		}
	})
}

func TestATurnOnAStreamTakenAgainClaimsTheSame(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.join(billing)[0]
		ids := b.publish(event(), event())
		wantIDs(t, "claimed", w.claim(1), ids[0])
		wantIDs(t, "again", idsOf(w.again(1)), ids[0])
		wantIDs(t, "next", w.claim(5), ids[1])
	})
}

func TestAStreamsBatchIsStoredOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.join(billing)[0]
		batch := newBatch(queue.KindStream, 1, event(), event())
		for range 2 {
			if _, err := b.s.Submit(b.ctx(), batch); err != nil {
				t.Fatal(err)
			}
		}
		wants(t, "claimed", len(w.claim(10)), 2)
		b.number = batch.Number
		k := event()
		k.Key = "once"
		b.publish(k)
		again := event()
		again.Key = "once"
		if _, there := b.submitBatch(queue.KindStream, again); len(there) != 1 {
			t.Errorf("a key submitted twice: %v", there)
		}
		wants(t, "claimed", len(w.claim(10)), 1)
	})
}

func TestRetriesAndDeadTasksAreTheGroupsOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		ids := b.publish(event(), event())
		for _, w := range ws {
			w.claim(2)
		}
		retry := ended(queue.VerdictRetry, ids[0], queue.StateDead)
		retry.Delay, retry.Note = 20*time.Millisecond, store.Note{Level: 1, Attempts: 1}
		ws[0].take(0, retry, ended(queue.VerdictDead, ids[1], queue.StateDead))
		ws[1].take(0, done(ids[0]), done(ids[1]))
		wants(t, "retried in its group", b.look(billing, ids[0]).State, queue.StateRetry)
		wants(t, "dead in its group", b.look(billing, ids[1]).State, queue.StateDead)
		wants(t, "in the other group", b.look(mailing, ids[0]).State, queue.StateUnknown)
		wants(t, "in the other group", b.look(mailing, ids[1]).State, queue.StateUnknown)
		b.pass(30 * time.Millisecond)
		wants(t, "claimed by the other group", len(ws[1].claim(5)), 0)
		r := ws[0].take(5)
		wantIDs(t, "claimed by its group", idsOf(r), ids[0])
		wants(t, "attempts", r.Tasks[0].Note.Attempts, 1)
	})
}

func TestALostWorkersStreamTasksStayInItsGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		id := b.publish(event())[0]
		lost := b.workerOn(billing, "lost", lapses)
		lost.claim(1)
		b.pass(lapses)
		ws[0].beat()
		r := ws[0].take(5)
		wantIDs(t, "taken over", idsOf(r), id)
		wants(t, "crashes", r.Tasks[0].Note.Crashes, 1)
		r = ws[1].take(5)
		wantIDs(t, "the other group", idsOf(r), id)
		wants(t, "crashes there", r.Tasks[0].Note.Crashes, 0)
	})
}

func TestAPublishedTaskRingsOneBellAGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		for _, w := range ws {
			w.claim(1)
		}
		b.publish(event())
		for _, w := range ws {
			if r := w.hear(); r.Task != nil {
				t.Errorf("over the bell of %s came %+v", w.turn.Line.Group, r)
			}
			wants(t, "claimed", len(w.claim(1)), 1)
		}
	})
}

func TestALateGroupSeesWhatIsRetained(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		early := b.publish(event())[0] // before there is any group
		ws := b.join(billing)
		id := b.publish(event())[0]
		wantIDs(t, "the first group", ws[0].claim(5), early, id)
		ws[0].take(0, done(early), done(id))
		wantIDs(t, "a group that joins later", b.join(mailing)[0].claim(5), early, id)
	})
}

func TestTrimKeepsWhatSomeGroupHasNotRead(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		ids := b.publish(event(), event(), event(), event())
		trim := func(retention time.Duration) {
			t.Helper()
			if _, err := b.s.Trim(b.ctx(), billing, retention); err != nil {
				t.Fatal(err)
			}
		}
		b.pass(5 * time.Millisecond)
		trim(0)
		wants(t, "nobody has read", b.streamLen(), 4)
		ws[0].claim(4)
		trim(0)
		wants(t, "one group has read", b.streamLen(), 4)
		ws[1].claim(2)
		trim(time.Hour)
		wants(t, "retained", b.streamLen(), 4)
		trim(0)
		if n := b.streamLen(); n < 2 || n > 3 {
			t.Errorf("%d entries are left; 2 are unread, one more may stay", n)
		}
		wantIDs(t, "the slower group goes on", ws[1].claim(5), ids[2:]...)
		trim(0)
		if n := b.streamLen(); n > 1 {
			t.Errorf("%d entries are left, all were read", n)
		}
		if r := ws[0].take(0, done(ids[0]), done(ids[1]), done(ids[2]), done(ids[3])); len(r.Stale) > 0 {
			t.Errorf("trimming took tasks away that are being run: %v", r.Stale)
		}
		if n, err := b.s.Trim(b.ctx(), store.NewLine("nothing", 0, ""), 0); n != 0 || err != nil {
			t.Errorf("trimming nothing: %d, %v", n, err)
		}
	})
}

func TestDelayedTasksOfAStream(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		m := event()
		m.Delay = b.span()
		id := b.publish(m)[0]
		r := ws[0].take(1)
		wants(t, "claimed too early", len(r.Tasks), 0)
		if r.Wake <= 0 {
			t.Errorf("nobody keeps the time: %v", r.Wake)
		}
		b.pass(b.span())
		wantIDs(t, "one group", ws[0].claim(5), id)
		wantIDs(t, "the other group", ws[1].claim(5), id)
	})
}

func TestTheAnswerIsThatOfTheGroupThatWasAsked(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		m := event()
		m.Key, m.Group, m.ReplyTo = "k", "billing", "first"
		id := b.publish(m)[0]
		second := event()
		second.Key, second.Group, second.ReplyTo = "k", "billing", "second"
		if _, there := b.submitBatch(queue.KindStream, second); len(there) != 1 {
			t.Errorf("there: %v", there)
		}
		for _, w := range ws {
			w.claim(1)
		}
		if st, err := b.s.Open(b.ctx(), billing, id, "third"); err != nil || !st.Waits {
			t.Fatalf("open: %+v, %v", st, err)
		}
		ws[1].take(0, done(id))
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.ReplyTo = "first"
		ws[0].take(0, e)
		for _, addr := range []string{"first", "second", "third"} {
			log, err := b.s.ReadLog(b.ctx(), store.ReplyKey("s", 0, addr), "", 10)
			if err != nil || len(log) != 1 {
				t.Errorf("%s was told %d times, %v", addr, len(log), err)
			}
		}
	})
}

func TestCountsOfAGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.join(billing, mailing)[0]
		later := event()
		later.Delay = time.Hour
		b.publish(event(), event(), event(), later)
		w.claim(1)
		got, err := b.s.Count(b.ctx(), billing)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "billing", got, store.Counts{Ready: 2, Scheduled: 1, Running: 1, Consumers: 1})
		got, err = b.s.Count(b.ctx(), mailing)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "mailing", got, store.Counts{Ready: 3, Scheduled: 1, Consumers: 1})
	})
}
