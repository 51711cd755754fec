package shared

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

func eventOn(t testing.TB, rdb redis.UniversalClient, opts ...Option) *Event {
	t.Helper()
	return sure[*Event](t)(OpenEvent(managerOn(t, rdb), "e", opts...))
}

// listening waits until so many managers listen to an object's channel.
func listening(t testing.TB, rdb redis.UniversalClient, channel string, n int64) {
	t.Helper()
	waitFor(t, "those who listen", func() bool {
		return rdb.PubSubNumSub(context.Background(), channel).Val()[channel] == n
	})
}

func TestEventIsSetAndCleared(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		a, b := eventOn(t, dial()), eventOn(t, dial())
		for _, want := range []bool{false, true, true, false, false, true} {
			turn := a.Clear
			if want {
				turn = a.Set
			}
			if err := turn(ctx); err != nil {
				t.Fatal(err)
			}
			if got := sure[bool](t)(b.IsSet(ctx)); got != want {
				t.Errorf("it is %v, want %v", got, want)
			}
		}
		if err := b.Wait(ctx); err != nil { // set already
			t.Error(err)
		}
		if err := a.Clear(ctx); err != nil {
			t.Error(err)
		}
		short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
		defer stop()
		is(t, b.Wait(short), context.DeadlineExceeded)
		if ttl := dial().PTTL(ctx, a.root).Val(); ttl < 6*24*time.Hour {
			t.Error("it is kept for", ttl)
		}
		if err := a.Set(ctx); err != nil {
			t.Error(err)
		}
		if err := a.Delete(ctx); err != nil {
			t.Error(err)
		}
		if sure[bool](t)(b.IsSet(ctx)) {
			t.Error("it is set and was deleted")
		}
	})
}

func TestSetAndClearAtOnceWakesWhoWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		rdb, setter := dial(), eventOn(t, dial())
		const each = 5
		woken := make(chan error, 2*each)
		var began sync.WaitGroup
		for range 2 {
			e := eventOn(t, dial())
			for range each {
				began.Add(1)
				go func() {
					first := true
					woken <- e.m.await(ctx, e.root, watched(e, ctx, func() {
						if first {
							first = false
							began.Done()
						}
					}))
				}()
			}
		}
		began.Wait()
		if err := setter.Set(ctx); err != nil {
			t.Fatal(err)
		}
		if err := setter.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		for range 2 * each {
			if err := get(t, "who waits", woken); err != nil {
				t.Error(err)
			}
		}
		late := make(chan error, 1)
		short, stop := context.WithCancel(ctx)
		go func() { late <- setter.Wait(short) }()
		listening(t, rdb, setter.root, 3)
		select {
		case err := <-late:
			t.Error("who comes later does not wait:", err)
		default:
		}
		stop()
		is(t, get(t, "who came later", late), context.Canceled)
	})
}

// watched is what Wait does, telling when it has looked.
func watched(e *Event, ctx context.Context, looked func()) func() (bool, time.Duration, error) {
	try := e.waiter(ctx)
	return func() (bool, time.Duration, error) {
		done, again, err := try()
		looked()
		return done, again, err
	}
}

func TestEventIsSeenThoughNobodyHears(t *testing.T) {
	inBubble(t, func(b *bubble.Bubble, m *Manager, rdb *bubble.Client) {
		e := sure[*Event](b.T)(OpenEvent(m, "e"))
		woken := make(chan error, 1)
		go func() { woken <- e.Wait(b.T.Context()) }()
		<-time.After(time.Second)
		other := b.Client() // set and cleared without a word
		other.HSet(b.T.Context(), e.root, "on", "0", "turn", "9007199254740000")
		began := time.Now()
		if err := <-woken; err != nil {
			b.T.Error(err)
		}
		if d := time.Since(began); d > slowTick {
			b.T.Errorf("it took %v", d)
		}
	})
}

func TestEventOutlivesARestart(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	ctx := t.Context()
	var all sync.WaitGroup
	rdb := s.Client()
	for range 3 {
		e := eventOn(t, s.Client())
		for range 50 {
			all.Go(func() {
				if err := e.Wait(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
	e := eventOn(t, s.Client())
	listening(t, rdb, e.root, 3)
	s.Restart()
	if err := e.Set(ctx); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

func TestEventOfAClosedManager(t *testing.T) {
	rdb := redistest.Start(t).Client()
	e := eventOn(t, rdb)
	woken := make(chan error, 1)
	go func() { woken <- e.Wait(t.Context()) }()
	listening(t, rdb, e.root, 1)
	if err := e.m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	is(t, get(t, "who waits", woken), queue.ErrClosed)
	is(t, e.Set(t.Context()), queue.ErrClosed)
	_, err := e.IsSet(t.Context())
	is(t, err, queue.ErrClosed)
}
