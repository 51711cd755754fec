package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Promise is the outcome of a task that may not have come yet. An [Executor]
// makes and resolves it; callers see it as a [Future]. Its methods may be
// called concurrently.
type Promise struct {
	id      TaskID
	queue   string // where the task is
	group   string
	control Control // nil if the executor has none

	how     atomic.Uint32 // it was settled; set last, and then nothing of the end changes
	attempt int32         // of a direct end
	end     any           // the *Outcome; or why it cannot be had; or of a direct end the value

	mu     sync.Mutex
	done   chan struct{} // made when somebody asks for it
	guests *guests       // made when the first comes: a pool has many promises, few with any
}

// How a promise may be settled.
const (
	pending  = iota
	resolved // with an outcome
	failed   // the outcome cannot be had
	direct   // with a value that never left the process: an outcome is made for who asks
)

// guests are those who are called when something happens. They are under the
// promise's mu.
type guests struct {
	ears  map[int]func(Event) // who listens to what the handler says
	ear   int                 // the last one's number
	after []*callback         // in the order of registration
	busy  bool                // a goroutine is running the callbacks
	watch func(*Promise)      // see Watch; nil if nobody does
}

// welcome returns the promise's guests, to add one. p.mu is held.
func (p *Promise) welcome() *guests {
	if p.guests == nil {
		p.guests = &guests{}
	}
	return p.guests
}

// callback runs once unless stopped.
type callback struct {
	run     func()
	stopped bool
}

// NewPromise makes the promise of the task id. [Promise.Controlled] makes it one
// whose task can be cancelled.
func NewPromise(id TaskID) *Promise { return new(Promise).Init(id) }

// Init is NewPromise for a zero Promise that is part of something larger, where it
// costs no allocation of its own.
func (p *Promise) Init(id TaskID) *Promise {
	p.id = id
	return p
}

// Controlled says who cancels and forgets the promise's task, and where that is. It
// is called before anybody else has the promise.
func (p *Promise) Controlled(c Control, queue, group string) *Promise {
	p.control, p.queue, p.group = c, queue, group
	return p
}

// Control is who cancels and forgets the promise's task; nil if nobody does.
func (p *Promise) Control() Control { return p.control }

// Queue is the queue of the task, and Group the consumer group whose outcome is
// meant, as [Promise.Controlled] said.
func (p *Promise) Queue() string { return p.queue }

// Group is the consumer group whose outcome is meant; "" for a list queue.
func (p *Promise) Group() string { return p.group }

// Emit passes on what the task's handler says.
func (p *Promise) Emit(e Event) {
	p.mu.Lock()
	var ears []func(Event)
	if p.guests != nil {
		for _, f := range p.guests.ears {
			ears = append(ears, f)
		}
	}
	p.mu.Unlock()
	for _, f := range ears {
		f(e)
	}
}

// listen calls f, which must not block, with all that is said from now on.
func (p *Promise) listen(f func(Event)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.welcome()
	if g.ears == nil {
		g.ears = map[int]func(Event){}
	}
	g.ear++
	n := g.ear
	g.ears[n] = f
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(g.ears, n)
	}
}

// FailedPromise makes a promise whose outcome cannot be had, for the reason err.
func FailedPromise(id TaskID, err error) *Promise {
	p := &Promise{id: id, end: err}
	p.how.Store(failed)
	return p
}

// ID is the task's id.
func (p *Promise) ID() TaskID { return p.id }

// Resolve sets the outcome. The first call of Resolve, ResolveDirect or Fail wins and
// returns true.
func (p *Promise) Resolve(o *Outcome) bool { return p.settle(resolved, 0, o) }

// ResolveDirect is Resolve for a task that never left the process and whose given
// attempt succeeded with the value v.
func (p *Promise) ResolveDirect(attempt int, v any) bool {
	return p.settle(direct, int32(attempt), v) //nolint:gosec // a count
}

// Fail says that the outcome cannot be had. The task itself may be well.
func (p *Promise) Fail(err error) bool { return p.settle(failed, 0, err) }

