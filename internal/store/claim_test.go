package store_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestOneTasksTrip(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Payload = []byte{0xc4, 1, 0}
		id := b.submit(m)[0]
		wants(t, "submitted", b.state(id), queue.StateReady)
		w := b.worker("w", long)
		r := w.take(1)
		wantIDs(t, "claimed", idsOf(r), id)
		if !bytes.Equal(r.Tasks[0].Wire, m.AppendWire(nil)) {
			t.Errorf("the message changed on the way: %x", r.Tasks[0].Wire)
		}
		if n := r.Tasks[0].Note; n != (store.Note{Level: 1}) {
			t.Errorf("a fresh task has the note %v", n)
		}
		k := b.look(line, id)
		wants(t, "claimed", k.State, queue.StateRunning)
		wants(t, "run by", k.Consumer, "w")
		wants(t, "counts", b.counts(), store.Counts{Running: 1, Consumers: 1})
		r = w.take(0, done(id))
		if len(r.Stale)+len(r.Watched)+len(r.Tasks) > 0 {
			t.Errorf("the end of the task: %+v", r)
		}
		wants(t, "finished", b.state(id), queue.StateUnknown)
		wants(t, "counts", b.counts(), store.Counts{Consumers: 1})
		b.clean()
	})
}

func TestATurnFinishesAndClaims(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg(), msg())
		w := b.worker("w", long)
		wantIDs(t, "first", w.claim(1), ids[0])
		wantIDs(t, "second", idsOf(w.take(1, done(ids[0]))), ids[1])
		wantIDs(t, "the rest and no more", idsOf(w.take(5, done(ids[1]))), ids[2])
		w.take(0, done(ids[2]))
		b.clean()
	})
}

func TestTasksWaitInLine(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		var all []queue.TaskID
		for range 3 {
			all = append(all, b.submit(msg(), msg(), msg())...)
		}
		wants(t, "waiting", b.counts().Ready, 9)
		wantIDs(t, "claimed", b.worker("w", long).claim(100), all...)
	})
}

func TestPriorities(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		with := func(p queue.Priority) *queue.Message {
			m := msg()
			m.Priority = p
			return m
		}
		ids := b.submit(with(queue.Low), with(queue.Normal), with(queue.High), with(queue.Low), with(queue.High), with(queue.Normal))
		wants(t, "waiting", b.counts().Ready, 6)
		r := b.worker("w", long).take(10)
		wantIDs(t, "claimed", idsOf(r), ids[2], ids[4], ids[1], ids[5], ids[0], ids[3])
		for i, p := range []queue.Priority{queue.High, queue.High, queue.Normal, queue.Normal, queue.Low, queue.Low} {
			wants(t, "priority in the note", r.Tasks[i].Note.Priority(), p)
		}
	})
}

func TestBatchesOfAThousand(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		plain, noted := make([]*queue.Message, store.MaxBatch), make([]*queue.Message, store.MaxBatch)
		for i := range plain {
			plain[i], noted[i] = msg(), msg()
			noted[i].Expire = time.Hour
		}
		ids := append(b.submit(plain...), b.submit(noted...)...)
		w := b.worker("w", long)
		got := append(w.claim(store.MaxTurn), w.claim(store.MaxTurn)...)
		wantIDs(t, "claimed", got, ids...)
		ends := make([]store.End, 0, store.MaxTurn)
		for i, id := range ids {
			if i%2 == 0 {
				ends = append(ends, done(id))
			} else {
				ends = append(ends, ended(queue.VerdictDone, id, queue.StateSucceeded))
			}
			if len(ends) == store.MaxTurn {
				if r := w.take(0, ends...); len(r.Stale) > 0 {
					t.Fatalf("%d ends refused", len(r.Stale))
				}
				ends = ends[:0]
			}
		}
		b.clean()
	})
}

