package queue

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Host is what runs handlers, as they may call on it through their context; see
// [Progress], [Logf], [Common], [Aside]. Its methods are called concurrently.
type Host interface {
	// Emit passes an event on to whoever waits for the task. It does not block.
	Emit(e Event)

	// Common returns the argument that the task shares with others, made by load
	// from the bytes that the sharer stored, or as it is if it never left the
	// process. The host may keep what load made for the next task.
	Common(ctx context.Context, load func(data []byte) (any, error)) (any, error)

	// Recall returns what Record has stored of this task in an earlier delivery.
	// Record adds to it; a worker that has lost the task records nothing.
	Recall(ctx context.Context) ([]byte, error)
	Record(ctx context.Context, part []byte) error

	// Wait is called before the handler waits for p, and done when it has. An error,
	// [ErrWouldDeadlock], forbids the wait.
	Wait(p *Promise) (done func(), err error)

	// Aside lets another task have the handler's slot while f runs, and returns when
	// f has returned and the handler has a slot again.
	Aside(f func())
}

func hostOf(ctx context.Context) *HandlerContext {
	r, _ := ctx.Value(runningKey{}).(*HandlerContext)
	return r
}

// HostOf returns the host of the handler that got ctx. It is nil outside a handler.
func HostOf(ctx context.Context) Host {
	if r := hostOf(ctx); r != nil {
		return r.host
	}
	return nil
}

// Aside runs f and lets another task have the handler's slot meanwhile: for a
// handler that has to wait for other tasks of its own pool. It returns what f
// returned, once the handler has a slot again. Outside a handler it is f.
func Aside(ctx context.Context, f func() error) error {
	r := hostOf(ctx)
	if r == nil || r.host == nil {
		return f()
	}
	var err error
	r.host.Aside(func() { err = f() })
	return err
}

// commonArg is a value that many tasks share.
type commonArg struct {
	value any

	mu  sync.Mutex
	at  sharedAt // where it was stored last
	ref string   // and what it is called there; "" if nowhere
}

// sharedAt is where a common argument was stored, and until when that is good.
type sharedAt struct {
	x     Executor
	queue string
	codec string
	hour  int64
}

// share stores the argument over x, unless that was done a short while ago.
func (c *commonArg) share(ctx context.Context, x Executor, queue string, codec Codec) (string, error) {
	s, ok := x.(Sharer)
	if !ok {
		return "", fmt.Errorf("%w: this executor has no common arguments (Sharing)", ErrOption)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := sharedAt{x, queue, codec.Name(), time.Now().Unix() / 3600}
	if c.ref != "" && c.at == at {
		return c.ref, nil
	}
	data, err := encode(codec, "common argument", c.value)
	if err != nil {
		return "", err
	}
	ref, err := s.Share(ctx, queue, data)
	if err != nil {
		return "", err
	}
	c.at, c.ref = at, ref
	return ref, nil
}

// Sharing gives the tasks a second argument that they all share, such as the
// model or the table that every item of a [Task.Map] needs: it travels once, however
// many tasks use it, and a worker fetches and decodes it once. Handlers get it
// with [Common], and must not change it. It is kept for a day after the last
// submission with it.
func Sharing(value any) Option {
	c := &commonArg{value: value} // one for all tasks that the option is given for
	return func(s *settings) { s.common = c }
}

// Common returns the argument that the task was submitted with by [Sharing].
func Common[T any](ctx context.Context) (T, error) {
	var zero T
	r := hostOf(ctx)
	if r == nil || r.host == nil {
		return zero, fmt.Errorf("%w: Common is for handlers", ErrOption)
	}
	v, err := r.host.Common(ctx, func(data []byte) (any, error) {
		var t T
		err := decode(r.codec, "common argument", data, &t)
		return t, err
	})
	if err != nil {
		return zero, err
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("%w: the common argument is a %T, the handler asks for a %T", ErrTaskMismatch, v, zero)
	}
	return t, nil
}

// Sharer is an executor over which a common argument travels. Others get it as
// it is, in [Direct].
type Sharer interface {
	// Share stores data for the tasks of a queue and returns what to call it in
	// their messages. Storing the same again is cheap.
	Share(ctx context.Context, queue string, data []byte) (ref string, err error)
}
