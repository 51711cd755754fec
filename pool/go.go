package pool

import (
	"context"
	"fmt"

	"github.com/cenote-go/cenote/queue"
)

// closures runs what Go submits.
var closures = func() *queue.Mux {
	mux, err := queue.NewMux([]queue.Route{{Type: closure, Handler: queue.HandlerFunc(
		func(ctx context.Context, m *queue.Message) ([]byte, error) {
			out, err := m.Direct.In.(func(context.Context) (any, error))(ctx)
			m.Direct.Out = out
			return nil, err
		})}})
	if err != nil {
		panic(err) // the name is a constant
	}
	return mux
}()

// closure is the task type of what Go submits, for those who look.
const closure = "go"

// Go runs f on the pool, once, and returns the future of what it returns. f's
// context is that of a handler; ctx bounds the submission only. Go returns
// [queue.ErrClosed] after the pool was closed and [queue.ErrPoolBroken] if it is
// broken; f does not run then.
func Go[T any](ctx context.Context, p *LocalPool, f func(ctx context.Context) (T, error)) (*queue.Future[T], error) {
	if f == nil {
		return nil, fmt.Errorf("%w: Go of a nil function", queue.ErrOption)
	}
	m := &queue.Message{Type: closure, Direct: &queue.Direct{
		In: func(ctx context.Context) (any, error) { return f(ctx) },
	}}
	promise, err := p.submit(ctx, m, closures)
	if err != nil {
		return nil, err
	}
	return queue.FutureOf[T](promise), nil
}
