package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

var (
	noop = queue.NewTask[[]byte, struct{}]("bench.noop", queue.On(queueName), queue.NoReply())
	echo = queue.NewTask[[]byte, []byte]("bench.echo", queue.On(queueName))
)

// cenoteSystem is Cenote with its defaults, and the connection pool of the others.
type cenoteSystem struct{}

func (cenoteSystem) Name() string { return "cenote" }
func (cenoteSystem) Close() error { return nil }

func (cenoteSystem) Open(_ context.Context, s *server) (session, error) {
	rdb, workRDB := s.dial(), s.dial()
	client, err := producer.New(rdb)
	if err != nil {
		return nil, errors.Join(err, rdb.Close(), workRDB.Close())
	}
	return &cenoteSession{rdb: rdb, workRDB: workRDB, client: client, started: make(chan time.Time, 1)}, nil
}

type cenoteSession struct {
	rdb, workRDB *redis.Client // producer and worker: two processes elsewhere, two pools here
	client       *producer.Client
	started      chan time.Time // the start of an echo task, when somebody listens
}

func (s *cenoteSession) Close() error {
	err := s.client.Close()
	return errors.Join(err, s.rdb.Close(), s.workRDB.Close())
}

// when turns the load's due time into options.
func when(l load) []queue.Option {
	if l.at.IsZero() {
		return nil
	}
	return []queue.Option{queue.At(l.at)}
}

func (s *cenoteSession) Submit(ctx context.Context, l load) error {
	body, opts := payload(l.size), when(l)
	return share(l.n, l.goroutines, func(_, _ int) error {
		_, err := noop.Submit(ctx, s.client, body, opts...)
		return err
	})
}

func (s *cenoteSession) SubmitBulk(ctx context.Context, l load) error {
	body, opts := payload(l.size), when(l)
	full := make([][]byte, batch)
	for i := range full {
		full[i] = body
	}
	return share((l.n+batch-1)/batch, l.goroutines, func(_, i int) error {
		_, err := noop.SubmitAll(ctx, s.client, full[:min(batch, l.n-i*batch)], opts...)
		return err
	})
}

func (s *cenoteSession) Await(ctx context.Context, l load) error {
	body := payload(l.size)
	futures := make([][]*queue.Future[[]byte], l.goroutines)
	err := share(l.n, l.goroutines, func(caller, _ int) error {
		f, err := echo.Submit(ctx, s.client, body)
		futures[caller] = append(futures[caller], f)
		return err
	})
	if err != nil {
		return err
	}
	return share(l.goroutines, l.goroutines, func(_, caller int) error {
		for _, f := range futures[caller] {
			got, err := f.Get(ctx)
			if err != nil {
				return err
			}
			if len(got) != l.size {
				return fmt.Errorf("result of %d bytes, want %d", len(got), l.size)
			}
		}
		return nil
	})
}

func (s *cenoteSession) Work(_ context.Context, concurrency int) (worker, error) {
	t := newTally()
	w, err := consumer.New(s.workRDB,
		consumer.Config{Queues: []consumer.Queue{{Name: queueName}}, Concurrency: concurrency},
		noop.Handler(func(context.Context, []byte) (struct{}, error) {
			t.hit(1)
			return struct{}{}, nil
		}),
		echo.Handler(func(_ context.Context, in []byte) ([]byte, error) {
			select {
			case s.started <- time.Now():
			default:
			}
			t.hit(1)
			return in, nil
		}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	life, end := context.WithCancelCause(context.Background())
	go func() { end(w.Run(ctx)) }()
	return &cenoteWorker{tally: t, cancel: cancel, life: life}, nil
}

// Left counts the tasks that exist, waiting, delayed, running or dead, some of those that
// have arrived twice; and the lots that are in flight.
func (s *cenoteSession) Left(ctx context.Context, rdb *redis.Client) (int64, error) {
	const root = "cenote:{" + queueName + "}:"
	pipe := rdb.Pipeline()
	stored, arrived, runs := pipe.HLen(ctx, root+"tasks"), pipe.LLen(ctx, root+"arrivals"), pipe.Keys(ctx, root+"run:*")
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	left := stored.Val() + arrived.Val()
	for _, run := range runs.Val() {
		lots, err := rdb.HGet(ctx, run, "#l").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		left += int64(len(strings.Fields(lots)) / 2)
	}
	return left, nil
}

func (s *cenoteSession) Latency(ctx context.Context, n int) (latencies, error) {
	w, err := s.Work(ctx, 10)
	if err != nil {
		return latencies{}, err
	}
	body := payload(64)
	l, err := probe(ctx, n, warmSamples, shortPause, s.started, func(ctx context.Context) error {
		f, err := echo.Submit(ctx, s.client, body)
		if err != nil {
			return err
		}
		_, err = f.Get(ctx)
		return err
	})
	return l, errors.Join(err, w.Stop(ctx))
}

type cenoteWorker struct {
	*tally
	cancel context.CancelFunc
	life   context.Context // ends when Run returns, with its error as the cause
}

// Handled also returns when the worker ends by itself, which it should not.
func (w *cenoteWorker) Handled(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.life, cancel)()
	first, err := w.tally.Handled(ctx, n)
	if err != nil && w.life.Err() != nil {
		err = fmt.Errorf("%w: the worker ended: %w", err, context.Cause(w.life))
	}
	return first, err
}

// Stop ends the worker and waits until it has drained, and says so when a worker
// with nothing left to do is slow to end.
func (w *cenoteWorker) Stop(ctx context.Context) error {
	begin := time.Now()
	defer func() {
		if took := time.Since(begin); took > time.Second {
			fmt.Fprintf(os.Stderr, "       cenote's worker took %v to stop\n", took.Round(time.Millisecond))
		}
	}()
	w.cancel()
	select {
	case <-w.life.Done():
		if err := context.Cause(w.life); err != context.Canceled {
			return err
		}
		return nil // Canceled stands for the nil that Run returned
	case <-ctx.Done():
		return fmt.Errorf("the worker does not stop: %w", ctx.Err())
	}
}
