package pool_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

var double = queue.NewTask[int, int]("double")

func twice(_ context.Context, n int) (int, error) { return 2 * n, nil }

// open makes a pool and ends it with the test.
func open(t testing.TB, cfg pool.Config, routes ...queue.Route) *pool.LocalPool {
	t.Helper()
	p, err := pool.NewLocal(cfg, routes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Terminate()
		if err := p.Join(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// both runs f on a pool that passes values as they are and on a strict one.
func both(t *testing.T, f func(t *testing.T, strict bool)) {
	t.Helper()
	t.Run("direct", func(t *testing.T) { f(t, false) })
	t.Run("strict", func(t *testing.T) { f(t, true) })
}

func submit[In, Out any](t testing.TB, p queue.Executor, task queue.Task[In, Out], in In, opts ...queue.Option) *queue.Future[Out] {
	t.Helper()
	f, err := task.Submit(context.Background(), p, in, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run[T any](t testing.TB, p *pool.LocalPool, f func(ctx context.Context) (T, error)) *queue.Future[T] {
	t.Helper()
	fut, err := pool.Go(context.Background(), p, f)
	if err != nil {
		t.Fatal(err)
	}
	return fut
}

func wantValue[T comparable](t testing.TB, f *queue.Future[T], want T) {
	t.Helper()
	if got, err := f.Get(context.Background()); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func wantErr[T any](t testing.TB, f *queue.Future[T], want error) {
	t.Helper()
	if got, err := f.Get(context.Background()); !errors.Is(err, want) {
		t.Errorf("got %v, %v; want the error %v", got, err, want)
	}
}

// gate is a handler that runs until it is let go.
type gate struct {
	began chan struct{}
	let   chan struct{}
}

func newGate() *gate { return &gate{began: make(chan struct{}, 100_000), let: make(chan struct{})} }

func (g *gate) run(context.Context) (int, error) {
	g.began <- struct{}{}
	<-g.let
	return 1, nil
}
