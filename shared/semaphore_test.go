package shared

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/queue"
)

func semaphoreOn(t testing.TB, rdb redis.UniversalClient, n int, opts ...Option) *Semaphore {
	t.Helper()
	return sure[*Semaphore](t)(OpenSemaphore(managerOn(t, rdb), "s", n, opts...))
}

func TestSemaphoreOfTwo(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		rdb := dial()
		a, b := semaphoreOn(t, dial(), 2), semaphoreOn(t, dial(), 2)
		g, h := sure[*Held](t)(a.Acquire(ctx)), sure[*Held](t)(b.Acquire(ctx))
		third := acquiring(ctx, a.Acquire)
		waiting(t, rdb, a.root, 1)
		if _, ok, err := b.TryAcquire(ctx); ok || err != nil {
			t.Error(ok, err)
		}
		if err := g.Release(ctx); err != nil {
			t.Error(err)
		}
		is(t, g.Release(ctx), ErrNotOwner) // it cannot be released more often than it was acquired
		k := get(t, "the third", third)
		if k.err != nil || k.Token() <= h.Token() {
			t.Fatal(k.err)
		}
		if _, ok, _ := b.TryAcquire(ctx); ok {
			t.Error("a permit was made of a second release")
		}
		for _, h := range []*Held{h, k.Held} {
			if err := h.Release(ctx); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			if _, ok, err := b.TryAcquire(ctx); !ok || err != nil {
				t.Error(ok, err)
			}
		}
	})
}

func TestSemaphoreOfAnotherSize(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		two, three := semaphoreOn(t, dial(), 2), semaphoreOn(t, dial(), 3)
		h := sure[*Held](t)(two.Acquire(ctx))
		_, err := three.Acquire(ctx)
		is(t, err, ErrMismatch)
		if err := h.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err = three.Acquire(ctx); err != nil { // nobody uses it
			t.Fatal(err)
		}
		_, _, err = two.TryAcquire(ctx)
		is(t, err, ErrMismatch)
		for _, n := range []int{-1, 0, MaxPermits + 1} {
			_, err := OpenSemaphore(two.m, "s", n)
			is(t, err, queue.ErrOption)
		}
	})
}

func TestAPermitOfTheDeadReturns(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		ctx := b.T.Context()
		dead := b.Client()
		d := semaphoreOn(b.T, dead, 3)
		for range 3 {
			sure[*Held](b.T)(d.Acquire(ctx))
		}
		s := sure[*Semaphore](b.T)(OpenSemaphore(m, "s", 3))
		var in [4]<-chan held
		for i := range in {
			in[i] = acquiring(ctx, s.Acquire)
		}
		<-time.After(time.Minute)
		dead.Cut()
		died := time.Now()
		for range 3 {
			select {
			case <-in[0]:
			case <-in[1]:
			case <-in[2]:
			case <-in[3]:
			}
		}
		if d := time.Since(died); d > DefaultLease+DefaultLease/20 {
			b.T.Errorf("it took %v", d)
		}
		if n := rdb.HLen(ctx, s.root+":held").Val(); n != 3 {
			b.T.Errorf("%d permits are held of 3", n)
		}
	})
}

func TestNeverMoreThanThereArePermits(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx, stop := context.WithTimeout(t.Context(), within)
		defer stop()
		const n = 3
		var inside, most atomic.Int64
		var all sync.WaitGroup
		for range 3 {
			s := semaphoreOn(t, dial(), n)
			for range 5 {
				all.Go(func() {
					for i := range 20 {
						var h *Held
						var err error
						if i%3 == 0 {
							var ok bool
							if h, ok, err = s.TryAcquire(ctx); err == nil && !ok {
								continue
							}
						} else {
							h, err = s.Acquire(ctx)
						}
						if err != nil {
							t.Error(err)
							return
						}
						k := inside.Add(1)
						for was := most.Load(); k > was && !most.CompareAndSwap(was, k); was = most.Load() {
						}
						inside.Add(-1)
						if err := h.Release(ctx); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		all.Wait()
		if most.Load() > n {
			t.Errorf("%d were inside, of %d", most.Load(), n)
		}
		for _, key := range sure[[]string](t)(dial().Keys(ctx, "*:{s}:*").Result()) {
			if !strings.Contains(key, ":freed:") && !strings.HasSuffix(key, ":token") {
				t.Errorf("it leaves %s", key)
			}
		}
	})
}
