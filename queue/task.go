package queue

import (
	"context"
	"errors"
	"fmt"
)

// DefaultQueue is the queue of tasks that name none.
const DefaultQueue = "default"

// Task is the definition of a task type: its name, the type of its argument,
// the type of its value, its default options. Use struct{} for none. It is made
// once, usually as a package variable that both sides import, and may be used
// concurrently.
type Task[In, Out any] struct {
	settings
	def *definition
}

// definition is what its submissions and futures need of a task, made once for all
// of them.
type definition struct {
	name  string
	codec Codec
	forms []errorForm
	msg   *Message // for a [LeanExecutor]; nil if each submission needs its own
}

func (s *settings) define() *definition {
	d := &definition{name: s.msg.Type, codec: s.codec, forms: s.forms}
	if s.err == nil && s.msg.check() == nil && !s.msg.Stream && s.msg.Key == "" && s.common == nil {
		m := s.msg
		d.msg = &m
	}
	return d
}

// NewTask defines a task type. What is wrong with the name or the options is
// reported by the first verb, or by whoever takes the task's handler.
func NewTask[In, Out any](name string, opts ...Option) Task[In, Out] {
	t := Task[In, Out]{settings: settings{msg: Message{Type: name, Queue: DefaultQueue}, codec: Msgpack}}
	if err := CheckName("task type", name); err != nil {
		t.fail(err)
	}
	for _, o := range opts {
		o(&t.settings)
	}
	t.def = t.define()
	return t
}

// Name is the task type's name.
func (t Task[In, Out]) Name() string { return t.msg.Type }

// Handler makes the route that runs the task with f. The errors that f returns
// are tried again as the task's [Retries] allow, unless f says otherwise with
// [NoRetry] or [RetryAfter]. f is called concurrently, and its context is
// cancelled, with a cause, when the attempt must end.
func (t Task[In, Out]) Handler(f func(ctx context.Context, in In) (Out, error)) Route {
	codec := t.codec
	r := Route{Type: t.msg.Type, codec: codec, forms: t.forms, err: t.err, nth: nth[In]}
	if f == nil {
		return r
	}
	r.Handler = &typed[In, Out]{f: f, codec: codec}
	return r
}

func codecName(s string) string {
	if s == "" {
		return "msgpack"
	}
	return s
}

// message makes the message of one submission to x. It is the edge at which the
// argument's type becomes bytes.
func (t *Task[In, Out]) message(ctx context.Context, x Executor, in In, opts []Option) (*Message, error) {
	m, codec, err := t.outline(ctx, x, opts)
	if err != nil {
		return nil, err
	}
	if m.Direct != nil {
		m.Direct.In = in
		return m, nil
	}
	m.Payload, err = encodeOf(nil, codec, "argument", &in)
	return m, err
}

// outline is a message without its argument.
func (t *Task[In, Out]) outline(ctx context.Context, x Executor, opts []Option) (*Message, Codec, error) {
	var m *Message
	codec, common, err := t.codec, t.common, t.err
	if len(opts) == 0 { // the usual case takes no more than the message itself
		plain := t.msg
		m = &plain
	} else {
		s := t.settings
		for _, o := range opts {
			o(&s)
		}
		m, codec, common, err = &s.msg, s.codec, s.common, s.err
	}
	if err != nil {
		return nil, nil, err
	}
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	if m.Stream && m.Group == "" {
		m.NoReply = true
	}
	if m.Key != "" && m.Keep == 0 {
		m.Keep = DefaultKeyKeep
	}
	if d, ok := x.(DirectExecutor); ok && d.Direct() {
		m.Direct = &Direct{}
	}
	if common != nil {
		if m.Direct != nil {
			m.Direct.Common = common.value
		} else if m.Common, err = common.share(ctx, x, m.Queue, codec); err != nil {
			return nil, nil, err
		}
	}
	return m, codec, nil
}

