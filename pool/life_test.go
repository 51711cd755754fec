package pool_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func TestCloseThenJoinRunsAllInRounds(t *testing.T) { // C07, C09, C17
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 2})
		var ran atomic.Int32
		from := time.Now()
		for range 10 {
			run(t, p, func(context.Context) (int, error) { time.Sleep(time.Second); ran.Add(1); return 0, nil })
		}
		p.Close()
		p.Close()
		if err := p.Join(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(from); ran.Load() != 10 || took != 5*time.Second {
			t.Errorf("%d ran in %v; want 10 in 5 rounds of a second", ran.Load(), took)
		}
		if _, err := pool.Go(t.Context(), p, newGate().run); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Go on a closed pool: %v", err)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown of a pool that is gone: %v", err)
		}
	})
}

func TestJoinNeedsClose(t *testing.T) { // C08
	p := open(t, pool.Config{Workers: 1})
	if err := p.Join(t.Context()); !errors.Is(err, queue.ErrPoolRunning) {
		t.Errorf("Join of an open pool: %v", err)
	}
	g := newGate()
	run(t, p, g.run)
	p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Join(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Join with a ctx that is done: %v", err)
	}
	close(g.let)
	if err := p.Join(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATaskThatWasAcceptedWhileThePoolClosesRuns(t *testing.T) { // C06
	for range 200 {
		p := open(t, pool.Config{Workers: 2}, double.Handler(twice))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for n := 0; ; n++ {
					f, err := double.Submit(context.Background(), p, n)
					if err != nil {
						if !errors.Is(err, queue.ErrClosed) {
							t.Errorf("submit: %v", err)
						}
						return
					}
					if got, err := f.Get(context.Background()); got != 2*n || err != nil {
						t.Errorf("an accepted task: %d, %v", got, err)
						return
					}
				}
			})
		}
		runtime.Gosched()
		p.Close()
		all.Wait()
	}
}

func TestTerminateLeavesTheRest(t *testing.T) { // C10, C11
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		var ran atomic.Int32
		var futures []*queue.Future[int]
		for range 10 {
			futures = append(futures, run(t, p, func(ctx context.Context) (int, error) {
				select {
				case <-time.After(time.Second):
					ran.Add(1)
					return 7, nil
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
			}))
		}
		time.Sleep(2500 * time.Millisecond)
		p.Terminate()
		for i, f := range futures {
			select {
			case <-f.Done():
			default:
				t.Errorf("future %d is not done when Terminate has returned", i)
			}
			if i < 2 {
				wantValue(t, f, 7)
			} else {
				wantErr(t, f, queue.ErrTerminated)
			}
		}
		from := time.Now()
		if err := p.Join(t.Context()); err != nil || time.Since(from) > 0 {
			t.Errorf("Join after Terminate: %v, after %v", err, time.Since(from))
		}
		if ran.Load() != 2 {
			t.Errorf("%d tasks ran to their end, want 2", ran.Load())
		}
		p.Terminate()
	})
}

func TestTerminateOfThousandsIsQuick(t *testing.T) { // C12
	p := open(t, pool.Config{Workers: 2})
	g := newGate()
	defer close(g.let)
	var last *queue.Future[int]
	for range 10_000 {
		last = run(t, p, g.run)
	}
	from := time.Now()
	p.Terminate()
	if took := time.Since(from); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	wantErr(t, last, queue.ErrTerminated)
}

func TestShutdownWaitsForAll(t *testing.T) { // C13, C15, C16
	p := open(t, pool.Config{Workers: 2}, double.Handler(twice))
	var futures []*queue.Future[int]
	for n := range 1000 {
		futures = append(futures, submit(t, p, double, n))
	}
	if _, err := submit(t, p, double, 1).Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := p.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for n, f := range futures {
		if got, err := f.Result(); got != 2*n || err != nil {
			t.Fatalf("task %d after Shutdown: %d, %v", n, got, err)
		}
	}
}

func TestShutdownCanCancelWhatHasNotStarted(t *testing.T) { // C14
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 5})
		var futures []*queue.Future[int]
		for range 50 {
			futures = append(futures, run(t, p, func(context.Context) (int, error) { time.Sleep(time.Second); return 1, nil }))
		}
		time.Sleep(1500 * time.Millisecond)
		if err := p.Shutdown(t.Context(), pool.CancelPending()); err != nil {
			t.Error(err)
		}
		cancelled, finished := 0, 0
		for _, f := range futures {
			switch _, err := f.Result(); {
			case err == nil:
				finished++
			case errors.Is(err, queue.ErrCancelled) && f.State() == queue.StateCancelled:
				cancelled++
			default:
				t.Error(err)
			}
		}
		if finished != 10 || cancelled != 40 {
			t.Errorf("%d finished, %d cancelled; want 10 and 40", finished, cancelled)
		}
	})
}

func TestAPoolHasAWorker(t *testing.T) { // C18
	for _, n := range []int{0, -1} {
		if _, err := pool.Local(n); !errors.Is(err, queue.ErrOption) {
			t.Errorf("a pool of %d: %v", n, err)
		}
	}
	if _, err := pool.NewLocal(pool.Config{Workers: -1}); !errors.Is(err, queue.ErrOption) {
		t.Errorf("a pool of -1: %v", err)
	}
	if p := open(t, pool.Config{}); p.Workers() != runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers unless told otherwise", p.Workers())
	} else if err := p.Resize(0); !errors.Is(err, queue.ErrOption) {
		t.Errorf("Resize(0): %v", err)
	}
	if _, err := pool.Local(1, double.Handler(nil)); !errors.Is(err, queue.ErrOption) {
		t.Errorf("a route without a handler: %v", err)
	}
}

