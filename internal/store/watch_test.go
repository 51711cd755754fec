package store_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// open watches a task and fails unless it waits.
func (b *bed) open(id queue.TaskID, addr string) {
	b.t.Helper()
	st, err := b.s.Open(b.ctx(), line, id, addr)
	if err != nil || !st.Waits || st.Outcome != nil {
		b.t.Fatalf("open: %+v, %v", st, err)
	}
}

func (b *bed) logged(addr string) [][]byte {
	b.t.Helper()
	log, err := b.s.ReadLog(b.ctx(), store.ReplyKey("q", 0, addr), "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	var all [][]byte
	for _, e := range log {
		all = append(all, e.Outcomes)
	}
	return all
}

func TestATaskThatSomebodyOpenedIsPutOffUntilItsOutcomeComes(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(msg())[0]
		w := b.worker("w", long)
		w.claim(1)
		b.open(id, "late")
		b.open(id, "late") // twice is once
		b.open(id, "other")
		r := w.take(0, done(id))
		wantIDs(t, "put off", r.Watched, id)
		wants(t, "state", b.state(id), queue.StateRunning)
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.ReplyTo = "submitter"
		if r := w.take(0, e); len(r.Stale)+len(r.Watched) > 0 {
			t.Errorf("with its outcome: %+v", r)
		}
		for _, addr := range []string{"submitter", "late", "other"} {
			if got := b.logged(addr); len(got) != 1 || !bytes.Equal(got[0], e.Outcome.AppendWire(nil)) {
				t.Errorf("%s was told %d times", addr, len(got))
			}
		}
		b.clean()
	})
}

func TestAWatchedTaskThatCameOverTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		w.claim(1)
		id := b.submit(msg())[0]
		w.hear()
		b.open(id, "late")
		r := w.take(0, done(id))
		wantIDs(t, "put off", r.Watched, id)
		if r := w.take(0, ended(queue.VerdictDone, id, queue.StateSucceeded)); len(r.Stale) > 0 {
			t.Error("its end was refused")
		}
		wants(t, "told", len(b.logged("late")), 1)
	})
}

func TestOpenFindsATaskWhereverItIs(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		delayed := msg()
		delayed.Delay = time.Hour
		b.open(b.submit(delayed)[0], "a")
		ids := b.submit(msg(), msg())
		b.open(ids[0], "a")
		w := b.worker("w", long)
		w.claim(2)
		dead := ended(queue.VerdictDead, ids[0], queue.StateDead)
		w.take(0, dead)
		wants(t, "told that it died", len(b.logged("a")), 1)
		st, err := b.s.Open(b.ctx(), line, ids[0], "b")
		if err != nil || !bytes.Equal(st.Outcome, dead.Outcome.AppendWire(nil)) {
			t.Errorf("a dead task: %+v, %v", st, err)
		}
		if st, err := b.s.Open(b.ctx(), line, queue.NewTaskID(0), "b"); err != nil || st.Waits || st.Outcome != nil {
			t.Errorf("no task: %+v, %v", st, err)
		}
		if st, err := b.s.Open(b.ctx(), line, ids[1], ""); err != nil || !st.Waits {
			t.Errorf("only asked: %+v, %v", st, err)
		}
		if r := w.take(0, done(ids[1])); len(r.Watched) > 0 {
			t.Error("who only asked does not wait")
		}
	})
}

func TestASecondSubmitterOfAKeyIsToldToo(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		first := keyed()
		id := b.submit(first)[0]
		second := keyed()
		second.ReplyTo = "second"
		b.submitBatch(queue.KindList, second)
		w := b.worker("w", long)
		w.claim(1)
		e := ended(queue.VerdictDone, id, queue.StateSucceeded)
		e.ReplyTo = first.ReplyTo
		w.take(0, e)
		wants(t, "the first was told", len(b.logged("addr")), 1)
		wants(t, "the second was told", len(b.logged("second")), 1)
	})
}