// Submit sends one task to x and returns its future.
//
// A nil error means that x has accepted the task: with a producer.Client it is
// stored in Redis and survives this process. A non-nil error means that it was
// not accepted, except that a timeout may hide an acceptance; submitting again
// with the same [ID] is then safe. ctx bounds the submission, not the task.
//
// With a producer.Client, a deadline of ctx is kept whether Redis answers or not.
// A cancellation without one may have to wait for the Redis client's read timeout
// (3 seconds unless set) if Redis hangs at that moment.
func (t Task[In, Out]) Submit(ctx context.Context, x Executor, in In, opts ...Option) (*Future[Out], error) {
	if p, done, err := t.lean(ctx, x, in, opts); done {
		if err != nil {
			return nil, err
		}
		return t.future(p), nil
	}
	m, err := t.message(ctx, x, in, opts)
	if err != nil {
		return nil, err
	}
	p, err := x.Submit(ctx, m)
	if err != nil {
		return nil, err
	}
	return t.future(p), nil
}

// lean submits in with the message that all submissions share, if that will do.
func (t *Task[In, Out]) lean(ctx context.Context, x Executor, in In, opts []Option) (p *Promise, done bool, err error) {
	if len(opts) > 0 || t.def == nil || t.def.msg == nil {
		return nil, false, nil
	}
	l, ok := x.(LeanExecutor)
	if !ok || !l.Direct() {
		return nil, false, nil
	}
	p, err = l.SubmitLean(ctx, t.def.msg, in)
	return p, true, err
}

// SubmitAll sends many tasks at once. The future at a position is nil exactly
// if that task was not accepted; the error is then a [*BulkError] that says
// why. ctx bounds the submission.
func (t Task[In, Out]) SubmitAll(ctx context.Context, x Executor, ins []In, opts ...Option) ([]*Future[Out], error) {
	bulk := BulkError{Total: len(ins), Errs: map[int]error{}}
	futures := make([]*Future[Out], len(ins))
	ms := make([]*Message, 0, len(ins))
	at := make([]int, 0, len(ins))
	for i, in := range ins {
		m, err := t.message(ctx, x, in, opts)
		if err != nil {
			bulk.Errs[i] = err
			continue
		}
		ms, at = append(ms, m), append(at, i)
	}
	promises, errs := x.SubmitAll(ctx, ms)
	for k, i := range at {
		if promises[k] == nil {
			bulk.Errs[i] = errs[k]
			continue
		}
		futures[i] = t.future(promises[k])
	}
	if len(bulk.Errs) > 0 {
		return futures, &bulk
	}
	return futures, nil
}

// Call submits the task and waits for its value: Submit and Get in one.
func (t Task[In, Out]) Call(ctx context.Context, x Executor, in In, opts ...Option) (Out, error) {
	f, err := t.Submit(ctx, x, in, opts...)
	if err != nil {
		var zero Out
		return zero, err
	}
	return f.Get(ctx)
}

// Open returns the future of a task that was submitted before, maybe by another
// process, to the task's queue or the one that opts name. The outcome of a task
// that has finished is there only if it was submitted with [Keep] or [ID].
func (t Task[In, Out]) Open(ctx context.Context, x Executor, id TaskID, opts ...Option) (*Future[Out], error) {
	s := t.settings
	for _, o := range opts {
		o(&s)
	}
	if s.err != nil {
		return nil, s.err
	}
	if id.IsZero() {
		return nil, fmt.Errorf("%w: the zero id", ErrTaskID)
	}
	s.msg.ID = id
	p, err := x.Open(ctx, &s.msg)
	if err != nil {
		return nil, err
	}
	return t.future(p), nil
}

// maxHeaders bounds a task's metadata by number; its size counts as part of the
// message.
const maxHeaders = 1000

// check refuses options that contradict each other.
func (m *Message) check() error {
	switch {
	case m.Stream && m.Priority != Normal:
		return fmt.Errorf("%w: a stream keeps the order of its tasks; Prioritized is for list queues", ErrOption)
	case m.Stream && m.Expire > 0:
		return fmt.Errorf("%w: Expire is for list queues; a stream's tasks live as long as its retention", ErrOption)
	case m.Stream && m.Linked:
		return fmt.Errorf("%w: Linked is for list queues; a stream's tasks are every group's", ErrOption)
	case !m.Stream && m.Group != "":
		return fmt.Errorf("%w: ReplyFrom names a consumer group, which only a stream has; put the task on one with OnStream", ErrOption)
	case len(m.Headers) > maxHeaders:
		return fmt.Errorf("%w: %d headers; the limit is %d", ErrOption, len(m.Headers), maxHeaders)
	}
	return nil
}

