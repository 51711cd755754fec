package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// subscription is one connection that listens to any number of channels. It makes
// itself anew when the connection breaks. One that goes silent, because the other
// end hangs, looks to it like one on which nothing happens: see Check and Renew.
type subscription struct {
	s *Store

	mu       sync.Mutex
	ps       *redis.PubSub
	channels map[string]bool
	closed   bool

	asked atomic.Bool // a ping is on its way, and nothing was heard since
}

func (s *Store) subscription(ctx context.Context) *subscription {
	return &subscription{s: s, ps: s.rdb.Subscribe(ctx), channels: map[string]bool{}}
}

// Add subscribes to one more channel. After an error it is tried again by itself.
func (u *subscription) Add(ctx context.Context, channel string) error {
	u.mu.Lock()
	u.channels[channel] = true
	ps := u.ps
	u.mu.Unlock()
	return u.s.explain(ps.Subscribe(ctx, channel))
}

// Remove ends the subscription to a channel.
func (u *subscription) Remove(ctx context.Context, channel string) error {
	u.mu.Lock()
	delete(u.channels, channel)
	ps := u.ps
	u.mu.Unlock()
	return u.s.explain(ps.Unsubscribe(ctx, channel))
}

// Check asks the other end whether it is there. If nothing was heard since the last
// Check asked, it is not, and another connection is made.
func (u *subscription) Check(ctx context.Context) error {
	if u.asked.Swap(true) {
		return u.Renew(ctx)
	}
	u.mu.Lock()
	ps := u.ps
	u.mu.Unlock()
	return u.s.explain(ps.Ping(ctx))
}

// Renew makes another connection instead of the one that there is.
func (u *subscription) Renew(ctx context.Context) error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	old, ps := u.ps, u.s.rdb.Subscribe(ctx)
	u.ps = ps
	channels := slices.Collect(maps.Keys(u.channels))
	u.mu.Unlock()
	u.asked.Store(false)
	_ = old.Close() // its receive goes on with the new one
	if len(channels) == 0 {
		return nil
	}
	return u.s.explain(ps.Subscribe(ctx, channels...))
}

// Close ends the subscription and a receive that is under way.
func (u *subscription) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return u.ps.Close()
}

// receive waits for what comes next. After an error the subscription mends itself:
// call receive again.
func (u *subscription) receive(ctx context.Context) (any, error) {
	for {
		u.mu.Lock()
		ps := u.ps
		u.mu.Unlock()
		msg, err := ps.Receive(ctx)
		if err == nil {
			u.asked.Store(false)
			return msg, nil
		}
		u.mu.Lock()
		renewed := ps != u.ps
		u.mu.Unlock()
		if !renewed {
			return nil, u.s.explain(err)
		}
	}
}