func TestDelayedTasksStartByTheServersClock(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		delayed, dated, past := msg(), msg(), msg()
		delayed.Delay = b.span()
		dated.RunAt = b.clock().Add(2 * b.span())
		past.RunAt = b.clock().Add(-time.Hour)
		before := b.clock()
		ids := b.submit(delayed, dated, past)
		wants(t, "state", b.state(ids[0]), queue.StateScheduled)
		if due := b.look(line, ids[0]).Due; due.Before(before.Add(delayed.Delay)) {
			t.Errorf("due %v, submitted after %v with a delay of %v", due, before, delayed.Delay)
		}
		if due := b.look(line, ids[1]).Due; !due.Equal(dated.RunAt) {
			t.Errorf("due %v, want %v", due, dated.RunAt)
		}
		wants(t, "scheduled", b.counts().Scheduled, 2)
		w := b.worker("w", long)
		wantIDs(t, "a time that has passed is now", w.claim(1), ids[2])
		var started []queue.TaskID
		for len(started) < 2 {
			dues := []time.Time{b.look(line, ids[0]).Due, b.look(line, ids[1]).Due}
			got := w.claim(5)
			now := b.clock()
			for i, id := range got {
				if due := dues[len(started)+i]; due.After(now) {
					t.Errorf("task %v started before %v, when it is due", id, due)
				}
			}
			started = append(started, got...)
			if len(started) < 2 {
				b.pass(b.span() / 4)
			}
		}
		wantIDs(t, "in the order of their times", started, ids[0], ids[1])
	})
}

func TestDelayedTasksKeepTheirPriority(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		low, high := msg(), msg()
		low.Delay, low.Priority = 10*time.Millisecond, queue.Low
		high.Delay, high.Priority = 20*time.Millisecond, queue.High
		ids := b.submit(low, high)
		b.pass(30 * time.Millisecond)
		wantIDs(t, "claimed", b.worker("w", long).claim(5), ids[1], ids[0])
	})
}

func TestTheLongestDelayIsNoDelayOfNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Delay = math.MaxInt64
		id := b.submit(m)[0]
		if got := b.worker("w", long).claim(1); len(got) > 0 {
			t.Errorf("a task that waits for centuries was claimed at once")
		}
		wants(t, "state", b.state(id), queue.StateScheduled)
	})
}

func TestTheShortestDelayIsADelay(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Delay = time.Nanosecond
		id := b.submit(m)[0]
		wants(t, "state", b.state(id), queue.StateScheduled)
		b.pass(2 * time.Millisecond)
		wantIDs(t, "claimed", b.worker("w", long).claim(1), id)
	})
}

func TestCountsOfPartitionsAddUp(t *testing.T) {
	a := store.Counts{Ready: 1, Scheduled: 2, Running: 3, Dead: 4, Consumers: 5}
	c := store.Counts{Ready: 10, Scheduled: 20, Running: 30, Dead: 40, Consumers: 4}
	wants(t, "sum", a.Add(c), store.Counts{Ready: 11, Scheduled: 22, Running: 33, Dead: 44, Consumers: 5})
}

func TestMoreDueThanOneTurnClaims(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ms := make([]*queue.Message, 500)
		for i := range ms {
			ms[i] = msg()
			ms[i].RunAt = b.clock().Add(time.Millisecond)
		}
		b.submit(ms...)
		b.pass(5 * time.Millisecond)
		w := b.worker("w", long)
		seen := map[queue.TaskID]bool{}
		for len(seen) < len(ms) {
			got := w.claim(7)
			if len(got) == 0 {
				t.Fatalf("%d of %d due tasks were claimed, then nothing came", len(seen), len(ms))
			}
			for _, id := range got {
				if seen[id] {
					t.Fatalf("%v twice", id)
				}
				seen[id] = true
			}
		}
	})
}

func TestExpiryIsCountedFromTheSubmission(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.Expire = time.Minute
		before := b.clock()
		b.submit(m)
		after := b.clock()
		r := b.worker("w", long).take(1)
		at := time.UnixMilli(r.Tasks[0].Note.Expires)
		if at.Before(before.Add(time.Minute)) || at.After(after.Add(time.Minute+time.Millisecond)) {
			t.Errorf("expires %v, submitted between %v and %v", at, before, after)
		}
		if r.Now < before.UnixMilli() || r.Now > b.clock().UnixMilli() {
			t.Errorf("the reply's clock says %d", r.Now)
		}
	})
}

func TestPartitionsAreApart(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := msg()
		m.ID = queue.NewTaskID(2)
		id := b.submit(m)[0]
		if got := b.worker("w", long).claim(1); len(got) > 0 {
			t.Error("a task of partition 2 was claimed in partition 0")
		}
		two := store.NewLine("q", 2, "")
		wantIDs(t, "in partition 2", b.workerOn(two, "w", long).claim(1), id)
		wants(t, "root", store.Root("q", 2), "cenote:{q/2}:")
		wants(t, "root", store.Root("q", 0), "cenote:{q}:")
	})
}
