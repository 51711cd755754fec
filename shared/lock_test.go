package shared

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// lockOn is the lock "l" of a manager of its own.
func lockOn(t testing.TB, rdb redis.UniversalClient, opts ...Option) *Lock {
	t.Helper()
	return sure[*Lock](t)(OpenLock(managerOn(t, rdb), "l", opts...))
}

// waiting waits until so many are in the line of an object.
func waiting(t testing.TB, rdb redis.UniversalClient, root string, n int64) {
	t.Helper()
	waitFor(t, "the line", func() bool { return rdb.ZCard(context.Background(), root+":line").Val() == n })
}

// held is what came of an Acquire.
type held struct {
	*Held
	err error
	who int
}

// acquiring acquires beside the test.
func acquiring(ctx context.Context, acquire func(context.Context) (*Held, error)) <-chan held {
	c := make(chan held, 1)
	go func() {
		h, err := acquire(ctx)
		c <- held{Held: h, err: err}
	}()
	return c
}

func TestLockExcludes(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx, stop := context.WithTimeout(t.Context(), within)
		defer stop()
		var inside, last atomic.Int64
		var all sync.WaitGroup
		for range 3 {
			l := lockOn(t, dial())
			for range 4 {
				all.Go(func() {
					for range 25 {
						h, err := l.Acquire(ctx)
						if err != nil {
							t.Error(err)
							return
						}
						if n := inside.Add(1); n != 1 {
							t.Errorf("%d are inside", n)
						}
						if token := int64(h.Token()); last.Swap(token) >= token { //nolint:gosec // it fits
							t.Errorf("token %d is not larger than the one before", token)
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
	})
}

func TestALockIsTriedAndReleasedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		a, b := lockOn(t, dial()), lockOn(t, dial())
		h := sure[*Held](t)(a.Acquire(ctx))
		for _, l := range []*Lock{a, b} { // it is not reentrant
			if g, ok, err := l.TryAcquire(ctx); g != nil || ok || err != nil {
				t.Errorf("a held lock: %v, %v, %v", g, ok, err)
			}
		}
		if h.Context().Err() != nil {
			t.Error(h.Context().Err())
		}
		if err := h.Release(ctx); err != nil {
			t.Error(err)
		}
		if h.Context().Err() == nil {
			t.Error("its context goes on after its release")
		}
		g, ok, err := b.TryAcquire(ctx)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		is(t, h.Release(ctx), ErrNotOwner) // it is another one's now
		is(t, new(Held).Release(ctx), ErrNotOwner)
		is(t, context.Cause(new(Held).Context()), ErrNotOwner)
		if _, ok, _ := a.TryAcquire(ctx); ok {
			t.Error("who releases twice releases what is another's")
		}
		if g.Token() <= h.Token() {
			t.Error(g.Token(), h.Token())
		}
		if err := g.Release(ctx); err != nil {
			t.Error(err)
		}
		for _, key := range sure[[]string](t)(dial().Keys(ctx, "*").Result()) {
			if ttl := dial().PTTL(ctx, key).Val(); ttl < 0 {
				t.Errorf("%s stays for ever", key)
			}
		}
	})
}

func TestALockIsFair(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		rdb := dial()
		ls := []*Lock{lockOn(t, dial()), lockOn(t, dial()), lockOn(t, dial())}
		h := sure[*Held](t)(ls[0].Acquire(t.Context()))
		const n = 12
		quits, quit := context.WithCancel(t.Context())
		order := make(chan held, n)
		for i := range n {
			ctx := t.Context()
			if i%4 == 1 {
				ctx = quits
			}
			go func() {
				h, err := ls[i%3].Acquire(ctx)
				order <- held{h, err, i}
			}()
			waiting(t, rdb, ls[0].root, int64(i+1))
		}
		quit()
		for range n / 4 {
			is(t, get(t, "who does not wait any more", order).err, context.Canceled)
		}
		waiting(t, rdb, ls[0].root, n-n/4)
		if _, ok, err := ls[1].TryAcquire(t.Context()); ok || err != nil {
			t.Error("who tries overtakes those who wait", err)
		}
		for i := range n {
			if i%4 == 1 {
				continue
			}
			if err := h.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			next := get(t, "the next", order)
			if next.err != nil || next.who != i {
				t.Fatalf("number %d is next, %v; want %d", next.who, next.err, i)
			}
			h = next.Held
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Who is let in goes on with the very message that it is: no script, no look.
func TestAHandOverIsOneMessage(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		a, other := lockOn(b.T, b.Client()), b.Client()
		l := lockOn(b.T, other)
		h := sure[*Held](b.T)(a.Acquire(b.T.Context()))
		next := acquiring(b.T.Context(), l.Acquire)
		<-time.After(time.Second)
		n := scripts(other)
		if err := h.Release(b.T.Context()); err != nil {
			b.T.Fatal(err)
		}
		if g := <-next; g.err != nil || g.Token() <= h.Token() {
			b.T.Error(g.err)
		}
		if n.Load() != 0 {
			b.T.Errorf("it took %d scripts", n.Load())
		}
	})
}

func TestWhoDiesIsPassedOver(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		ctx := b.T.Context()
		const lease = 9 * time.Second
		clients := []*bubble.Client{b.Client(), b.Client(), b.Client()}
		holder := sure[*Held](b.T)(lockOn(b.T, clients[0], Lease(lease)).Acquire(ctx))
		dying := acquiring(ctx, lockOn(b.T, clients[1], Lease(lease)).Acquire)
		<-time.After(time.Millisecond)
		next := acquiring(ctx, lockOn(b.T, clients[2], Lease(lease)).Acquire)
		<-time.After(20 * time.Second)
		clients[0].Cut()
		clients[1].Cut()
		died := time.Now()
		g := get(b.T, "the next", next)
		if g.err != nil || g.Token() <= holder.Token() {
			b.T.Error(g.err)
		}
		if d := time.Since(died); d < lease*2/3 || d > lease+lease/20 {
			b.T.Errorf("the next has it after %v, with leases of %v", d, lease)
		}
		if holder.Context().Err() == nil {
			b.T.Error("two hold it")
		}
		is(b.T, context.Cause(holder.Context()), ErrLost)
		clients[0].Mend()
		is(b.T, holder.Release(ctx), ErrLost)
		clients[1].Mend()
		if err := g.Release(ctx); err != nil {
			b.T.Error(err)
		}
		if late := <-dying; late.err != nil { // it lined up again
			b.T.Error(late.err)
		}
	})
}

