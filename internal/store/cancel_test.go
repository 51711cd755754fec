package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// cancel asks for the tasks to be cancelled unless they have begun.
func (b *bed) cancel(token string, ids ...queue.TaskID) []store.Answer {
	b.t.Helper()
	answers, err := b.s.Cancel(b.ctx(), "q", 0, token, queue.Cancellation{}, ids)
	if err != nil {
		b.t.Fatal(err)
	}
	return answers
}

// answer has w answer before-start.
func (w *worker) answer(token string, id queue.TaskID) store.Answer {
	w.b.t.Helper()
	a, err := w.b.s.Answer(w.b.ctx(), w.turn.Line, w.turn.Consumer, []store.Reply{{
		Wish: store.Wish{ID: id, Token: token}, Answer: store.AnswerBefore, ReplyTo: "addr", Keep: time.Hour,
	}})
	if err != nil {
		w.b.t.Fatal(err)
	}
	return a[0]
}

// sent is how many outcomes were sent to addr.
func (b *bed) sent(addr string) int {
	b.t.Helper()
	n := 0
	for _, entry := range b.logged(addr) {
		if err := queue.ParseOutcomes(entry, func(*queue.Outcome) bool { n++; return false }); err != nil {
			b.t.Error(err)
		}
	}
	return n
}

func replied() *queue.Message {
	m := msg()
	m.ReplyTo, m.Keep = "addr", time.Hour
	return m
}

func TestCancelOfWhatWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		plain, due, high, late := replied(), replied(), replied(), replied()
		due.Delay, high.Priority, high.Expire = time.Hour, queue.High, time.Hour
		ids := b.submit(plain, due, high, late)
		w := b.worker("w", long)
		bell := b.submit(replied())[0] // nothing but the list is before it
		w.claim(4)
		retry := ended(queue.VerdictRetry, plain.ID, queue.StateDead)
		retry.Delay, retry.Note = time.Hour, store.Note{Level: 1, Attempts: 1}
		w.take(0, retry, store.End{ID: late.ID, Verdict: queue.VerdictGiveBack}, store.End{ID: high.ID, Verdict: queue.VerdictGiveBack}, store.End{ID: bell, Verdict: queue.VerdictGiveBack})
		b.open(ids[1], "watcher")
		all := append(ids, bell)
		for i := range 3 { // the reply was lost twice, or another asks
			for k, a := range b.cancel(fmt.Sprint("asker.", i/2), all...) {
				wants(t, fmt.Sprint("time ", i, ", task ", k), a, store.AnswerBefore)
			}
		}
		b.clean()
		wants(t, "claimable", len(w.claim(10)), 0)
		wants(t, "sent to the submitter", b.sent("addr"), 5)
		wants(t, "sent to who watches", b.sent("watcher"), 1)
		for _, id := range all {
			o := b.look(line, id)
			if o.State != queue.StateCancelled || o.Outcome.Err.Kind != "cancelled" {
				t.Errorf("kept: %+v", o)
			}
		}
		wants(t, "unknown", b.cancel("asker.9", queue.NewTaskID(0))[0], store.AnswerLate)
	})
}

func TestCancelOfWhatIsOnTheBell(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		id := b.submit(msg())[0]
		wants(t, "on the bell", b.rdb.LLen(b.ctx(), root+"bell").Val(), 1)
		wants(t, "answer", b.cancel("asker.1", id)[0], store.AnswerBefore)
		r, err := b.rdb.BLMove(b.ctx(), root+"bell", root+"taken:w", "LEFT", "RIGHT", time.Second).Result()
		if err != nil || r != "" {
			t.Errorf("the bell holds %q, %v; want a token", r, err)
		}
		wants(t, "claimable", len(w.claim(1)), 0)
		b.clean()
	})
}

