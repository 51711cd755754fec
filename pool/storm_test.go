package pool_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// TestEveryFutureIsSettledInAStorm does everything at once and then asks whether
// anything was lost: a future, a slot, a goroutine.
func TestEveryFutureIsSettledInAStorm(t *testing.T) {
	for round := range 30 {
		var started, finished atomic.Int64
		mixed := queue.NewTask[int, int]("mixed", queue.Retries(2), queue.Spaced(queue.Backoff{Base: time.Microsecond}))
		var p *pool.LocalPool
		p = open(t, pool.Config{Workers: 3, Strict: round%2 == 0}, double.Handler(twice), mixed.Handler(func(ctx context.Context, n int) (int, error) {
			started.Add(1)
			defer finished.Add(1)
			switch n % 7 {
			case 0:
				panic("boom")
			case 1:
				runtime.Goexit()
			case 2:
				return 0, errors.New("failed")
			case 3:
				return n, queue.Aside(ctx, func() error { _, err := double.Call(ctx, p, n); return err })
			case 4:
				return double.Call(ctx, p, n)
			}
			return n, nil
		}))
		var mu sync.Mutex
		var futures []*queue.Future[int]
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 100 {
					var opts []queue.Option
					if rand.IntN(5) == 0 {
						opts = append(opts, queue.Delay(time.Duration(rand.IntN(1000))*time.Microsecond))
					}
					f, err := mixed.Submit(context.Background(), p, rand.IntN(1000), opts...)
					if err != nil {
						if !errors.Is(err, queue.ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					futures = append(futures, f)
					mu.Unlock()
					switch rand.IntN(8) {
					case 0:
						_, _ = f.Cancel(context.Background())
					case 1:
						_, _ = f.Cancel(context.Background(), queue.Interrupt())
					case 2:
						_ = p.Resize(1 + rand.IntN(5))
					}
					if i == 90 && round%5 == 1 {
						p.Terminate()
					}
				}
			})
		}
		all.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		var err error
		if round%3 == 0 {
			err = p.Shutdown(ctx, pool.CancelPending())
		} else {
			err = p.Shutdown(ctx)
		}
		cancel()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, f := range futures {
			if _, err := f.Result(); queue.IsWait(err) {
				t.Fatalf("round %d: a future is not settled after Shutdown", round)
			}
		}
		if started.Load() != finished.Load() {
			t.Errorf("round %d: %d handlers started, %d had ended when Shutdown returned", round, started.Load(), finished.Load())
		}
	}
}

// TestNoWorkerIsMadeInThePlaceOfOneOnItsWay submits again and again just when
// workers have ended a task and not yet looked for the next.
func TestNoWorkerIsMadeInThePlaceOfOneOnItsWay(t *testing.T) {
	const workers = 4
	var begun atomic.Int64
	p := open(t, pool.Config{Workers: workers, Initializer: func(context.Context) error { begun.Add(1); return nil }}, double.Handler(twice))
	for range 20_000 {
		var fs [workers]*queue.Future[int]
		for i := range fs {
			fs[i] = submit(t, p, double, i)
		}
		wantValue(t, fs[workers-1], 2*(workers-1))
	}
	if n := begun.Load(); n > workers {
		t.Errorf("the Initializer ran %d times for %d workers", n, workers)
	}
}
