package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// subscription is one connection that listens to channels. If it is lost, go-redis
// makes it anew and subscribes again. A channel that the server refuses, because it
// is not ready or the user may not listen, go-redis takes for subscribed: it is
// asked for here, before the next receive.
type subscription struct {
	store *Store
	ps    *redis.PubSub

	mu       sync.Mutex
	channels map[string]struct{}

	refused bool // owned by who receives
}

func (s *Store) subscribe(ctx context.Context) subscription {
	return subscription{store: s, ps: s.rdb.Subscribe(ctx), channels: map[string]struct{}{}}
}

func (s *subscription) add(ctx context.Context, channel string) error {
	s.mu.Lock()
	s.channels[channel] = struct{}{}
	s.mu.Unlock()
	return s.store.explain(s.ps.Subscribe(ctx, channel))
}

func (s *subscription) remove(ctx context.Context, channel string) error {
	s.mu.Lock()
	delete(s.channels, channel)
	s.mu.Unlock()
	return s.store.explain(s.ps.Unsubscribe(ctx, channel))
}

// receive waits for what comes. After an error it is called again, not at once.
func (s *subscription) receive(ctx context.Context) (any, error) {
	if s.refused {
		s.mu.Lock()
		all := slices.Collect(maps.Keys(s.channels))
		s.mu.Unlock()
		if err := s.ps.Subscribe(ctx, all...); err != nil {
			return nil, s.store.explain(err)
		}
		s.refused = false
	}
	msg, err := s.ps.Receive(ctx)
	if said, ok := errors.AsType[redis.Error](err); ok && said != nil {
		s.refused = true
	}
	return msg, s.store.explain(err)
}
