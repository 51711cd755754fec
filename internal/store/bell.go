package store

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/cenote-go/cenote/queue"
)

// Bell is what an idle consumer blocks on. A blocked connection cannot be
// interrupted through a shared client, so a Bell has its own, and closing the
// Bell ends the wait. Wait and Close may be called concurrently.
type Bell struct {
	s     *Store // over the connection of its own
	close func() error
}

// Bell dials a connection to wait on.
func (s *Store) Bell() *Bell {
	// The server never holds a waiting connection longer than the wait asks for;
	// go-redis adds that to the read timeout by itself. Nothing is sent again: a
	// wait whose reply was lost is settled by the next turn.
	switch c := s.rdb.(type) {
	case *redis.Client:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns, o.MaxRetries = 1, 0, -1
		o.PushNotificationProcessor = nil // the other client's; two on one complain
		o.MaintNotificationsConfig = quiet()
		own := redis.NewClient(&o)
		return &Bell{s: &Store{rdb: own}, close: own.Close}
	case *redis.ClusterClient:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns, o.MaxRetries = 1, 0, -1
		o.MaxRedirects = -1 // it sends again not only what was redirected
		o.MaintNotificationsConfig = quiet()
		own := redis.NewClusterClient(&o)
		return &Bell{s: &Store{rdb: own, cluster: own}, close: own.Close}
	}
	return &Bell{s: s, close: func() error { return nil }}
}

// quiet is for a client of one short-lived wait after the other. The caller's own
// configuration is not to be read: that client changes it while it dials.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// Rung is what came over the bell.
type Rung struct {
	Task *Claimed // a task handed over; nil for a mere token
	More bool     // more tasks wait: claim
}

// Wait waits for at most patience for the line's bell. What it returns is in
// flight at the consumer from that moment on. ok is false if nothing came.
func (b *Bell) Wait(ctx context.Context, l Line, consumer string, patience time.Duration) (r Rung, ok bool, err error) {
	e, err := b.s.rdb.BLMove(ctx, l.bell(), l.taken(consumer), "LEFT", "RIGHT", patience).Result()
	if errors.Is(err, redis.Nil) {
		return Rung{}, false, nil
	}
	if err != nil {
		return Rung{}, false, b.s.explain(err)
	}
	return parseRung(e), true, nil
}

func parseRung(e string) Rung {
	if len(e) < 1+len(queue.TaskID{}) {
		return Rung{More: true}
	}
	c := &Claimed{Note: Note{Level: 1}}
	n := copy(c.ID[:], e[1:])
	c.Wire = bytesOf(e[1+n:])
	return Rung{Task: c, More: e[0] == '+'}
}

// Close ends a Wait that is under way.
func (b *Bell) Close() error { return b.close() }