func TestNoMoreRunAtOnceThanThePoolHasWorkers(t *testing.T) { // C19
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 4})
		var now, most atomic.Int32
		nap := func(context.Context) (int, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return 0, nil
		}
		for _, c := range []struct{ size, rounds int }{{4, 15}, {10, 6}, {2, 30}} {
			if err := p.Resize(c.size); err != nil {
				t.Error(err)
			}
			most.Store(0)
			from := time.Now()
			var futures []*queue.Future[int]
			for range 60 {
				futures = append(futures, run(t, p, nap))
			}
			for _, f := range futures {
				wantValue(t, f, 0)
			}
			synctest.Wait()
			if took := time.Since(from); most.Load() != int32(c.size) || took != time.Duration(c.rounds)*time.Second {
				t.Errorf("%d workers: up to %d at once, 60 tasks took %v", c.size, most.Load(), took)
			}
		}
	})
}

func TestResizeReachesWhatWaits(t *testing.T) {
	p := open(t, pool.Config{Workers: 1})
	g := newGate()
	run(t, p, g.run)
	second := run(t, p, g.run)
	<-g.began
	if err := p.Resize(2); err != nil {
		t.Error(err)
	}
	<-g.began // both run at once
	close(g.let)
	wantValue(t, second, 1)
}

func TestAnIdleWorkerIsUsedAgain(t *testing.T) { // C20, C76
	synctest.Test(t, func(t *testing.T) {
		var workers atomic.Int32
		p := open(t, pool.Config{Workers: 8, Initializer: func(context.Context) error { workers.Add(1); return nil }}, double.Handler(twice))
		for n := range 20 {
			wantValue(t, submit(t, p, double, n), 2*n)
			synctest.Wait()
		}
		if workers.Load() != 1 {
			t.Errorf("%d workers were started for one task after the other", workers.Load())
		}
	})
}

func TestTheInitializerRunsBeforeAWorkersFirstTask(t *testing.T) { // C76
	const n = 3
	var begun atomic.Int32
	p := open(t, pool.Config{Workers: n, Initializer: func(context.Context) error { begun.Add(1); return nil }})
	g := newGate()
	var futures []*queue.Future[int]
	for range 3 * n {
		futures = append(futures, run(t, p, g.run))
	}
	for range n {
		<-g.began
	}
	close(g.let)
	for _, f := range futures {
		wantValue(t, f, 1)
	}
	if begun.Load() != n {
		t.Errorf("the Initializer ran %d times for %d workers", begun.Load(), n)
	}
	wantErr(t, run(t, p, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }), queue.ErrExited)
	for range n { // all workers are needed again, the one in the place of the lost one, too
		run(t, p, func(context.Context) (int, error) {
			g.began <- struct{}{}
			for begun.Load() <= n {
				runtime.Gosched()
			}
			return 0, nil
		})
	}
	p.Close()
	if err := p.Join(t.Context()); err != nil || begun.Load() != n+1 {
		t.Errorf("%v; the Initializer ran %d times for %d workers and one in the place of another", err, begun.Load(), n)
	}
}

func TestAnInitializerThatKeepsFailingBreaksThePool(t *testing.T) { // C77
	boom := errors.New("boom")
	for name, init := range map[string]func() error{
		"an error": func() error { return boom },
		"a panic":  func() error { panic(boom) },
		"Goexit":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int32
				p := open(t, pool.Config{Workers: 1, Initializer: func(context.Context) error { tries.Add(1); return init() }}, double.Handler(twice))
				pending, later := submit(t, p, double, 1), submit(t, p, double, 1, queue.Delay(time.Hour))
				wantErr(t, pending, queue.ErrPoolBroken)
				wantErr(t, later, queue.ErrPoolBroken)
				if _, err := double.Submit(t.Context(), p, 1); !errors.Is(err, queue.ErrPoolBroken) {
					t.Errorf("submit to a broken pool: %v", err)
				}
				if err := p.Shutdown(t.Context()); err != nil || tries.Load() != 3 {
					t.Errorf("Shutdown: %v; the Initializer was tried %d times", err, tries.Load())
				}
			})
		})
	}
}

func TestAnInitializerMayFailNowAndThen(t *testing.T) { // C77
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		p := open(t, pool.Config{Workers: 1, Initializer: func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			return nil
		}}, double.Handler(twice))
		wantValue(t, submit(t, p, double, 4), 8)
	})
}

func TestTerminateEndsAnInitializer(t *testing.T) {
	began := make(chan struct{})
	p := open(t, pool.Config{Workers: 1, Initializer: func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		return context.Cause(ctx)
	}}, double.Handler(twice))
	f := submit(t, p, double, 1)
	<-began
	p.Terminate()
	if err := p.Join(t.Context()); err != nil {
		t.Error(err)
	}
	wantErr(t, f, queue.ErrTerminated)
}
