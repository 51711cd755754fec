package consumer

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// Processes says what a worker's child processes are like. The zero value is good.
//
// A child is this very program, started again. Where it calls [New] with Processes it
// serves, and New does not return; a program whose main does other things first, or that
// has several workers or pools, calls [Child] before them. A child knows nothing of Redis:
// what a handler says or asks through its context goes by way of this process.
//
// A task whose child dies has lost a worker: it is run again, up to Config.MaxCrashes
// times, and no other task with it. Children that cannot be started cost no task anything:
// the worker takes none, says why by [Worker.Err], and tries again, at longer and longer
// intervals up to 30 seconds.
type Processes struct {
	// Initializer runs in every child before its first task. If it fails the child has not
	// started. Default: none.
	Initializer func(ctx context.Context) error

	// Spare is how many children wait beside Config.Concurrency, ready to take the place
	// of one that is lost. Default: 1. Negative: none.
	Spare int

	// MaxTasks is how many tasks a child runs before another takes its place. Default: 0,
	// no limit.
	MaxTasks int

	// MaxLifetime is how old a child may get; it finishes its task. Default: 0, no limit.
	MaxLifetime time.Duration

	// MaxMemory is how many bytes of memory a child may have: it is replaced after a task
	// that leaves it with more, and killed when it has twice as much, which its task ends with as
	// [queue.ErrOutOfMemory]. It is looked at every 100 ms, without what the child has started;
	// Cgroup is stricter. The child's garbage collector works towards nine tenths of it
	// (GOMEMLIMIT). Linux only. Default: 0, no limit.
	MaxMemory int64

	// Cgroup is a directory of the cgroup v2 hierarchy that is the worker's to use. With it the
	// kernel holds each child, together with what it has started, to MaxMemory: it
	// kills them before they have more, and the task ends with [queue.ErrOutOfMemory]. A child
	// is replaced after a task that leaves them with more than 95 % of it. What a child has
	// started ends with it, wherever it went. One that cannot be used is an error that
	// says what to do. Default: the group of this process, if that is the root of the
	// hierarchy or has groups with memory limits already, and this user may make more; else none.
	Cgroup string

	// KillAfter is how long a handler may go on whose context has ended, until its process
	// is told to end, by SIGTERM, and killed a second later. A worker that has lost its lease
	// kills sooner. Default: 5 seconds.
	KillAfter time.Duration

	// StartTimeout is how long a child may take until it is ready. Default: 30 seconds.
	StartTimeout time.Duration

	// Env is "NAME=value" for the children, beside the little that they get of this process's
	// environment: PATH, HOME, USER, LANG, TZ, TMPDIR and the like. Default: nothing.
	Env []string
}

// Child is for a program that has a worker with Processes, as the first thing in main,
// and for its tests in TestMain: a process that is a child of such a worker runs tasks with
// the handlers of the routes there and never returns. In any other process Child does nothing.
// Give it all routes that the program's workers have.
func Child(routes ...queue.Route) { NewChild(Processes{}, routes...) }

// NewChild is [Child] with the Initializer of p, whose other fields are not looked at.
func NewChild(p Processes, routes ...queue.Route) {
	child.ServeIfChild("consumer.Child", p.Initializer, routes)
}

// config is that of the worker's crew.
func (p *Processes) config(mux *queue.Mux, size int, name string) child.Config {
	return child.Config{
		Name: name, Mux: mux, Children: size, Persist: true,
		Spare: p.Spare, MaxTasks: p.MaxTasks, MaxLifetime: p.MaxLifetime, MaxMemory: p.MaxMemory, Cgroup: p.Cgroup,
		KillAfter: p.KillAfter, StartTimeout: p.StartTimeout, Env: p.Env,
	}
}

// isolate makes the worker one with child processes, if it is to be. In a child of such a
// worker it serves and does not return.
func (w *Worker) isolate(routes []queue.Route) error {
	if w.cfg.Processes == nil {
		return nil
	}
	w.crewName = child.NameOf("worker", routes)
	if child.Is() && child.Name() == w.crewName && !child.Serving() {
		child.Serve(w.mux, w.cfg.Processes.Initializer)
	}
	if child.Is() && !child.Serving() {
		return fmt.Errorf("%w: this process is a child of another worker or pool; call consumer.Child(routes...) first in main, with the routes of all", queue.ErrOption)
	}
	return w.childConfig().Check()
}

func (w *Worker) childConfig() child.Config {
	cfg := w.cfg.Processes.config(w.mux, w.cfg.Concurrency, w.crewName)
	cfg.Broken, cfg.Mended = w.childless, w.childful
	return cfg
}

// raise starts the children, if handlers run in such.
func (w *Worker) raise() error {
	if w.cfg.Processes == nil {
		return nil
	}
	crew, err := child.New(w.childConfig())
	if err != nil {
		return err
	}
	w.children, w.handler = crew, crew
	for i := len(w.cfg.Middleware) - 1; i >= 0; i-- {
		w.handler = w.cfg.Middleware[i](w.handler)
	}
	return nil
}

// dismiss lets the children go. No task runs any more that is not given up.
func (w *Worker) dismiss() {
	if w.children == nil {
		return
	}
	w.children.Close()
	select {
	case <-w.children.Done():
		return
	case <-time.After(stubborn):
	}
	w.children.Terminate()
	<-w.children.Done()
}

// childless takes no more tasks, as no child can be started, and hands back what waits.
func (w *Worker) childless(err error) {
	w.log.Error("child processes do not start: the worker takes no tasks until one does", zap.Error(err))
	w.slots.mu.Lock()
	w.slots.shut, w.unwell = true, err
	w.slots.mu.Unlock()
	w.giveBackWaiting()
}

// childful takes tasks again.
func (w *Worker) childful() {
	w.log.Info("child processes start again")
	w.slots.mu.Lock()
	w.slots.shut, w.unwell = false, nil
	w.slots.mu.Unlock()
	w.wakeAll()
}

// Err says why the worker takes no tasks although it runs: its child processes do not
// start. It is nil if all is well. It may be called at any time.
func (w *Worker) Err() error {
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	return w.unwell
}

// afterCrash says what becomes of a task that has now cost so many workers.
func (w *Worker) afterCrash(crashes int, crash *queue.CrashError) (queue.Verdict, error) {
	if crashes >= w.cfg.MaxCrashes {
		return queue.Verdict{Kind: queue.VerdictDead}, fmt.Errorf("the task has ended %d workers, the last time so: %w", crashes, crash)
	}
	return queue.Verdict{Kind: queue.VerdictRetry}, crash
}
