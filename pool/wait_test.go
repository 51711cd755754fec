package pool_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func TestAWaitThatCouldNeverEndIsRefused(t *testing.T) { // C100
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 2}, double.Handler(twice))
		child := func(ctx context.Context) (int, error) {
			time.Sleep(time.Second) // both workers are taken by now
			return double.Call(ctx, p, 4)
		}
		a, b := run(t, p, child), run(t, p, child)
		_, errA := a.Get(t.Context())
		_, errB := b.Get(t.Context())
		if (errA == nil) == (errB == nil) || !errors.Is(errors.Join(errA, errB), queue.ErrWouldDeadlock) {
			t.Errorf("one of two may wait, the other must not: %v, %v", errA, errB)
		}
		one := open(t, pool.Config{Workers: 1}, double.Handler(twice))
		wantErr(t, run(t, one, func(ctx context.Context) (int, error) { return double.Call(ctx, one, 4) }), queue.ErrWouldDeadlock)
		wantValue(t, run(t, one, func(ctx context.Context) (int, error) { return double.Call(ctx, p, 4) }), 8) // another pool's
		self := make(chan *queue.Future[int], 1)
		f := run(t, p, func(ctx context.Context) (int, error) { return (<-self).Get(ctx) })
		self <- f
		wantErr(t, f, queue.ErrWouldDeadlock)
	})
}

func TestTheSlotOfAWaitIsCountedOnce(t *testing.T) { // C100
	p := open(t, pool.Config{Workers: 2}, double.Handler(twice))
	wantValue(t, run(t, p, func(ctx context.Context) (int, error) {
		var all sync.WaitGroup
		for range 20 { // many waits of one handler still leave the other worker
			all.Go(func() {
				if v, err := double.Call(ctx, p, 2); v != 4 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		all.Wait()
		return 1, nil
	}), 1)
}

func TestAsideLendsTheSlot(t *testing.T) {
	for _, n := range []int{1, 3} {
		p := open(t, pool.Config{Workers: n})
		var tree func(depth int) func(ctx context.Context) (int, error)
		tree = func(depth int) func(ctx context.Context) (int, error) {
			return func(ctx context.Context) (sum int, err error) {
				if depth == 0 {
					return 1, nil
				}
				err = queue.Aside(ctx, func() error {
					var parts [2]*queue.Future[int]
					for i := range parts {
						f, err := pool.Go(ctx, p, tree(depth-1))
						if err != nil {
							return err
						}
						parts[i] = f
					}
					for _, f := range parts {
						v, err := f.Get(ctx)
						if err != nil {
							return err
						}
						sum += v
					}
					return nil
				})
				return sum, err
			}
		}
		wantValue(t, run(t, p, tree(7)), 128)
	}
}

func TestAsideComesBackToASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		g := newGate()
		out, back := make(chan struct{}), make(chan struct{})
		f := run(t, p, func(ctx context.Context) (int, error) {
			err := queue.Aside(ctx, func() error { close(out); <-g.began; return nil })
			close(back)
			return 5, err
		})
		<-out
		other := run(t, p, g.run)
		synctest.Wait()
		select {
		case <-back:
			t.Error("two run at once on one worker")
		default:
		}
		third := run(t, p, func(context.Context) (int, error) {
			select {
			case <-back:
			default:
				t.Error("a task that had not begun went before the one that comes back")
			}
			return 1, nil
		})
		close(g.let)
		wantValue(t, f, 5)
		wantValue(t, other, 1)
		wantValue(t, third, 1)
	})
}

func TestAsideSurvivesWhatHappensInIt(t *testing.T) {
	p := open(t, pool.Config{Workers: 1})
	for name, f := range map[string]func() error{
		"a panic": func() error { panic("boom") },
		"Goexit":  func() error { runtime.Goexit(); return nil },
	} {
		fut := run(t, p, func(ctx context.Context) (int, error) { return 0, queue.Aside(ctx, f) })
		if _, err := fut.Get(t.Context()); !errors.Is(err, queue.ErrPanic) && !errors.Is(err, queue.ErrExited) {
			t.Errorf("%s: %v", name, err)
		}
		wantValue(t, run(t, p, func(context.Context) (int, error) { return 1, nil }), 1)
	}
}

func TestAGoroutineLeftBehindInAsideNeitherKeepsNorCostsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		let, out, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
		wantValue(t, run(t, p, func(ctx context.Context) (int, error) {
			go func() {
				defer close(gone)
				_ = queue.Aside(ctx, func() error { close(out); <-let; return nil })
			}()
			<-out
			return 2, nil
		}), 2)
		for range 2 { // with it, and without it
			g := newGate()
			a, b := run(t, p, g.run), run(t, p, g.run)
			synctest.Wait()
			if n := len(g.began); n != 1 {
				t.Errorf("%d run at once on one worker", n)
			}
			close(g.let)
			wantValue(t, a, 1)
			wantValue(t, b, 1)
			if let != nil {
				close(let)
				<-gone
				let = nil
			}
		}
	})
}

func TestOneThatStepsAsideLetsAnotherComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		out, back := make(chan struct{}), make(chan struct{})
		a := run(t, p, func(ctx context.Context) (int, error) {
			return 1, queue.Aside(ctx, func() error { close(out); <-back; return nil })
		})
		<-out
		b := run(t, p, func(ctx context.Context) (int, error) {
			close(back)
			time.Sleep(time.Second) // the first one wants its slot by now
			return 2, queue.Aside(ctx, func() error { _, err := a.Get(ctx); return err })
		})
		wantValue(t, b, 2)
	})
}

func TestWorkersThatStoodInGoHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 2})
		synctest.Wait()
		before := runtime.NumGoroutine()
		let := make(chan struct{})
		for range 50 {
			run(t, p, func(ctx context.Context) (int, error) { return 1, queue.Aside(ctx, func() error { <-let; return nil }) })
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n < 40 { // those of the runtime come and go
			t.Fatalf("%d goroutines for 50 that are aside", n)
		}
		close(let)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 10 {
			t.Errorf("%d goroutines are left of a pool of 2 that has nothing to do", n)
		}
	})
}

func TestAShrunkPoolOfWaitersGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 3}, double.Handler(twice))
		g := newGate()
		run(t, p, g.run)
		var waiters []*queue.Future[int]
		for range 2 {
			waiters = append(waiters, run(t, p, func(ctx context.Context) (int, error) { return double.Call(ctx, p, 1) }))
			synctest.Wait()
		}
		if err := p.Resize(1); err != nil {
			t.Error(err)
		}
		close(g.let)
		for _, f := range waiters {
			wantValue(t, f, 2)
		}
	})
}

func TestTerminateFreesWhoComesBackFromAside(t *testing.T) {
	p := open(t, pool.Config{Workers: 1})
	g := newGate()
	out, ended := make(chan struct{}), make(chan struct{})
	f := run(t, p, func(ctx context.Context) (int, error) {
		defer close(ended)
		return 0, queue.Aside(ctx, func() error { close(out); <-ctx.Done(); return context.Cause(ctx) })
	})
	<-out
	run(t, p, g.run)
	<-g.began
	p.Terminate()
	<-ended // while another one still has the only slot
	wantErr(t, f, queue.ErrTerminated)
	close(g.let)
}
