package pool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// The tasks of children that have to do with their pool.
var (
	planTask   = queue.NewTask[plan, int]("child.plan")
	commonTask = queue.NewTask[int, int]("child.common")
	tellTask   = queue.NewTask[string, int]("child.tell")
	evenTask   = queue.NewTask[int, int]("child.even", queue.Sentinel("dying", errDying))
	meetTask   = queue.NewTask[meeting, int]("child.meet")
	waitTask   = queue.NewTask[string, int]("child.wait")
	loopTask   = queue.NewTask[int, int]("loop")
)

// plan says what the runs of a task do, one letter each: crash, fail or succeed.
type plan struct{ Dir, Runs string }

// meeting is where N tasks wait for each other.
type meeting struct {
	Dir string
	N   int
}

func poolRoutes() []queue.Route {
	return []queue.Route{
		square.Handler(squareOf), power.Handler(powerOf),
		planTask.Handler(followPlan),
		commonTask.Handler(func(ctx context.Context, i int) (int, error) {
			table, err := queue.Common[[]int](ctx)
			if err != nil {
				return 0, err
			}
			return table[i%len(table)], nil
		}),
		tellTask.Handler(func(ctx context.Context, file string) (int, error) {
			for there(file) != nil { // until somebody has heard it
				queue.Logf(ctx, "here I am")
				time.Sleep(time.Millisecond)
			}
			queue.Progress(ctx, 1, 2)
			queue.Logf(ctx, "this is %s", "all")
			return 1, nil
		}),
		evenTask.Handler(func(_ context.Context, n int) (int, error) {
			if n%2 == 1 {
				return 0, fmt.Errorf("item %d is %w", n, errDying)
			}
			return n, nil
		}),
		meetTask.Handler(func(ctx context.Context, m meeting) (int, error) {
			f, err := os.CreateTemp(m.Dir, "here")
			if err != nil {
				return 0, err
			}
			defer f.Close()
			for {
				all, err := filepath.Glob(filepath.Join(m.Dir, "here*"))
				if err != nil || len(all) >= m.N {
					return os.Getpid(), err
				}
				if err := pauseOf(ctx); err != nil {
					return 0, err
				}
			}
		}),
		waitTask.Handler(func(ctx context.Context, file string) (int, error) {
			for there(file) != nil {
				if err := pauseOf(ctx); err != nil {
					return 0, err
				}
			}
			return 1, nil
		}),
		loopTask.Handler(loopOf),
	}
}

func there(file string) error {
	_, err := os.Stat(file)
	return err
}

func pauseOf(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Millisecond):
		return nil
	}
}

// followPlan does what the plan says for this run, and notes its attempt and its token.
func followPlan(ctx context.Context, p plan) (int, error) {
	seen, err := os.ReadFile(filepath.Join(p.Dir, "seen"))
	if err != nil && !os.IsNotExist(err) {
		return 0, err
	}
	about := queue.FromContext(ctx)
	run := len(seen) / len("1/1 ")
	seen = append(slices.Clone(seen), fmt.Sprintf("%d/%d ", about.Attempt, about.Token)...)
	if err := os.WriteFile(filepath.Join(p.Dir, "seen"), seen, 0o600); err != nil {
		return 0, err
	}
	switch p.Runs[run] {
	case 'c':
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case 'f':
		return 0, errDying
	}
	return about.Attempt, nil
}
