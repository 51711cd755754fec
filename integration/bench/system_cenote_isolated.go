package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// incrementRoute is increment's handler, as children serve it.
func incrementRoute() queue.Route {
	return increment.Handler(func(_ context.Context, i int) (int, error) { return i + 1, nil })
}

// withChildren calls do with a pool of n child processes, which are up and warm.
func withChildren(ctx context.Context, n int, do func(p *pool.ProcessPool) error) (err error) {
	p, err := pool.Processes(n, incrementRoute())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Shutdown(context.WithoutCancel(ctx))) }()
	if _, err := increment.MapAll(ctx, p, upTo(2000), queue.Chunk(1)); err != nil {
		return err
	}
	return do(p)
}

func (s *cenoteSession) MapIsolated(ctx context.Context, n int) (elapsed time.Duration, err error) {
	err = withChildren(ctx, crewSize, func(p *pool.ProcessPool) error {
		begin := time.Now()
		values, err := increment.MapAll(ctx, p, upTo(n), queue.Chunk(1))
		elapsed = time.Since(begin)
		if err != nil {
			return err
		}
		return counted(slices.Values(values), n)
	})
	return elapsed, err
}

func (s *cenoteSession) CallIsolated(ctx context.Context, n int) (child, goroutine time.Duration, err error) {
	local, err := pool.NewLocal(pool.Config{Workers: 1, Strict: true}, incrementRoute())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, local.Shutdown(context.WithoutCancel(ctx))) }()
	err = withChildren(ctx, 1, func(p *pool.ProcessPool) error {
		for done := 0; done < n; { // by turns, as the machine's speed varies
			some := min(n-done, 500)
			for _, side := range []struct {
				x    queue.Executor
				took *time.Duration
			}{{p, &child}, {local, &goroutine}} {
				begin := time.Now()
				for i := range some {
					v, err := increment.Call(ctx, side.x, i)
					if err != nil {
						return err
					}
					if v != i+1 {
						return fmt.Errorf("%d + 1 is %d", i, v)
					}
				}
				*side.took += time.Since(begin)
			}
			done += some
		}
		return nil
	})
	return child, goroutine, err
}
