package queue

import (
	"context"
	"fmt"
	"time"
)

// Handler runs one message and returns its value as bytes. A middleware, a child
// process and a test double are all this one method. It is called concurrently. The
// message is its own until it returns, and another task's afterwards; what the fields
// refer to stays as it is.
type Handler interface {
	Handle(ctx context.Context, m *Message) ([]byte, error)
}

// HandlerFunc is a function that is a [Handler].
type HandlerFunc func(ctx context.Context, m *Message) ([]byte, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) ([]byte, error) { return f(ctx, m) }

// Middleware wraps a handler in another one.
type Middleware func(Handler) Handler

// Route says which handler runs the tasks of one type. [Task.Handler] makes it.
type Route struct {
	Type    string
	Handler Handler

	codec Codec
	forms []errorForm
	nth   func(slice any, i int) (in any, n int, err error) // of the arguments of a chunk that never left the process
	err   error
}

// Mux finds the handler of a task by its type. It does not change once made.
type Mux struct {
	routes map[string]Route
}

// NewMux makes a mux of routes, each wrapped in the middlewares, the first one
// outermost.
func NewMux(routes []Route, mw ...Middleware) (*Mux, error) {
	m := &Mux{routes: make(map[string]Route, len(routes))}
	for _, r := range routes {
		if r.err != nil {
			return nil, r.err
		}
		if err := CheckName("task type", r.Type); err != nil {
			return nil, err
		}
		if r.Handler == nil {
			return nil, fmt.Errorf("%w: the handler of %q is nil", ErrOption, r.Type)
		}
		if _, twice := m.routes[r.Type]; twice {
			return nil, fmt.Errorf("%w: %q has two handlers; keep one", ErrOption, r.Type)
		}
		for i := len(mw) - 1; i >= 0; i-- {
			r.Handler = mw[i](r.Handler)
		}
		m.routes[r.Type] = r
	}
	return m, nil
}

// Types returns the number of task types that have a handler.
func (m *Mux) Types() int { return len(m.routes) }

// Handle runs m with its type's handler, or returns [ErrUnknownType].
func (m *Mux) Handle(ctx context.Context, msg *Message) ([]byte, error) {
	r, ok := m.routes[msg.Type]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownType, msg.Type)
	}
	r.enter(ctx)
	var v []byte
	var err error
	if msg.Items > 0 {
		v, err = runChunk(ctx, r.Handler, msg, r)
	} else {
		v, err = r.Handler.Handle(ctx, msg)
	}
	if err == nil {
		return v, nil
	}
	return nil, AttemptError(ctx, err)
}

// HandleLean is Handle of one of the tasks that share the message msg: the one with
// the argument in. It returns the value as it is. See [LeanExecutor].
func (m *Mux) HandleLean(ctx context.Context, msg *Message, in any) (out any, err error) {
	r, ok := m.routes[msg.Type]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownType, msg.Type)
	}
	r.enter(ctx)
	if h, ok := r.Handler.(leanHandler); ok {
		out, err = h.direct(ctx, msg, in)
	} else { // a middleware, or what is not of a Task, wants to see it all
		own := *msg
		own.ID, own.Direct = FromContext(ctx).ID, &Direct{In: in}
		_, err = r.Handler.Handle(ctx, &own)
		out = own.Direct.Out
	}
	if err == nil {
		return out, nil
	}
	return nil, AttemptError(ctx, err)
}

// leanHandler is a handler that needs no message of its own for each task.
type leanHandler interface {
	direct(ctx context.Context, m *Message, in any) (out any, err error)
}

// enter makes the context that of a handler of r.
func (r *Route) enter(ctx context.Context) {
	if host := hostOf(ctx); host != nil {
		host.codec = r.codec
	}
}

// Failure makes the outcome of msg that ended with err in the given state, in
// the form that the task's definition gives its errors.
func (m *Mux) Failure(msg *Message, s State, attempt int, err error) *Outcome {
	r := m.routes[msg.Type]
	if r.codec == nil {
		r.codec = Msgpack
	}
	return &Outcome{ID: msg.ID, State: s, Attempt: attempt, Codec: r.codec.Name(), Err: newTaskError(r.codec, r.forms, err, attempt)}
}

// Running is what a handler may know about the task it runs.
type Running struct {
	ID      TaskID
	Type    string
	Queue   string
	Attempt int // this attempt, counted from 1
	// Token grows with every failed attempt and every lost worker. A store that
	// remembers the largest token it has seen for a task, and refuses smaller ones,
	// is safe from a worker that lost its lease without noticing. A task that a
	// stopping worker hands back keeps its token.
	Token    uint64
	Headers  map[string]string // not to be changed
	Deadline time.Time         // when the attempt's timeout ends it; zero for none
}

type runningKey struct{}

// HandlerContext is the context of a handler: a context that also carries what the
// handler may know, and its host. [WithRunning] makes one.
type HandlerContext struct {
	context.Context
	running *Running // nil if the host says it, as a [Runner]
	host    Host     // nil if the runner offers nothing
	codec   Codec    // of the task's definition
}

// Runner is a host that says itself what its handler may know. Few ask.
type Runner interface {
	Host
	Running() Running
}

// Value answers for what the handler may know, and leaves the rest to the context
// within.
func (c *HandlerContext) Value(key any) any {
	if _, ok := key.(runningKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// WithRunning returns a context that carries r and what the host offers, which may
// be nil, for those who run handlers.
func WithRunning(ctx context.Context, r Running, host Host) context.Context {
	return &HandlerContext{ctx, &r, host, Msgpack}
}

// Init makes c, a zero HandlerContext that is part of something larger, that of a
// handler of r.
func (c *HandlerContext) Init(ctx context.Context, r Runner) context.Context {
	c.Context, c.host, c.codec = ctx, r, Msgpack
	return c
}

// about is what the handler may know.
func (c *HandlerContext) about() Running {
	if c.running != nil {
		return *c.running
	}
	return c.host.(Runner).Running()
}

// FromContext returns what is known about the task whose handler got ctx. It is
// the zero Running outside a handler.
func FromContext(ctx context.Context) Running {
	if r := hostOf(ctx); r != nil {
		return r.about()
	}
	return Running{}
}
