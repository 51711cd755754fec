package pool

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// ProcessConfig is what a pool of child processes is made of. The zero value is good.
type ProcessConfig struct {
	// Workers is how many tasks run at once, each in a child of its own. Default: GOMAXPROCS.
	Workers int

	// Initializer runs in every child before its first task. It is called in the child:
	// a program that calls [NewChild] gives it there. If children do not start three
	// times in a row the pool is broken, with [queue.ErrPoolBroken]. Default: none.
	Initializer func(ctx context.Context) error

	// MaxTasks is after how many tasks a child is replaced by a fresh one. Default: 0,
	// never.
	MaxTasks int

	// MaxLifetime is how old a child gets: it is replaced after the task that it runs
	// then. Default: 0, for ever.
	MaxLifetime time.Duration

	// MaxMemory is how much memory in bytes a child may use. One that has more after a
	// task is replaced, one that has twice as much is killed, and its task ends with
	// [queue.ErrOutOfMemory]. It is looked at every 100 ms, without what the child has
	// started; Cgroup is stricter. The child's garbage collector works towards nine
	// tenths of it (GOMEMLIMIT). Linux only. Default: 0, no limit.
	MaxMemory int64

	// Cgroup is a directory of the cgroup v2 hierarchy that is the pool's to use. With it the
	// kernel holds each child, together with what it has started, to MaxMemory: it
	// kills them before they have more, and the task ends with [queue.ErrOutOfMemory]. A child
	// is replaced after a task that leaves them with more than 95 % of it. What a child has
	// started ends with it, wherever it went. One that cannot be used is an error that
	// says what to do. Default: the group of this process, if that is the root of the
	// hierarchy or has groups with memory limits already, and this user may make more; else none.
	Cgroup string

	// MaxCrashes is how many children a task may take along, by os.Exit, a signal or
	// an end that Go does not recover from, before it is given up with
	// [queue.ErrWorkerLost]. Until then it is tried again at once, whatever its
	// Retries. Default: 3.
	MaxCrashes int

	// KillAfter is how long a handler may go on after its context has ended, by its
	// timeout or by [queue.Interrupt], until its child gets SIGTERM, and a second later
	// SIGKILL. Default: 5 s.
	KillAfter time.Duration

	// StartTimeout is how long a child may take until it is ready. Default: 30 s.
	StartTimeout time.Duration

	// Spare is how many children wait, ready to take the place of one that ends.
	// Default: 1; negative: none.
	Spare int

	// Env is more environment for the children, as "NAME=value". They get PATH, HOME,
	// the locale, TZ, TMPDIR and what the Go runtime reads, and no credentials.
	Env []string

	// MaxQueued is that of [Config].
	MaxQueued int
}

// ProcessPool runs tasks in child processes of this one; [Processes] makes one. A
// child can be killed, and takes nobody along when it dies. Its methods may be called
// concurrently.
//
// Arguments, values and errors travel as bytes, as they do over Redis.
type ProcessPool struct {
	local *LocalPool
	crew  *child.Crew
	done  chan struct{} // closed when no child is left
}

var (
	_ queue.Executor = (*ProcessPool)(nil)
	_ queue.Sizer    = (*ProcessPool)(nil)
	_ queue.Control  = (*ProcessPool)(nil)
	_ queue.Sharer   = (*ProcessPool)(nil)
)

// Processes makes a pool on which n tasks run at once, each in a child process, by the
// handlers of the routes. n must be at least 1.
//
// The children are this program, started again. In a child Processes never returns: it
// runs tasks. A program that does other things before, such as to open a connection,
// calls [Child] first thing in main, and a test that has such a pool in TestMain. A task
// in a child that makes a pool gets [queue.ErrWouldDeadlock].
func Processes(n int, routes ...queue.Route) (*ProcessPool, error) {
	if n < 1 {
		return nil, fmt.Errorf("%w: a pool of %d workers; give it at least 1", queue.ErrOption, n)
	}
	return NewProcesses(ProcessConfig{Workers: n}, routes...)
}

