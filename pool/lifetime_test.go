package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func TestAHandlersContextIsOneWheneverItIsAsked(t *testing.T) { // C47
	for how, ask := range map[string]func(ctx context.Context){
		"never":   func(context.Context) {},
		"Err":     func(ctx context.Context) { _ = ctx.Err() },
		"Done":    func(ctx context.Context) { ctx.Done() },
		"a value": func(ctx context.Context) { ctx.Value(name("x")) },
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, pool.Config{Workers: 1})
				var left context.Context
				f := run(t, p, func(ctx context.Context) (int, error) {
					left = ctx
					ask(ctx)
					if _, limited := ctx.Deadline(); limited || ctx.Err() != nil || context.Cause(ctx) != nil || ctx.Value(name("x")) != nil {
						t.Errorf("before: %v, %v", ctx.Err(), context.Cause(ctx))
					}
					time.Sleep(time.Second)
					return 1, wantEnded(t, ctx, queue.ErrCancelled)
				})
				synctest.Wait()
				if _, err := f.Cancel(t.Context(), queue.Interrupt()); err != nil {
					t.Error(err)
				}
				wantErr(t, f, queue.ErrCancelled)
				_ = wantEnded(t, left, queue.ErrCancelled)
				wantValue(t, run(t, p, func(ctx context.Context) (int, error) { left = ctx; ask(ctx); return 2, nil }), 2)
				synctest.Wait()
				_ = wantEnded(t, left, context.Canceled) // also for what the handler has left behind
			})
		})
	}
}

type name string

// wantEnded looks at a context that is done, and at one that is made of it.
func wantEnded(t *testing.T, ctx context.Context, cause error) error {
	t.Helper()
	child, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for _, c := range []context.Context{ctx, child} {
		<-c.Done()
		if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), cause) {
			t.Errorf("%v, because %v; want the cause %v", c.Err(), context.Cause(c), cause)
		}
	}
	return ctx.Err()
}

func TestWhatIsMadeOfAHandlersContextEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		called := make(chan error, 1)
		f := run(t, p, func(ctx context.Context) (int, error) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			context.AfterFunc(ctx, func() { called <- context.Cause(ctx) })
			<-child.Done()
			return 0, context.Cause(child)
		})
		synctest.Wait()
		p.Terminate()
		wantErr(t, f, queue.ErrTerminated)
		if err := <-called; !errors.Is(err, queue.ErrTerminated) {
			t.Errorf("AfterFunc: %v", err)
		}
	})
}