func (p *Promise) settle(how uint32, attempt int32, end any) bool {
	p.mu.Lock()
	if p.settled() {
		p.mu.Unlock()
		return false
	}
	p.attempt, p.end = attempt, end
	p.how.Store(how)
	if p.done != nil {
		close(p.done)
	}
	var watch func(*Promise)
	if g := p.guests; g != nil {
		p.runAfter()
		watch, g.watch = g.watch, nil
	}
	p.mu.Unlock()
	if watch != nil {
		watch(p)
	}
	return true
}

// Watch is OnDone for executors that keep books of their promises: f is called
// with the promise, once, by whoever settles it. That costs no goroutine, so f must
// neither block nor call an executor. Watch returns false if the promise is settled
// already, and f is not called then.
func (p *Promise) Watch(f func(*Promise)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled() {
		return false
	}
	g := p.welcome()
	if first := g.watch; first != nil {
		g.watch = func(p *Promise) { first(p); f(p) }
	} else {
		g.watch = f
	}
	return true
}

func (p *Promise) settled() bool { return p.how.Load() != pending }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done returns a channel that is closed when the outcome is there or is known
// not to come.
func (p *Promise) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled() {
		return closed
	}
	if p.done == nil {
		p.done = make(chan struct{})
	}
	return p.done
}

// Outcome returns what the promise was settled with; ok is false before that.
func (p *Promise) Outcome() (o *Outcome, err error, ok bool) {
	switch p.how.Load() {
	case resolved:
		return p.end.(*Outcome), nil, true
	case failed:
		return nil, p.end.(error), true
	case direct:
		return directOutcome(p.id, int(p.attempt), p.end), nil, true
	}
	return nil, nil, false
}

// direct returns the value of a task that never left the process, if it has succeeded.
func (p *Promise) direct() (v any, ok bool) {
	if p.how.Load() != direct {
		return nil, false
	}
	return p.end, true
}

// Wait waits for the outcome until ctx is done. A wait that ctx ends returns an
// error that is both [ErrNotReady] and what ended ctx; the task goes on.
func (p *Promise) Wait(ctx context.Context) (*Outcome, error) {
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	o, err, _ := p.Outcome()
	return o, err
}

// await is Wait without the outcome.
func (p *Promise) await(ctx context.Context) error {
	if p.settled() {
		return nil
	}
	release, err := hold(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		if p.settled() {
			return nil
		}
		return &waitError{id: p.id, cause: ctx.Err()}
	}
}

type waitError struct {
	id    TaskID
	cause error
}

func (e *waitError) Error() string {
	return fmt.Sprintf("%v: stopped waiting for %s: %v; it goes on, wait again", ErrNotReady, e.id, e.cause)
}

func (e *waitError) Unwrap() []error { return []error{ErrNotReady, e.cause} }

// OnDone calls f, in a goroutine of its own, when the promise is settled, at
// once if it already is. The callbacks of one promise run one after the other
// in the order of their registration. stop prevents a callback that has not
// begun and reports whether it did.
func (p *Promise) OnDone(f func()) (stop func() bool) {
	c := &callback{run: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.welcome()
	g.after = append(g.after, c)
	if p.settled() {
		p.runAfter()
	}
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		stopped := c.run != nil && !c.stopped
		c.stopped = true
		return stopped
	}
}

// runAfter starts the goroutine that runs the callbacks, unless it runs
// already. There are guests, and p.mu is held.
func (p *Promise) runAfter() {
	if p.guests.busy || len(p.guests.after) == 0 {
		return
	}
	p.guests.busy = true
	go p.callBack()
}

// callBack runs the callbacks. One that panics or ends its goroutine does not keep
// the others from running.
func (p *Promise) callBack() {
	over := false
	defer func() {
		if v := recover(); v != nil {
			slog.Error("cenote: a callback panicked", "task_id", p.id.String(), "panic", v, "stack", string(debug.Stack()))
		}
		if !over {
			go p.callBack()
		}
	}()
	for {
		f := p.nextCallback()
		if f == nil {
			over = true
			return
		}
		f()
	}
}

func (p *Promise) nextCallback() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.guests
	for len(g.after) > 0 {
		c := g.after[0]
		g.after = g.after[1:]
		if c.stopped {
			continue
		}
		f := c.run
		c.run = nil
		return f
	}
	g.after, g.busy = nil, false
	return nil
}

// IsWait reports whether err says that a wait ended before the task did.
func IsWait(err error) bool { return errors.Is(err, ErrNotReady) }