func TestALockThatRedisForgot(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		l, rdb := lockOn(t, dial()), dial()
		h := sure[*Held](t)(l.Acquire(ctx))
		rdb.FlushAll(ctx)
		is(t, h.Release(ctx), ErrLost)
		g := sure[*Held](t)(l.Acquire(ctx))
		if g.Token() <= h.Token() {
			t.Errorf("token %d comes after %d", g.Token(), h.Token())
		}
	})
}

// A clock that is put back does not make tokens smaller.
func TestTokensGrowWhateverTheClockSays(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		l, rdb := lockOn(t, dial()), dial()
		const ahead = 4102444800_000_000 // the year 2100
		rdb.Set(ctx, l.root+":token", ahead, 0)
		for i := range 3 {
			h := sure[*Held](t)(l.Acquire(ctx))
			if want := uint64(ahead + 1 + i); h.Token() != want { //nolint:gosec // it fits
				t.Errorf("token %d, want %d", h.Token(), want)
			}
			if err := h.Release(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// An Acquire that was given up may reach Redis after its withdrawal.
func TestAGhostGetsNothing(t *testing.T) {
	rdb := redistest.Start(t).Client()
	l := lockOn(t, rdb)
	ctx := t.Context()
	sure[[]string](t)(l.m.store.Do(ctx, lineLeases.free, l.root, "m/1"))
	r := sure[[]string](t)(l.m.store.Do(ctx, enterScript, l.root, "m/1", 15000, "1", ""))
	if r[0] != "" || rdb.Exists(ctx, l.root+":line", l.root+":held").Val() != 0 {
		t.Errorf("it got %q", r)
	}
}

func TestALockOfAClosedManager(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		rdb := dial()
		a, b := lockOn(t, dial()), lockOn(t, dial())
		h := sure[*Held](t)(a.Acquire(ctx))
		mine, other := acquiring(ctx, a.Acquire), acquiring(ctx, b.Acquire)
		waiting(t, rdb, a.root, 2)
		if err := a.m.Close(ctx); err != nil {
			t.Fatal(err)
		}
		is(t, get(t, "the one who waited", mine).err, queue.ErrClosed)
		if g := get(t, "the other", other); g.err != nil || g.Token() <= h.Token() {
			t.Error(g.err)
		}
		is(t, context.Cause(h.Context()), queue.ErrClosed)
		is(t, h.Release(ctx), ErrNotOwner)
		_, err := a.Acquire(ctx)
		is(t, err, queue.ErrClosed)
	})
}

// lockCrowd has n goroutines over some managers acquire, with nobody in time, and let each other in.
func lockCrowd(t *testing.T, n int, dial func() redis.UniversalClient, disturb func()) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*within)
	defer stop()
	rdb := dial()
	first := lockOn(t, dial(), Lease(5*time.Second))
	h := sure[*Held](t)(first.Acquire(ctx))
	ls := []*Lock{lockOn(t, dial(), Lease(10*time.Second)), lockOn(t, dial(), Lease(10*time.Second)), lockOn(t, dial(), Lease(10*time.Second))}
	var inside, in atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			h, err := ls[i%3].Acquire(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 && h.Context().Err() == nil {
				t.Error("two are inside")
			}
			inside.Add(-1)
			in.Add(1)
			if err := h.Release(ctx); err != nil && !errors.Is(err, ErrLost) {
				t.Error(err)
			}
		})
	}
	waiting(t, rdb, first.root, int64(n))
	disturb()
	if err := h.Release(ctx); err != nil && !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	all.Wait()
	if got := in.Load(); got != int64(n) {
		t.Errorf("%d of %d came in", got, n)
	}
}

