package pool

import (
	"context"
	"fmt"

	"github.com/cenote-go/cenote/queue"
)

// closure is the message of all that Go submits, for those who look.
var closure = &queue.Message{Type: "go"}

// call is a function that Go submits, as the handler of its task.
type call[T any] func(ctx context.Context) (T, error)

// Handle calls f. Its value goes straight to where the task's outcome is.
func (f call[T]) Handle(ctx context.Context, _ *queue.Message) ([]byte, error) {
	v, err := f(ctx)
	if err != nil {
		return nil, queue.AttemptError(ctx, err)
	}
	queue.HostOf(ctx).(*turn).task.data = v
	return nil, nil
}

// Go runs f on the pool, once, and returns the future of what it returns. f's
// context is that of a handler; ctx bounds the submission only. Go returns
// [queue.ErrClosed] after the pool was closed and [queue.ErrPoolBroken] if it is
// broken; f does not run then.
func Go[T any](ctx context.Context, p *LocalPool, f func(ctx context.Context) (T, error)) (*queue.Future[T], error) {
	if f == nil {
		return nil, fmt.Errorf("%w: Go of a nil function", queue.ErrOption)
	}
	both := &struct { // one allocation
		task   task
		future queue.Future[T]
	}{task: task{direct: true}}
	both.task.init(p, queue.NewTaskID(0), closure, call[T](f))
	promise, err := p.submit(ctx, &both.task)
	if err != nil {
		return nil, err
	}
	both.future = *queue.FutureOf[T](promise)
	return &both.future, nil
}
