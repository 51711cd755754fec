package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Hints is a subscription to any number of channels that say no more than that something
// has changed. A hint may be lost: whoever waits for one looks now and then all the same.
type Hints struct {
	*subscription
}

// Hints makes a subscription to nothing yet.
func (s *Store) Hints(ctx context.Context) *Hints { return &Hints{s.subscription(ctx)} }

// Receive waits for the next hint, and says what channel it came over and what it says.
// stands says that it is none: the subscription to the channel stands from now on, or
// again, and what came before was not heard. After an error the subscription mends
// itself: call Receive again, not at once.
func (h *Hints) Receive(ctx context.Context) (channel, text string, stands bool, err error) {
	for {
		msg, err := h.receive(ctx)
		if err != nil {
			return "", "", false, err
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				return m.Channel, "", true, nil
			}
		case *redis.Message:
			return m.Channel, m.Payload, false, nil
		}
	}
}
