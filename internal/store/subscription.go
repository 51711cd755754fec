package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// subscription is one connection that listens to any number of channels. If it is
// lost, go-redis makes it anew and subscribes again. What go-redis does not see is
// seen to here: a channel that the server refuses, because it is not ready or the user
// may not listen, is asked for again before the next receive; and a connection whose
// other end hangs, which looks like one on which nothing happens, is left for another,
// see Check and Renew.
type subscription struct {
	s  *Store
	ps atomic.Pointer[redis.PubSub]

	mu       sync.Mutex
	channels map[string]struct{}
	closed   bool

	asked   atomic.Bool // a ping is on its way, and nothing was heard since
	refused bool        // owned by who receives
}

func (s *Store) subscription(ctx context.Context) *subscription {
	u := &subscription{s: s, channels: map[string]struct{}{}}
	u.ps.Store(s.rdb.Subscribe(ctx))
	return u
}

// Add subscribes to one more channel. After an error it is tried again by itself.
func (u *subscription) Add(ctx context.Context, channel string) error {
	u.mu.Lock()
	u.channels[channel] = struct{}{}
	ps := u.ps.Load()
	u.mu.Unlock()
	return u.s.explain(ps.Subscribe(ctx, channel))
}

// Remove ends the subscription to a channel.
func (u *subscription) Remove(ctx context.Context, channel string) error {
	u.mu.Lock()
	delete(u.channels, channel)
	ps := u.ps.Load()
	u.mu.Unlock()
	return u.s.explain(ps.Unsubscribe(ctx, channel))
}

// Check asks the other end whether it is there. If nothing was heard since the last
// Check asked, it is not, and another connection is made.
func (u *subscription) Check(ctx context.Context) error {
	if u.asked.Swap(true) {
		return u.Renew(ctx)
	}
	return u.s.explain(u.ps.Load().Ping(ctx))
}

// Renew makes another connection instead of the one that there is.
func (u *subscription) Renew(ctx context.Context) error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	ps := u.s.rdb.Subscribe(ctx)
	old := u.ps.Swap(ps)
	u.mu.Unlock()
	u.asked.Store(false)
	_ = old.Close() // its receive goes on with the new one
	return u.s.explain(u.all(ctx, ps))
}

// all subscribes to all channels there are.
func (u *subscription) all(ctx context.Context, ps *redis.PubSub) error {
	u.mu.Lock()
	channels := slices.Collect(maps.Keys(u.channels))
	u.mu.Unlock()
	if len(channels) == 0 {
		return nil
	}
	return ps.Subscribe(ctx, channels...)
}

// Close ends the subscription and a receive that is under way.
func (u *subscription) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return u.ps.Load().Close()
}

// receive waits for what comes next. After an error it is called again, not at once.
func (u *subscription) receive(ctx context.Context) (any, error) {
	for {
		ps := u.ps.Load()
		msg, err := u.hear(ctx, ps)
		if err == nil {
			return msg, nil
		}
		if ps == u.ps.Load() {
			return nil, u.s.explain(err)
		}
	}
}

// hear is receive over one connection.
func (u *subscription) hear(ctx context.Context, ps *redis.PubSub) (any, error) {
	if u.refused {
		if err := u.all(ctx, ps); err != nil {
			return nil, err
		}
		u.refused = false
	}
	msg, err := ps.Receive(ctx)
	if said, ok := errors.AsType[redis.Error](err); ok && said != nil {
		u.refused = true
	}
	if (err == nil || u.refused) && u.asked.Load() { // who refuses is there
		u.asked.Store(false)
	}
	return msg, err
}
