package faults

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// fsck audits all queues, as the command of that name does, and fails the test if
// anything is found.
func (b *bench) fsck(ctx context.Context, when string) store.Audited {
	b.t.Helper()
	s, err := store.New(b.rdb)
	if err != nil {
		b.t.Fatal(err)
	}
	shown := 0
	a, err := s.Audit(ctx, store.AuditOptions{Found: func(f store.Finding) {
		if shown++; shown <= mostProblems {
			b.t.Errorf("I9: %s: %s, task %x, key %q: %s", when, f.Damage, f.ID, f.Key, f.Text)
		}
	}})
	if err != nil && !errors.Is(err, context.Canceled) {
		b.t.Errorf("fsck: %v", err)
	}
	return a
}

// variety is what a task is submitted with that is not an ordinary one.
func variety() []queue.Option {
	switch rand.IntN(6) { //nolint:gosec // a test's choice
	case 0:
		return []queue.Option{queue.Prioritized(queue.High)}
	case 1:
		return []queue.Option{queue.Prioritized(queue.Low), queue.Expire(time.Hour)}
	case 2:
		return []queue.Option{queue.Delay(30 * time.Millisecond)}
	case 3:
		return []queue.Option{queue.ID(crand.Text())}
	}
	// Of one batch, so that they are due in bundles.
	return []queue.Option{queue.At(time.Now().Truncate(100 * time.Millisecond).Add(200 * time.Millisecond))}
}

// TestFsckUnderKills audits again and again while tasks of all kinds are submitted,
// and workers killed in the middle of them. Whatever moves meanwhile, nothing may be
// found.
func TestFsckUnderKills(t *testing.T) {
	t.Parallel()
	const tasks, kills, workers = 8000, 12, 3
	b := newBench(t, setup{worker: short})
	b.fleet.startMany(workers)
	ctx, stop := context.WithCancel(t.Context())
	audited := make(chan struct{})
	audits, looked := 0, int64(0)
	go func() {
		defer close(audited)
		for ctx.Err() == nil {
			looked += b.fsck(ctx, "while workers are killed").Tasks
			audits++
			time.Sleep(10 * time.Millisecond)
		}
	}()
	mixed := make(chan struct{})
	go func() {
		defer close(mixed)
		b.load.spread(100, func(int) bool { return ctx.Err() == nil }, func() error {
			_, err := b.load.submit(brief(), variety()...)
			return err
		})
	}()
	b.strike(tasks, kills, func(victim *process) {
		b.fleet.kill(victim)
		b.fleet.start()
	})
	stop()
	<-audited
	<-mixed
	// Audits keep Redis busy, so that a worker has more endings on their way when it is
	// killed than tasks in its slots.
	b.finish(rules{Dups: 5 * kills * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	t.Logf("%d audits have seen %d tasks", audits, looked)
	if audits < 10 || looked == 0 {
		t.Errorf("%d audits have seen %d tasks: they prove nothing", audits, looked)
	}
}
