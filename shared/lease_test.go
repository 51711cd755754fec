package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// inBubble runs a test in virtual time, with a manager.
func inBubble(t *testing.T, test func(b *bubble.Bubble, m *Manager, rdb *bubble.Client)) {
	t.Helper()
	t.Parallel()
	bubble.Run(t, func(b *bubble.Bubble) {
		rdb := b.Client()
		test(b, managerOn(b.T, rdb), rdb)
	})
}

// managerOn is a manager that is closed when the test is over.
func managerOn(t testing.TB, rdb redis.UniversalClient) *Manager {
	t.Helper()
	m, err := New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// hold takes a plain lease of an object, as kinds do with scripts of their own.
func hold(t testing.TB, m *Manager, rdb redis.UniversalClient, object string, lease time.Duration) *holding {
	t.Helper()
	h, err := m.keeper.take(t.Context(), leased{plainLeases, store.SharedRoot("thing", object), lease}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	ends := float64(sent.Add(lease).UnixMilli())
	if err := rdb.ZAdd(t.Context(), h.root+":alive", redis.Z{Score: ends, Member: h.ticket}).Err(); err != nil {
		t.Fatal(err)
	}
	if !h.renewed(sent, 0) {
		t.Fatal("a fresh holding has ended:", h.cause())
	}
	return h
}

// scripts counts the scripts that the client sends.
func scripts(rdb *bubble.Client) *atomic.Int64 {
	n := new(atomic.Int64)
	rdb.DieAt(func(command, _ string) bubble.Moment {
		if strings.HasPrefix(command, "eval") {
			n.Add(1)
		}
		return bubble.Never
	})
	return n
}

func TestLeasesAreRenewedTogether(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		const objects, each = 20, 30
		var all []*holding
		for i := range objects {
			for range each {
				all = append(all, hold(b.T, m, rdb, fmt.Sprint("o", i), 12*time.Second))
			}
		}
		n := scripts(rdb)
		<-time.After(10 * time.Minute)
		for _, h := range all {
			if h.cause() != nil {
				b.T.Fatalf("a lease was lost while all was well: %v", h.cause())
			}
		}
		// One script an object every 4 s, and a few more as some are renewed a little early.
		if got, want := n.Load(), int64(objects*600/4); got < want*9/10 || got > want*5/4 {
			b.T.Errorf("%d renewals of %d objects in 10 minutes, want about %d", got, objects, want)
		}
	})
}

func TestAHoldingEndsBeforeOthersMayHaveIt(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		h := hold(b.T, m, rdb, "o", 12*time.Second)
		<-time.After(4*time.Second + 100*time.Millisecond) // renewed once
		rdb.Cut()
		other := b.Client()
		select {
		case <-h.ctx.Done():
		case <-time.After(time.Minute):
			b.T.Fatal("it never ends")
		}
		if !errors.Is(h.cause(), ErrLost) {
			b.T.Error(h.cause())
		}
		ends, err := other.ZScore(b.T.Context(), h.root+":alive", h.ticket).Result()
		left := time.Until(time.UnixMilli(int64(ends)))
		if err != nil || left < 1900*time.Millisecond || left > 2100*time.Millisecond {
			b.T.Errorf("it ended %v before its lease, %v; want a sixth", left, err)
		}
	})
}

func TestAForgottenLeaseIsLost(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		h := hold(b.T, m, rdb, "o", 15*time.Second)
		rdb.FlushAll(b.T.Context())
		select {
		case <-h.ctx.Done():
		case <-time.After(6 * time.Second):
			b.T.Fatal("nobody notices")
		}
		if !errors.Is(h.cause(), ErrLost) {
			b.T.Error(h.cause())
		}
	})
}

func TestAnOutageShorterThanTheLeaseIsOutlived(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		h := hold(b.T, m, rdb, "o", 15*time.Second)
		for range 10 {
			rdb.Cut()
			<-time.After(6 * time.Second)
			rdb.Mend()
			<-time.After(6 * time.Second)
		}
		if h.cause() != nil {
			b.T.Error(h.cause())
		}
	})
}

func TestCloseGivesBackAtOnce(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		h, g := hold(b.T, m, rdb, "o", 15*time.Second), hold(b.T, m, rdb, "p", time.Second)
		if err := m.Close(b.T.Context()); err != nil {
			b.T.Fatal(err)
		}
		for _, h := range []*holding{h, g} {
			if !errors.Is(h.cause(), queue.ErrClosed) {
				b.T.Error(h.cause())
			}
			if n := rdb.Exists(b.T.Context(), h.root+":alive").Val(); n != 0 {
				b.T.Error("it is still held")
			}
		}
		if _, err := m.keeper.take(b.T.Context(), h.leased, nil); !errors.Is(err, queue.ErrClosed) {
			b.T.Error(err)
		}
	})
}

func TestKeysOfLeasesExpire(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		h := hold(b.T, m, rdb, "o", 15*time.Second)
		<-time.After(20 * time.Second)
		rdb.Cut()
		<-time.After(3 * time.Minute)
		if n := b.Client().Exists(b.T.Context(), h.root+":alive").Val(); n != 0 {
			b.T.Error("it stays")
		}
	})
}

func TestLeasesOutOfBoundsAreRefused(t *testing.T) {
	for _, d := range []time.Duration{0, -1, time.Millisecond, 25 * time.Hour} {
		if _, err := (settings{}).with([]Option{Lease(d)}); !errors.Is(err, queue.ErrOption) {
			t.Errorf("%v: %v", d, err)
		}
	}
}
