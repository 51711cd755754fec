package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	asynqNoop = "bench:noop"
	asynqEcho = "bench:echo"
)

// asynqSystem is asynq with its defaults, and the connection pool of the others.
type asynqSystem struct{}

func (asynqSystem) Name() string { return "asynq" }
func (asynqSystem) Close() error { return nil }

func (asynqSystem) Open(_ context.Context, s *server) (session, error) {
	rdb, workRDB := s.dial(), s.dial()
	return &asynqSession{
		rdb: rdb, workRDB: workRDB,
		client:    asynq.NewClientFromRedisClient(rdb),
		inspector: asynq.NewInspectorFromRedisClient(rdb),
		started:   make(chan time.Time, 1),
	}, nil
}

type asynqSession struct {
	rdb, workRDB *redis.Client // producer and worker: two processes elsewhere, two pools here
	client       *asynq.Client
	inspector    *asynq.Inspector
	started      chan time.Time // the start of an echo task, when somebody listens
}

func (s *asynqSession) Close() error {
	return errors.Join(s.rdb.Close(), s.workRDB.Close())
}

func (s *asynqSession) Submit(ctx context.Context, l load) error {
	body := payload(l.size)
	opts := []asynq.Option{asynq.Queue(queueName)}
	if !l.at.IsZero() {
		opts = append(opts, asynq.ProcessAt(l.at))
	}
	return share(l.n, l.goroutines, func(_, _ int) error {
		_, err := s.client.EnqueueContext(ctx, asynq.NewTask(asynqNoop, body), opts...)
		return err
	})
}

// SubmitBulk: asynq 0.26 sends one task a call.
func (s *asynqSession) SubmitBulk(context.Context, load) error { return errNone }

// echo submits a task whose result asynq keeps for a while.
func (s *asynqSession) echo(ctx context.Context, body []byte) (id string, err error) {
	info, err := s.client.EnqueueContext(ctx, asynq.NewTask(asynqEcho, body), asynq.Queue(queueName), asynq.Retention(time.Hour))
	if err != nil {
		return "", err
	}
	return info.ID, nil
}

// result polls, which is the way to a result in asynq.
func (s *asynqSession) result(ctx context.Context, id string, every time.Duration) ([]byte, error) {
	for {
		info, err := s.inspector.GetTaskInfo(queueName, id)
		if err != nil {
			return nil, err
		}
		switch info.State {
		case asynq.TaskStateCompleted:
			return info.Result, nil
		case asynq.TaskStateRetry, asynq.TaskStateArchived:
			return nil, fmt.Errorf("task %s failed: %s", id, info.LastErr)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(every):
		}
	}
}

func (s *asynqSession) Await(ctx context.Context, l load) error {
	body := payload(l.size)
	ids := make([][]string, l.goroutines)
	err := share(l.n, l.goroutines, func(caller, _ int) error {
		id, err := s.echo(ctx, body)
		ids[caller] = append(ids[caller], id)
		return err
	})
	if err != nil {
		return err
	}
	return share(l.goroutines, l.goroutines, func(_, caller int) error {
		for _, id := range ids[caller] {
			// Measured best for asynq: shorter polls take Redis from its worker.
			got, err := s.result(ctx, id, 50*time.Millisecond)
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

func (s *asynqSession) Work(_ context.Context, concurrency int) (worker, error) {
	t := newTally()
	srv := asynq.NewServerFromRedisClient(s.workRDB, asynq.Config{
		Concurrency: concurrency,
		Queues:      map[string]int{queueName: 1},
		LogLevel:    asynq.FatalLevel,
	})
	handler := func(_ context.Context, task *asynq.Task) error {
		if task.Type() == asynqEcho {
			select {
			case s.started <- time.Now():
			default:
			}
			if _, err := task.ResultWriter().Write(task.Payload()); err != nil {
				return err
			}
		}
		t.hit(1)
		return nil
	}
	if err := srv.Start(asynq.HandlerFunc(handler)); err != nil {
		return nil, err
	}
	return &asynqWorker{tally: t, srv: srv}, nil
}

// Left counts what waits or runs; completed tasks are kept on purpose.
func (s *asynqSession) Left(ctx context.Context, rdb *redis.Client) (int64, error) {
	prefix := "asynq:{" + queueName + "}:"
	var total int64
	for _, list := range []string{"pending", "active"} {
		n, err := rdb.LLen(ctx, prefix+list).Result()
		if err != nil {
			return 0, err
		}
		total += n
	}
	for _, set := range []string{"scheduled", "retry", "archived"} {
		n, err := rdb.ZCard(ctx, prefix+set).Result()
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// Latency pauses up to a second between samples: asynq's worker sleeps about a
// second on an empty queue, and a fixed pause would always meet the same phase of it.
func (s *asynqSession) Latency(ctx context.Context, n int) (latencies, error) {
	w, err := s.Work(ctx, 10)
	if err != nil {
		return latencies{}, err
	}
	body := payload(64)
	pause := func() time.Duration { return rand.N(time.Second) }
	l, err := probe(ctx, n, 1, pause, s.started, func(ctx context.Context) error {
		id, err := s.echo(ctx, body)
		if err != nil {
			return err
		}
		_, err = s.result(ctx, id, time.Millisecond)
		return err
	})
	return l, errors.Join(err, w.Stop(ctx))
}

type asynqWorker struct {
	*tally
	srv  *asynq.Server
	once sync.Once
}

func (w *asynqWorker) Stop(context.Context) error {
	w.once.Do(w.srv.Shutdown)
	return nil
}
