package faults

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// fsck audits all queues, as the command of that name does, and fails the test if
// anything is found.
func (b *bench) fsck(ctx context.Context, when string) store.Audited {
	b.t.Helper()
	shown := 0
	return b.audit(ctx, store.AuditOptions{Found: func(f store.Finding) {
		if shown++; shown <= mostProblems {
			b.t.Errorf("I11: %s: %s, task %x, key %q: %s", when, f.Damage, f.ID, f.Key, f.Text)
		}
	}})
}

func (b *bench) audit(ctx context.Context, o store.AuditOptions) store.Audited {
	b.t.Helper()
	s, err := store.New(b.any)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := s.Audit(ctx, o)
	if err != nil && ctx.Err() == nil {
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
	const tasks, kills, workers = 4000, 8, 3
	b := newBench(t, setup{worker: short})
	b.fleet.startMany(workers)
	ctx, stop := context.WithCancel(t.Context())
	audited := make(chan struct{})
	var audits, looked atomic.Int64
	go func() {
		defer close(audited)
		for ctx.Err() == nil {
			looked.Add(b.fsck(ctx, "while workers are killed").Tasks)
			audits.Add(1)
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
	eventually(t, "some audits that have seen tasks", func() bool { return audits.Load() > 10 && looked.Load() > 0 })
	stop()
	<-audited
	<-mixed
	// Audits keep Redis busy, so that a worker has more endings on their way when it is
	// killed than tasks in its slots.
	b.finish(rules{Dups: 5 * kills * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	t.Logf("%d audits have seen %d tasks", audits.Load(), looked.Load())
}

// TestFsckRepairsUnderLoad takes tasks out of their list, before workers come and
// while they run others, so that nobody would ever run them, and repairs that
// meanwhile: every task is done, and none twice.
func TestFsckRepairsUnderLoad(t *testing.T) {
	t.Parallel()
	const tasks, losses = 3000, 20
	b := newBench(t, setup{worker: steady})
	b.load.spread(tasks, upTo(tasks), func() error {
		_, err := b.load.submit(job{Micros: 5000})
		return err
	})
	var lost, mended int64
	lose := func() {
		n, err := b.rdb.RPopCount(t.Context(), root+"ready:1", losses).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		lost += int64(len(n))
	}
	lose()
	b.fleet.startMany(2)
	eventually(t, "work to be done", func() bool { return b.load.heard.Load() > 0 })
	lose()
	eventually(t, "all tasks to be done", func() bool {
		a := b.audit(t.Context(), store.AuditOptions{Repair: true, Found: func(f store.Finding) {
			if f.Damage != store.DamageOrphan {
				t.Errorf("found %s, task %x, key %q: %s", f.Damage, f.ID, f.Key, f.Text)
			}
		}})
		mended += a.Mended
		return b.load.heard.Load() == tasks
	})
	b.finish(rules{})
	t.Logf("%d tasks were lost and %d found again", lost, mended)
	if lost < losses || mended != lost {
		t.Errorf("%d tasks were lost, want at least %d, and %d found again", lost, losses, mended)
	}
}
