package run

import (
	"context"
	"runtime/debug"

	"github.com/cenote-go/cenote/queue"
)

// Call runs m with h. However the handler ends, end is called exactly once, with
// its value and error: a panic is a [queue.PanicError], and a handler that ends
// its goroutine with runtime.Goexit is [queue.ErrExited].
func Call(ctx context.Context, h queue.Handler, m *queue.Message, end func(value []byte, err error)) {
	var value []byte
	err := queue.ErrExited
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, &queue.PanicError{Value: p, Stack: debug.Stack()}
		}
		end(value, err)
	}()
	value, err = h.Handle(ctx, m)
}
