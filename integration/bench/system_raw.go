package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// rawLoops is how many goroutines read, and in the submit+drain case write: the
// figure at which one Redis and this client reach their limit together.
const rawLoops = 4

const (
	rawGroup   = "bench"
	rawReplies = "bench:replies"
)

// rawStream is the limit: bare stream commands in batches, no leases, no retries.
type rawStream struct{}

func (rawStream) Name() string { return "raw" }
func (rawStream) Close() error { return nil }

func (rawStream) Open(ctx context.Context, s *server) (session, error) {
	rdb := s.dial()
	if err := rdb.XGroupCreateMkStream(ctx, queueName, rawGroup, "0").Err(); err != nil {
		return nil, fmt.Errorf("XGROUP CREATE: %w", err)
	}
	return &rawSession{rdb: rdb}, nil
}

type rawSession struct{ rdb *redis.Client }

func (s *rawSession) Close() error { return s.rdb.Close() }

// entry is one XADD. The field's name says whether the task wants a reply.
func entry(field string, body []byte) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: queueName, Values: []any{field, body}}
}

func (s *rawSession) Submit(ctx context.Context, l load) error {
	if !l.at.IsZero() {
		return errNone
	}
	body := payload(l.size)
	return share(l.n, l.goroutines, func(_, _ int) error {
		return s.rdb.XAdd(ctx, entry("t", body)).Err()
	})
}

func (s *rawSession) SubmitBulk(ctx context.Context, l load) error {
	if !l.at.IsZero() {
		return errNone
	}
	return s.pipeline(ctx, "t", l)
}

// Feed submits in pipelines from rawLoops callers.
func (s *rawSession) Feed(ctx context.Context, l load) error {
	l.goroutines = rawLoops
	return s.pipeline(ctx, "t", l)
}

// pipeline sends l.n entries, batch XADDs a pipeline.
func (s *rawSession) pipeline(ctx context.Context, field string, l load) error {
	body := payload(l.size)
	return share((l.n+batch-1)/batch, l.goroutines, func(_, i int) error {
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range min(batch, l.n-i*batch) {
				p.XAdd(ctx, entry(field, body))
			}
			return nil
		})
		return err
	})
}

// Await submits pipelines and counts the replies, which come a batch a message.
func (s *rawSession) Await(ctx context.Context, l load) error {
	sub := s.rdb.Subscribe(ctx, rawReplies)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		return err
	}
	l.goroutines = rawLoops
	if err := s.pipeline(ctx, "r", l); err != nil {
		return err
	}
	for got := 0; got < l.n*l.size; {
		msg, err := sub.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		got += len(msg.Payload)
	}
	return nil
}

func (s *rawSession) Left(ctx context.Context, rdb *redis.Client) (int64, error) {
	return rdb.XLen(ctx, queueName).Result()
}

// Work starts rawLoops readers that take, acknowledge and delete batches.
func (s *rawSession) Work(_ context.Context, _ int) (worker, error) {
	w := newLoops()
	for i := range rawLoops {
		w.start(func(ctx context.Context) error {
			return s.takeBatch(ctx, fmt.Sprint("c", i), w.tally)
		})
	}
	return w, nil
}

// takeBatch reads one batch, answers what wants a reply, and acknowledges it all.
func (s *rawSession) takeBatch(ctx context.Context, consumer string, t *tally) error {
	msgs, err := s.read(ctx, consumer, batch, 100*time.Millisecond)
	if err != nil || len(msgs) == 0 {
		return err
	}
	ids := make([]string, len(msgs))
	var reply []byte
	for i, m := range msgs {
		ids[i] = m.ID
		if body, ok := m.Values["r"].(string); ok {
			reply = append(reply, body...)
		}
	}
	t.hit(len(msgs))
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, queueName, rawGroup, ids...)
		p.XDel(ctx, queueName, ids...)
		if len(reply) > 0 {
			p.Publish(ctx, rawReplies, reply)
		}
		return nil
	})
	return err
}

func (s *rawSession) read(ctx context.Context, consumer string, count int64, block time.Duration) ([]redis.XMessage, error) {
	streams, err := s.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: rawGroup, Consumer: consumer, Streams: []string{queueName, ">"}, Count: count, Block: block,
	}).Result()
	if err == redis.Nil || len(streams) == 0 {
		return nil, nil
	}
	return streams[0].Messages, err
}

// Latency measures XADD -> XREADGROUP, and with a PUBLISH back the whole trip.
func (s *rawSession) Latency(ctx context.Context, n int) (latencies, error) {
	body := payload(64)
	return pingPong(ctx, s.rdb, n,
		func(ctx context.Context) error { return s.rdb.XAdd(ctx, entry("r", body)).Err() },
		func(ctx context.Context, started chan<- time.Time) error {
			msgs, err := s.read(ctx, "c", 1, 100*time.Millisecond)
			at := time.Now()
			if err != nil || len(msgs) == 0 {
				return err
			}
			if err := s.rdb.Publish(ctx, rawReplies, msgs[0].Values["r"]).Err(); err != nil {
				return err
			}
			started <- at
			_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.XAck(ctx, queueName, rawGroup, msgs[0].ID)
				p.XDel(ctx, queueName, msgs[0].ID)
				return nil
			})
			return err
		})
}

// pingPong takes latency samples: send puts one task, serve takes one (or none),
// says when it had it, and publishes the reply.
func pingPong(ctx context.Context, rdb *redis.Client, n int, send func(context.Context) error, serve func(context.Context, chan<- time.Time) error) (latencies, error) {
	sub := rdb.Subscribe(ctx, rawReplies)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		return latencies{}, err
	}
	started := make(chan time.Time, 1)
	w := newLoops()
	w.start(func(ctx context.Context) error { return serve(ctx, started) })
	defer w.Stop(ctx)
	return probe(ctx, n, warmSamples, shortPause, started, func(ctx context.Context) error {
		if err := send(ctx); err != nil {
			return err
		}
		_, err := sub.ReceiveMessage(ctx)
		return err
	})
}

// loops is a worker made of goroutines that each repeat one step.
type loops struct {
	*tally
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func newLoops() *loops {
	w := &loops{tally: newTally()}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	return w
}

// start repeats step until Stop, or until it fails, which ends all loops.
func (w *loops) start(step func(ctx context.Context) error) {
	w.wg.Go(func() {
		for w.ctx.Err() == nil {
			if err := step(w.ctx); err != nil && w.ctx.Err() == nil {
				w.cancel(err)
			}
		}
	})
}

// Stop ends the loops and returns the error of the one that failed.
func (w *loops) Stop(context.Context) error {
	w.cancel(context.Canceled)
	w.wg.Wait()
	if cause := context.Cause(w.ctx); cause != context.Canceled {
		return cause
	}
	return nil
}