func TestHundredsWaitWhileRedisRestarts(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	lockCrowd(t, 300, func() redis.UniversalClient { return s.Client() }, s.Restart)
}

func TestHundredsWaitWhileRedisForgets(t *testing.T) {
	s := redistest.Start(t)
	lockCrowd(t, 100, func() redis.UniversalClient { return s.Client() }, s.Restart)
}

func TestNobodyNeedsToBeTold(t *testing.T) {
	s := redistest.Start(t)
	admin := s.Client()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "mute", "on", ">p", "~*", "&*", "+@all", "-publish").Err(); err != nil {
		t.Fatal(err)
	}
	dial := func() redis.UniversalClient {
		o := s.Options()
		o.Username, o.Password = "mute", "p"
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := lockOn(t, dial(), Lease(time.Second)), lockOn(t, dial(), Lease(time.Second))
	for range 3 {
		h := sure[*Held](t)(a.Acquire(t.Context()))
		next := acquiring(t.Context(), b.Acquire)
		waiting(t, admin, a.root, 1)
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		g := get(t, "the next", next)
		if g.err != nil {
			t.Fatal(g.err)
		}
		if err := g.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestALockOnAFullRedis(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client()
	ctx := t.Context()
	a, b := lockOn(t, s.Client(), Lease(time.Second)), lockOn(t, s.Client(), Lease(time.Second))
	h := sure[*Held](t)(a.Acquire(ctx))
	next := acquiring(ctx, b.Acquire)
	waiting(t, rdb, a.root, 1)
	if err := rdb.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(ctx, "x", "y", 0).Err(); err == nil {
		t.Fatal("it is not full")
	}
	select {
	case <-h.Context().Done():
		t.Fatal(context.Cause(h.Context()))
	case <-time.After(2 * time.Second): // two leases
	}
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if g := get(t, "the next", next); g.err != nil {
		t.Fatal(g.err)
	} else if err := g.Release(ctx); err != nil {
		t.Fatal(err)
	}
}
