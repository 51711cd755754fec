package shared

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

func barrierOn(t testing.TB, rdb redis.UniversalClient, n int, opts ...Option) *Barrier {
	t.Helper()
	return sure[*Barrier](t)(OpenBarrier(managerOn(t, rdb), "b", n, opts...))
}

// arrived waits until so many wait at a barrier.
func arrived(t testing.TB, rdb redis.UniversalClient, b *Barrier, n int64) {
	t.Helper()
	waitFor(t, "those who arrive", func() bool { return rdb.HLen(context.Background(), b.root+":in").Val() == n })
}

// met is what came of a Wait.
type met struct {
	index int
	err   error
}

func meeting(ctx context.Context, b *Barrier) <-chan met {
	c := make(chan met, 1)
	go func() {
		i, err := b.Wait(ctx)
		c <- met{i, err}
	}()
	return c
}

func TestBarrierInLockstep(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx, stop := context.WithTimeout(t.Context(), within)
		defer stop()
		const parties, rounds = 6, 10
		var at [parties]atomic.Int64
		indexes := make([][]int, rounds)
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range parties / 2 {
			b := barrierOn(t, dial(), parties)
			for j := range 2 {
				all.Go(func() {
					me := &at[2*i+j]
					for r := range rounds {
						me.Add(1)
						index, err := b.Wait(ctx)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						indexes[r] = append(indexes[r], index)
						mu.Unlock()
						for k := range at {
							if n := at[k].Load(); n < int64(r+1) || n > int64(r+2) {
								t.Errorf("after round %d party %d is at %d", r, k, n)
							}
						}
					}
				})
			}
		}
		all.Wait()
		for r, got := range indexes {
			slices.Sort(got)
			if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
				t.Errorf("round %d had the indexes %v", r, got)
			}
		}
	})
}

func TestBarrierBreaksForAll(t *testing.T) {
	for name, breaks := range map[string]func(ctx context.Context, b *Barrier, one context.CancelFunc) error{
		"abort":   func(ctx context.Context, b *Barrier, _ context.CancelFunc) error { return b.Abort(ctx) },
		"reset":   func(ctx context.Context, b *Barrier, _ context.CancelFunc) error { return b.Reset(ctx) },
		"timeout": func(_ context.Context, _ *Barrier, one context.CancelFunc) error { one(); return nil },
		"close":   func(ctx context.Context, b *Barrier, _ context.CancelFunc) error { return b.m.Close(ctx) },
		"leave":   func(ctx context.Context, b *Barrier, _ context.CancelFunc) error { return b.Leave(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
				ctx := t.Context()
				rdb := dial()
				const parties = 4
				one, two := barrierOn(t, dial(), parties), barrierOn(t, dial(), parties)
				short, stop := context.WithCancel(ctx)
				defer stop()
				first := meeting(short, one)
				others := []<-chan met{meeting(ctx, two), meeting(ctx, two)}
				arrived(t, rdb, one, 3)
				if err := breaks(ctx, one, stop); err != nil {
					t.Fatal(err)
				}
				for _, c := range others {
					is(t, get(t, "a party", c).err, ErrBroken)
				}
				err := get(t, "the first party", first).err
				is(t, err, ErrBroken)
				switch name {
				case "timeout":
					is(t, err, context.Canceled)
				case "close":
					is(t, err, queue.ErrClosed)
				}
				if name != "reset" {
					_, err := two.Wait(ctx)
					is(t, err, ErrBroken) // it stays so
					if err := two.Reset(ctx); err != nil {
						t.Fatal(err)
					}
				}
				var again []<-chan met
				for range parties {
					again = append(again, meeting(ctx, two))
				}
				for _, c := range again {
					if m := get(t, "a party", c); m.err != nil {
						t.Error("after a reset:", m.err)
					}
				}
			})
		})
	}
}

func TestADeadPartyBreaksTheBarrier(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		ctx := b.T.Context()
		dead := b.Client()
		d := barrierOn(b.T, dead, 2)
		mine := sure[*Barrier](b.T)(OpenBarrier(m, "b", 2))
		theirs := meeting(ctx, d)
		if m := <-meeting(ctx, mine); m.err != nil {
			b.T.Fatal(m.err)
		}
		if m := <-theirs; m.err != nil {
			b.T.Fatal(m.err)
		}
		waits := meeting(ctx, mine)
		<-time.After(time.Minute)
		select {
		case m := <-waits:
			b.T.Fatal("it does not wait for who is on the way:", m.err)
		default:
		}
		dead.Cut() // while it is on its way
		died := time.Now()
		is(b.T, get(b.T, "who waits for the dead", waits).err, ErrBroken)
		if d := time.Since(died); d > DefaultLease+DefaultLease/20 {
			b.T.Errorf("it took %v", d)
		}
	})
}

func TestWhoLeavesABarrierIsNotMissed(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		rdb := dial()
		a, b, c := barrierOn(t, dial(), 2), barrierOn(t, dial(), 2), barrierOn(t, dial(), 2)
		first := meeting(ctx, a)
		if m := get(t, "a party", meeting(ctx, b)); m.err != nil {
			t.Fatal(m.err)
		}
		get(t, "a party", first)
		first = meeting(ctx, a)
		arrived(t, rdb, a, 1)
		if err := b.Leave(ctx); err != nil {
			t.Error(err)
		}
		if m := get(t, "who takes its place", meeting(ctx, c)); m.err != nil {
			t.Error(m.err)
		}
		if m := get(t, "a party", first); m.err != nil {
			t.Error(m.err)
		}
		three := barrierOn(t, dial(), 3)
		_, err := three.Wait(ctx)
		is(t, err, ErrMismatch)
		for _, b := range []*Barrier{a, c} {
			if err := b.Leave(ctx); err != nil {
				t.Error(err)
			}
		}
		short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		defer stop()
		if _, err := three.Wait(short); errors.Is(err, ErrMismatch) {
			t.Error("nobody uses it:", err)
		}
		for _, key := range sure[[]string](t)(rdb.Keys(ctx, "*").Result()) {
			if ttl := rdb.PTTL(ctx, key).Val(); ttl < 0 {
				t.Errorf("%s stays for ever", key)
			}
		}
	})
}

func TestHundredsMeetWhileRedisRestarts(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	ctx, stop := context.WithTimeout(t.Context(), within)
	defer stop()
	rdb := s.Client()
	const parties = 200
	bs := []*Barrier{barrierOn(t, s.Client(), parties), barrierOn(t, s.Client(), parties)}
	all := make([]<-chan met, parties)
	for i := range parties - 1 {
		all[i] = meeting(ctx, bs[i%2])
	}
	arrived(t, rdb, bs[0], parties-1)
	s.Restart()
	all[parties-1] = meeting(ctx, bs[0])
	seen := map[int]bool{}
	for _, c := range all {
		m := get(t, "a party", c)
		if m.err != nil || seen[m.index] {
			t.Error(m)
		}
		seen[m.index] = true
	}
}

func TestBarriersOutOfBoundsAreRefused(t *testing.T) {
	m := managerOn(t, redistest.Start(t).Client())
	for _, n := range []int{-1, 0, MaxParties + 1} {
		_, err := OpenBarrier(m, "b", n)
		is(t, err, queue.ErrOption)
	}
}
