package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func (s *cenoteSession) Noops(ctx context.Context, n int) (time.Duration, error) {
	return onLocal(ctx, n, func(p *pool.LocalPool, _ int) (*queue.Future[struct{}], error) {
		return pool.Go(ctx, p, func(context.Context) (struct{}, error) { return struct{}{}, nil })
	}, func(int, struct{}) error { return nil })
}

func (s *cenoteSession) Values(ctx context.Context, n int) (time.Duration, error) {
	return onLocal(ctx, n, func(p *pool.LocalPool, i int) (*queue.Future[int], error) {
		return pool.Go(ctx, p, func(context.Context) (int, error) { return i + 1, nil })
	}, incremented)
}

func (s *cenoteSession) Tasks(ctx context.Context, n int) (time.Duration, error) {
	return onLocal(ctx, n, func(p *pool.LocalPool, i int) (*queue.Future[int], error) {
		return increment.Submit(ctx, p, i)
	}, incremented)
}

// onLocal submits n tasks to a pool in the process and waits for each of them.
func onLocal[T any](ctx context.Context, n int, submit func(*pool.LocalPool, int) (*queue.Future[T], error), check func(int, T) error) (time.Duration, error) {
	p, err := pool.Local(runtime.GOMAXPROCS(0), incrementRoute())
	if err != nil {
		return 0, err
	}
	futures := make([]*queue.Future[T], n)
	begin := time.Now()
	for i := range futures {
		if futures[i], err = submit(p, i); err != nil {
			return 0, err
		}
	}
	for i, f := range futures {
		v, err := f.Get(ctx)
		if err == nil {
			err = check(i, v)
		}
		if err != nil {
			return 0, err
		}
	}
	elapsed := time.Since(begin)
	return elapsed, p.Shutdown(ctx)
}

func incremented(i, v int) error {
	if v != i+1 {
		return wrongValue(i, v)
	}
	return nil
}

func wrongValue(i, v int) error { return fmt.Errorf("%d + 1 is %d", i, v) }