// NewProcesses is [Processes] with more to choose.
func NewProcesses(cfg ProcessConfig, routes ...queue.Route) (*ProcessPool, error) {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.MaxCrashes < 0 {
		return nil, fmt.Errorf("%w: MaxCrashes is %d; give it at least 1", queue.ErrOption, cfg.MaxCrashes)
	}
	if cfg.MaxCrashes == 0 {
		cfg.MaxCrashes = 3
	}
	p, err := NewLocal(Config{Workers: cfg.Workers, Strict: true, MaxQueued: cfg.MaxQueued}, routes...)
	if err != nil {
		return nil, err
	}
	if child.Serving() {
		return nil, errInChild()
	}
	name := child.NameOf("pool", routes)
	if child.Is() {
		if child.Name() == name {
			child.Serve(p.mux, cfg.Initializer)
		}
		// The child is another pool's, whose turn comes later in this program.
		p.broken = fmt.Errorf("%w: this process is a child of another pool; call pool.Child(routes...) first in main", queue.ErrOption)
		out := &ProcessPool{local: p, done: p.done}
		return out, nil
	}
	crew, err := child.New(child.Config{
		Name: name, Mux: p.mux, Children: cfg.Workers, Spare: cfg.Spare, MaxTasks: cfg.MaxTasks, MaxLifetime: cfg.MaxLifetime,
		MaxMemory: cfg.MaxMemory, Cgroup: cfg.Cgroup, KillAfter: cfg.KillAfter, StartTimeout: cfg.StartTimeout, Env: cfg.Env, Tries: initTries,
		Broken: func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.fail(err)
		},
	})
	if err != nil {
		return nil, err
	}
	p.crew, p.maxCrashes = crew, cfg.MaxCrashes
	out := &ProcessPool{local: p, crew: crew, done: make(chan struct{})}
	go func() {
		<-p.done
		crew.Close()
		<-crew.Done()
		close(out.done)
	}()
	return out, nil
}

// Submit accepts m, which belongs to the pool from then on. A pool that was closed
// answers [queue.ErrClosed], a broken one [queue.ErrPoolBroken]. ctx bounds the wait
// for room. In a child, where a variable for the pool was never set, it is refused with
// [queue.ErrWouldDeadlock].
func (p *ProcessPool) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if p == nil {
		return nil, errInChild()
	}
	return p.local.Submit(ctx, m)
}

// SubmitAll accepts the messages one after the other.
func (p *ProcessPool) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	if p == nil {
		return make([]*queue.Promise, len(ms)), slices.Repeat([]error{errInChild()}, len(ms))
	}
	return p.local.SubmitAll(ctx, ms)
}

func errInChild() error {
	if child.Is() {
		return fmt.Errorf("%w: a task in a child process has no way to its pool, and gets none of its own", queue.ErrWouldDeadlock)
	}
	return fmt.Errorf("%w: the pool is nil", queue.ErrOption)
}

// Open returns the promise of a task that has not ended, or whose outcome is kept.
func (p *ProcessPool) Open(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if p == nil {
		return nil, errInChild()
	}
	return p.local.Open(ctx, m)
}

// Workers is how many tasks run at once; 0 if the pool is nil, as it is in a child.
func (p *ProcessPool) Workers() int {
	if p == nil {
		return 0
	}
	return p.local.Workers()
}

// Share keeps data for the pool's tasks.
func (p *ProcessPool) Share(ctx context.Context, on string, data []byte) (string, error) {
	if p == nil {
		return "", errInChild()
	}
	return p.local.Share(ctx, on, data)
}

// Cancel cancels the promises' tasks as [queue.Control] says. [queue.Kill] kills the
// child that runs the task. It does not wait: ctx is not looked at.
func (p *ProcessPool) Cancel(ctx context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	return p.local.Cancel(ctx, ps, how)
}

// Forget lets go of the promise's outcome.
func (p *ProcessPool) Forget(ctx context.Context, promise *queue.Promise) error {
	return p.local.Forget(ctx, promise)
}

// Close is that of [LocalPool]. The children end when all is done.
func (p *ProcessPool) Close() { p.local.Close() }

// Join waits until all that was accepted has ended and no child is left. On a pool
// that is still open it returns [queue.ErrPoolRunning] at once. ctx bounds the wait; it
// may be called again.
func (p *ProcessPool) Join(ctx context.Context) error {
	p.local.mu.Lock()
	open := !p.local.closed
	p.local.mu.Unlock()
	return join(ctx, open, p.done)
}

// Terminate is that of [LocalPool], and kills the children. It does not wait for
// them to be gone; Join does.
func (p *ProcessPool) Terminate() {
	p.local.Terminate()
	if p.crew != nil {
		p.crew.Terminate()
	}
}

// Shutdown is Close and Join. ctx bounds the wait only: the pool is closed, and what
// opts ask for is done, in any case. It may be called again.
func (p *ProcessPool) Shutdown(ctx context.Context, opts ...ShutdownOption) error {
	if err := p.local.Shutdown(ctx, opts...); err != nil {
		return err
	}
	return p.Join(ctx)
}

// Resize sets how many tasks run at once, at least 1. Tasks that run are not
// disturbed.
func (p *ProcessPool) Resize(n int) error {
	if err := p.local.Resize(n); err != nil {
		return err
	}
	if p.crew != nil {
		p.crew.Resize(n)
	}
	return nil
}

// PIDs returns the process ids of the children that live, for monitoring.
func (p *ProcessPool) PIDs() []int {
	if p.crew == nil {
		return nil
	}
	return p.crew.PIDs()
}
