package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// dated are n messages for one moment, some time from now.
func (b *bed) dated(n int) []*queue.Message {
	at := b.clock().Add(b.span())
	ms := make([]*queue.Message, n)
	for i := range ms {
		ms[i] = msg()
		ms[i].RunAt = at
	}
	return ms
}

func TestTasksForOneMomentAreBundled(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ms := b.dated(200)
		keyed, high, hasty, late, delayed := ms[20], ms[40], ms[60], ms[80], ms[100]
		keyed.Key, high.Priority, hasty.Expire = "k", queue.High, time.Hour
		late.RunAt = late.RunAt.Add(24 * time.Hour)
		delayed.RunAt, delayed.Delay = time.Time{}, 24*time.Hour
		w := b.worker("w", long)
		ids := b.submit(ms...)
		wants(t, "claimed before it is time", len(w.claim(10)), 0)
		wants(t, "scheduled", b.counts().Scheduled, 200)
		if n := b.rdb.ZCard(b.ctx(), root+"due").Val(); n > 15 {
			t.Errorf("%d members for 200 tasks of mostly one moment", n)
		}
		for i, id := range ids {
			if i%20 != 0 && i%64 != 63 { // all of them would take too much of the time that is left
				continue
			}
			k := b.look(line, id)
			if k.State != queue.StateScheduled || i != 100 && !k.Due.Equal(ms[i].RunAt) {
				t.Fatalf("task %d is %v and due %v, want %v", i, k.State, k.Due, ms[i].RunAt)
			}
		}
		b.pass(b.span())
		var got []queue.TaskID
		for n := 1; len(got) < 198; n = n*3 + 1 {
			some := w.claim(n)
			if len(some) == 0 {
				t.Fatalf("%d of 198 came, then none", len(got))
			}
			for _, id := range ids {
				if s := b.look(line, id).State; slices.Contains(some, id) && s != queue.StateRunning {
					t.Fatalf("claimed, but %v", s)
				}
			}
			got = append(got, some...)
			c := b.counts()
			wants(t, "tasks", c.Ready+c.Scheduled+c.Running, 200)
		}
		wants(t, "left", b.counts().Scheduled, 2)
		slices.SortFunc(got, func(a, b queue.TaskID) int { return slices.Compare(a[:], b[:]) })
		wants(t, "claimed once each", len(slices.Compact(got)), 198)
		wants(t, "no bundle is left", b.rdb.Exists(b.ctx(), root+"bundled").Val(), 0)
	})
}

func TestABundleIsClaimedInTheOrderOfSubmission(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(b.dated(100)...)
		b.pass(b.span())
		wants(t, "state of what is due", b.state(ids[99]), queue.StateReady)
		w := b.worker("w", long)
		var got []queue.TaskID
		for _, n := range []int{3, 90, 100} {
			got = append(got, w.claim(n)...)
		}
		wantIDs(t, "claimed", got, ids...)
		ends := make([]queue.TaskID, 0, len(got))
		for _, id := range append(ends, got...) {
			w.take(0, done(id))
		}
		b.clean()
	})
}

func TestWhatIsReadyGoesBeforeWhatFallsDue(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		due := b.submit(b.dated(3)...)
		b.pass(b.span())
		ready := b.submit(msg(), msg())
		w := b.worker("w", long)
		wantIDs(t, "claimed", w.claim(4), ready[0], ready[1], due[0], due[1])
		wantIDs(t, "the rest of the bundle", w.claim(4), due[2])
	})
}

func TestATaskOfABundleIsCancelled(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(b.dated(3)...)
		wants(t, "answer", b.cancel("asker.1", ids[1])[0], store.AnswerBefore)
		wants(t, "state", b.state(ids[1]), queue.StateUnknown)
		b.pass(b.span())
		wantIDs(t, "claimed", b.worker("w", long).claim(5), ids[0], ids[2])
		wants(t, "no bundle is left", b.rdb.Exists(b.ctx(), root+"bundled", root+"due").Val(), 0)
	})
}

func TestABundleOfAStream(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ws := b.join(billing, mailing)
		ms := b.dated(70)
		for _, m := range ms {
			m.Queue, m.Stream = "s", true
		}
		ids := b.publish(ms...)
		c, err := b.s.Count(b.ctx(), billing)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "scheduled", c.Scheduled, 70)
		wants(t, "claimed before it is time", len(ws[0].claim(5)), 0)
		b.pass(b.span())
		wantIDs(t, "one group", ws[0].claim(100), ids...)
		wantIDs(t, "the other", ws[1].claim(100), ids...)
	})
}