func (t *Task[In, Out]) future(p *Promise) *Future[Out] {
	return &Future[Out]{p: p, def: t.def}
}

// Future is the value of a task that may not have come yet. Giving up a wait
// never gives up the task. Its methods may be called concurrently.
type Future[Out any] struct {
	p   *Promise
	def *definition // its name is "" if there is no task
}

// ID is the task's id, good for [Task.Open] in any process.
func (f *Future[Out]) ID() TaskID { return f.p.ID() }

// Done returns a channel that is closed when the future has its value or error.
func (f *Future[Out]) Done() <-chan struct{} { return f.p.Done() }

// Get waits for the value until ctx is done.
//
// If the task failed, the error is a [*TaskError]. If ctx ended first, it is
// [ErrNotReady] and what ended ctx, and Get may be called again. Otherwise the
// outcome cannot be had: [ErrNoReply], [ErrResultExpired], [ErrClosed],
// [ErrDecode], or [ErrTaskMismatch] if the id is that of a task of another type.
func (f *Future[Out]) Get(ctx context.Context) (Out, error) {
	if err := f.p.await(ctx); err != nil {
		var zero Out
		return zero, err
	}
	return f.Result()
}

// Result is Get without the wait: before the future is done its error is
// [ErrNotReady].
func (f *Future[Out]) Result() (Out, error) {
	if v, ok := f.p.direct(); ok {
		return f.cast(v)
	}
	var zero Out
	o, err, ok := f.p.Outcome()
	switch {
	case !ok:
		return zero, fmt.Errorf("%w: %s", ErrNotReady, f.p.ID())
	case err != nil:
		return zero, err
	}
	return f.value(o)
}

// Err is the error of Result.
func (f *Future[Out]) Err() error {
	_, err := f.Result()
	return err
}

// State is how the task ended, or [StateUnknown] as long as this process has
// not heard.
func (f *Future[Out]) State() State {
	o, _, _ := f.p.Outcome()
	if o == nil {
		return StateUnknown
	}
	return o.State
}

// OnDone calls fn with the value or error when the future is done, at once if
// it already is. Callbacks of one future run one after the other, in the order
// of their registration, in a goroutine that delays no other future. stop
// prevents a callback that has not begun and reports whether it did.
func (f *Future[Out]) OnDone(fn func(Out, error)) (stop func() bool) {
	return f.p.OnDone(func() { fn(f.Result()) })
}

// cast is value for what never left the process.
func (f *Future[Out]) cast(v any) (Out, error) {
	out, ok := v.(Out)
	if !ok && v != nil { // nil is the zero of an interface type
		return out, fmt.Errorf("%w: the value is a %T, this program's definition says %T", ErrTaskMismatch, v, out)
	}
	return out, nil
}

// value is the edge at which bytes become the value's type.
func (f *Future[Out]) value(o *Outcome) (Out, error) {
	var out Out
	if o.Type != "" && f.def.name != "" && o.Type != f.def.name {
		return out, fmt.Errorf("%w: %s is the id of a %q, it was opened as a %q", ErrTaskMismatch, o.ID, o.Type, f.def.name)
	}
	if o.Cause != nil {
		return out, o.Cause
	}
	if o.Direct == (directNil{}) {
		return out, nil
	}
	if o.Direct != nil && o.Err == nil {
		return f.cast(o.Direct)
	}
	if o.Err != nil {
		return out, o.Err.resolve(f.def.codec, f.def.forms)
	}
	if o.State != StateSucceeded {
		return out, fmt.Errorf("%w: task %s ended as %s without saying why", ErrMalformed, o.ID, o.State)
	}
	if o.Codec != f.def.codec.Name() {
		return out, fmt.Errorf("%w: the value is encoded as %q, this program's definition says %q", ErrDecode, codecName(o.Codec), codecName(f.def.codec.Name()))
	}
	out, err := decodeOf[Out](f.def.codec, "value", o.Value)
	if err != nil {
		var zero Out
		return zero, err
	}
	return out, nil
}

// IsTaskError reports whether err is how the task itself ended, as opposed to
// how waiting for it did.
func IsTaskError(err error) bool {
	_, ok := errors.AsType[*TaskError](err)
	return ok
}
