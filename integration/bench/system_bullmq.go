package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// bullmqSystem is BullMQ with its defaults in one node process that lives for
// the whole run, so that its code is warm.
type bullmqSystem struct{ node *nodeProcess }

func startBullMQ(ctx context.Context, dir string) (*bullmqSystem, error) {
	node, err := startNode(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &bullmqSystem{node}, nil
}

func (*bullmqSystem) Name() string { return "bullmq" }

func (b *bullmqSystem) Close() error { return b.node.Close() }

func (b *bullmqSystem) Open(ctx context.Context, s *server) (session, error) {
	if err := b.node.call(ctx, "open", args{"port": s.port}, nil); err != nil {
		return nil, err
	}
	return &bullmqSession{b.node}, nil
}

type bullmqSession struct{ node *nodeProcess }

func (s *bullmqSession) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.node.call(ctx, "close", nil, nil)
}

// due is the command's "at" in milliseconds of the Unix epoch; 0 means now.
func due(l load) float64 {
	if l.at.IsZero() {
		return 0
	}
	return float64(l.at.UnixMicro()) / 1e3
}

func (s *bullmqSession) Submit(ctx context.Context, l load) error {
	return s.node.call(ctx, "submit", args{"n": l.n, "callers": l.goroutines, "size": l.size, "at": due(l)}, nil)
}

func (s *bullmqSession) SubmitBulk(ctx context.Context, l load) error {
	return s.node.call(ctx, "bulk", args{"n": l.n, "batch": batch, "size": l.size, "at": due(l)}, nil)
}

func (s *bullmqSession) Await(ctx context.Context, l load) error {
	return s.node.call(ctx, "await", args{"n": l.n, "callers": l.goroutines, "size": l.size}, nil)
}

// Left counts what waits or runs; jobs whose result was asked for stay completed.
func (s *bullmqSession) Left(ctx context.Context, rdb *redis.Client) (int64, error) {
	const prefix = "bull:" + queueName + ":"
	var total int64
	for _, list := range []string{"wait", "active"} {
		n, err := rdb.LLen(ctx, prefix+list).Result()
		if err != nil {
			return 0, err
		}
		total += n
	}
	for _, set := range []string{"delayed", "prioritized", "failed"} {
		n, err := rdb.ZCard(ctx, prefix+set).Result()
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (s *bullmqSession) Work(ctx context.Context, concurrency int) (worker, error) {
	if err := s.node.call(ctx, "work", args{"concurrency": concurrency}, nil); err != nil {
		return nil, err
	}
	return &bullmqWorker{s.node}, nil
}

func (s *bullmqSession) Latency(ctx context.Context, n int) (latencies, error) {
	w, err := s.Work(ctx, 10)
	if err != nil {
		return latencies{}, err
	}
	var reply struct { // milliseconds
		Start, Result []float64
		Max           float64
	}
	err = s.node.call(ctx, "latency", args{"n": n, "warm": warmSamples, "pause": idlePause.Milliseconds()}, &reply)
	l := latencies{start: millis(reply.Start), result: millis(reply.Result), max: time.Duration(reply.Max * 1e6)}
	return l, errors.Join(err, w.Stop(ctx))
}

func millis(values []float64) []time.Duration {
	out := make([]time.Duration, len(values))
	for i, v := range values {
		out[i] = time.Duration(v * float64(time.Millisecond))
	}
	return out
}

type bullmqWorker struct{ node *nodeProcess }

func (w *bullmqWorker) Handled(ctx context.Context, n int) (time.Time, error) {
	var reply struct{ First float64 }
	if err := w.node.call(ctx, "handled", args{"n": n}, &reply); err != nil {
		return time.Time{}, fmt.Errorf("stuck: fewer than %d tasks handled: %w", n, err)
	}
	return time.UnixMicro(int64(reply.First * 1e3)), nil
}

func (w *bullmqWorker) Stop(ctx context.Context) error {
	return w.node.call(ctx, "stop", nil, nil)
}
