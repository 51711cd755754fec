package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// TestNoPubSub takes from the Redis user that all use the right to publish and to
// subscribe while they work. Every hint is lost from then on; what is waited for
// must be found in the log, by the timer.
func TestNoPubSub(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T16", "the right to publish and subscribe taken away")
	tasks := size(200, 5000)
	const user = "cenote"
	b := newBench(t, setup{worker: steady, user: user})
	b.load.chains = true
	b.fleet.startMany(2)
	submit := func(n int) {
		b.load.spread(n, upTo(n), func() error {
			_, err := b.load.submit(brief())
			return err
		})
		if !b.load.wait() {
			b.giveUp("without pub/sub a future is silent")
		}
	}
	submit(20)
	b.mute(user, "resetchannels", "-publish", "-subscribe", "-psubscribe")
	submit(tasks)

	// Who comes now cannot listen at all, and is told so.
	late := b.newLoad("late")
	late.last.Store(1_000_000)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := work.Submit(ctx, late.client, job{N: 1 << 30}); !errors.Is(err, queue.ErrDenied) {
		t.Errorf("a submission by a producer that may not listen returns %v, want queue.ErrDenied", err)
	}
	// With the right given back it may, and the first one hears hints again. A refusal
	// that was on its way may still reach its next try.
	b.mute(user, "&*", "+publish", "+subscribe")
	if err := late.insist(job{}); err != nil {
		t.Errorf("a submission with the right given back: %v", err)
	}
	if !late.wait() {
		b.giveUp("a future of the late producer is silent")
	}
	if err := late.close(); err != nil {
		t.Errorf("close the late producer: %v", err)
	}
	rep := b.finish(rules{Late: 15 * time.Second})
	reached("%d tasks, %d hints heard: silent futures %d, lost %d, slowest future %.1f s", rep.Accepted, rep.Announced, rep.Silent, rep.Lost, rep.Slowest.Seconds())
	if rep.Announced > 20+1 {
		t.Errorf("%d outcomes were announced although nobody might publish", rep.Announced)
	}
}

// mute changes what a user may do.
func (b *bench) mute(user string, rules ...any) {
	b.t.Helper()
	if err := b.rdb.Do(b.t.Context(), append([]any{"ACL", "SETUSER", user}, rules...)...).Err(); err != nil {
		b.t.Fatal(err)
	}
}