func TestCancelOfWhatIsInFlight(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		claimed := b.submit(replied())[0]
		wantIDs(t, "claimed", w.claim(1), claimed)
		taken := b.submit(replied())[0]
		if err := b.rdb.BLMove(b.ctx(), root+"bell", root+"taken:w", "LEFT", "RIGHT", time.Second).Err(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []queue.TaskID{claimed, taken} {
			wants(t, "asked", b.cancel("asker.1", id)[0], store.AnswerWait)
		}
		wishes := w.beat().Wishes
		wants(t, "wishes", len(wishes), 2)
		for _, x := range wishes {
			wants(t, "token", x.Token, "asker.1")
			wants(t, "interrupt", x.Interrupt, false)
		}
		wants(t, "wishes told before", len(w.beat().Wishes), 0)
		wants(t, "another's answer", b.worker("other", long).answer("asker.1", claimed), store.AnswerNone)
		wants(t, "state", b.state(claimed), queue.StateRunning)
		for i, want := range []store.Answer{store.AnswerBefore, store.AnswerNone} { // as after a lost reply
			for _, id := range []queue.TaskID{claimed, taken} {
				wants(t, fmt.Sprint("answer ", i), w.answer("asker.1", id), want)
			}
		}
		for _, a := range b.cancel("asker.1", claimed, taken) {
			wants(t, "told", a, store.AnswerBefore)
		}
		r := w.take(0, done(claimed), done(taken))
		wantIDs(t, "refused", r.Stale, claimed, taken)
		wants(t, "sent", b.sent("addr"), 2)
		wants(t, "kept", b.state(claimed), queue.StateCancelled)
		b.clean()
	})
}

func TestAnAnswerIsForWhoAsked(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w := b.worker("w", long)
		id := b.submit(msg())[0]
		wantIDs(t, "claimed", w.claim(1), id)
		b.cancel("asker.1", id)
		if _, err := b.s.Answer(b.ctx(), line, "w", []store.Reply{{Wish: store.Wish{ID: id, Token: "asker.1"}, Answer: store.AnswerLate}}); err != nil {
			t.Fatal(err)
		}
		wants(t, "told", b.cancel("asker.1", id)[0], store.AnswerLate)
		wants(t, "asked anew", b.cancel("asker.2", id)[0], store.AnswerWait)
		w.take(0, done(id))
		wants(t, "finished", b.cancel("asker.2", id)[0], store.AnswerLate)
		b.clean()
	})
}

func TestACancelledKeyIsFreeWhenForgotten(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids, _ := b.submitBatch(queue.KindList, keyed())
		wants(t, "answer", b.cancel("asker.1", ids[0])[0], store.AnswerBefore)
		if _, there := b.submitBatch(queue.KindList, keyed()); len(there) != 1 {
			t.Error("the outcome of a cancelled key is not kept")
		}
		if err := b.s.Forget(b.ctx(), "q", ids[0]); err != nil {
			t.Fatal(err)
		}
		if _, there := b.submitBatch(queue.KindList, keyed()); len(there) != 0 {
			t.Error("it was not forgotten")
		}
		wants(t, "there once", len(b.worker("w", long).claim(10)), 1)
	})
}

func TestTheAnswerOfAConsumerThatWasStruckOffIsNotHeard(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		id := b.submit(replied())[0]
		lost := b.worker("lost", lapses)
		lost.claim(1)
		wants(t, "asked", b.cancel("asker.1", id)[0], store.AnswerWait)
		b.pass(lapses)
		mustLapse(b, "lost")
		a, err := b.s.Answer(b.ctx(), line, "lost", []store.Reply{{
			Wish: store.Wish{ID: id, Token: "asker.1"}, Answer: store.AnswerStopped,
		}})
		if err != nil || a[0] != store.AnswerNone {
			t.Errorf("it answers that it was interrupted: %v, %v", a, err)
		}
		wants(t, "asked again", b.cancel("asker.1", id)[0], store.AnswerBefore)
	})
}
