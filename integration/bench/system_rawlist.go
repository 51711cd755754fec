package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// rawList is the floor under every list queue: LPUSH and a destructive LPOP,
// which lose what is in hand when a client dies.
type rawList struct{}

func (rawList) Name() string { return "rawlist" }
func (rawList) Close() error { return nil }

func (rawList) Open(_ context.Context, s *server) (session, error) {
	return &listSession{rdb: s.dial()}, nil
}

type listSession struct{ rdb *redis.Client }

func (s *listSession) Close() error { return s.rdb.Close() }

func (s *listSession) Submit(ctx context.Context, l load) error {
	if !l.at.IsZero() {
		return errNone
	}
	body := payload(l.size)
	return share(l.n, l.goroutines, func(_, _ int) error {
		return s.rdb.LPush(ctx, queueName, body).Err()
	})
}

func (s *listSession) SubmitBulk(ctx context.Context, l load) error {
	if !l.at.IsZero() {
		return errNone
	}
	body := payload(l.size)
	full := make([]any, batch)
	for i := range full {
		full[i] = body
	}
	return share((l.n+batch-1)/batch, l.goroutines, func(_, i int) error {
		return s.rdb.LPush(ctx, queueName, full[:min(batch, l.n-i*batch)]...).Err()
	})
}

// Feed submits in batches from rawLoops callers.
func (s *listSession) Feed(ctx context.Context, l load) error {
	l.goroutines = rawLoops
	return s.SubmitBulk(ctx, l)
}

// Await has no counterpart: the stream's shows the limit.
func (s *listSession) Await(context.Context, load) error { return errNone }

func (s *listSession) Left(ctx context.Context, rdb *redis.Client) (int64, error) {
	return rdb.LLen(ctx, queueName).Result()
}

// Work starts rawLoops readers that pop batches.
func (s *listSession) Work(context.Context, int) (worker, error) {
	w := newLoops()
	for range rawLoops {
		w.start(func(ctx context.Context) error {
			got, err := s.rdb.LPopCount(ctx, queueName, batch).Result()
			if err == redis.Nil {
				time.Sleep(time.Millisecond)
				return nil
			}
			if len(got) > 0 {
				w.hit(len(got))
			}
			return err
		})
	}
	return w, nil
}

// Latency measures LPUSH -> BLPOP, and with a PUBLISH back the whole trip.
func (s *listSession) Latency(ctx context.Context, n int) (latencies, error) {
	body := payload(64)
	return pingPong(ctx, s.rdb, n,
		func(ctx context.Context) error { return s.rdb.LPush(ctx, queueName, body).Err() },
		func(ctx context.Context, started chan<- time.Time) error {
			got, err := s.rdb.BLPop(ctx, time.Second, queueName).Result()
			at := time.Now()
			if err == redis.Nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.rdb.Publish(ctx, rawReplies, got[1]).Err(); err != nil {
				return err
			}
			started <- at
			return nil
		})
}
