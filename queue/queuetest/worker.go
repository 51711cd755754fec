package queuetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// Worker is a worker of a [Fleet] that runs.
type Worker struct {
	*consumer.Worker

	fleet *Fleet
	link  *link
	rdb   *redis.Client      // over the link; closed with the worker
	stop  context.CancelFunc // Run's context
	done  chan struct{}      // closed when Run has returned
	err   error              // what it returned

	mu       sync.Mutex
	killed   bool
	handlers map[*context.CancelCauseFunc]bool // those that run: what ends their contexts
}

// Work starts a worker with consumer.New and Run. Config.Concurrency is 1 unless set. At
// the end of the test the worker stops at once: handlers' contexts are cancelled.
func (f *Fleet) Work(cfg consumer.Config, routes ...queue.Route) *Worker {
	f.t.Helper()
	w := &Worker{fleet: f, link: &link{}, done: make(chan struct{}), handlers: map[*context.CancelCauseFunc]bool{}}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 1)
	cfg.Middleware = slices.Insert(slices.Clone(cfg.Middleware), 0, w.mortal)
	w.rdb = f.dial(w.link)
	var err error
	if w.Worker, err = consumer.New(w.rdb, cfg, routes...); err != nil {
		_ = w.rdb.Close()
		f.t.Fatalf("queuetest: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		defer close(w.done)
		w.err = w.Run(ctx)
		_ = w.rdb.Close()
	}()
	f.t.Cleanup(func() {
		w.Reconnect()
		w.Abort()
		w.stop()
		select {
		case <-w.done:
			w.report()
		case <-time.After(patience):
			f.t.Errorf("queuetest: a worker has not ended %v after its handlers' contexts were cancelled", patience)
		}
	})
	return w
}

// Stop stops the worker as SIGTERM does, and waits until it is gone: running tasks may
// finish for Config.Grace, the rest is handed back.
func (w *Worker) Stop() {
	w.fleet.t.Helper()
	w.stop()
	<-w.done
	w.report()
}

// report fails the test if the worker, which is gone, ended badly. A killed one has no
// good end.
func (w *Worker) report() {
	w.fleet.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil && !w.killed {
		w.fleet.t.Errorf("queuetest: the worker ended with: %v", w.err)
	}
}

// Kill ends the worker as SIGKILL ends its process: its connections are cut, and the
// store hears nothing from it any more. Nothing is handed back; others take its tasks
// over when its lease has lapsed (Config.Lease, 30 seconds unless set), and each has
// lost one worker more. Kill does not wait, and may be called by a handler of the worker
// itself, to die at that very point.
//
// A goroutine cannot be killed: the contexts of handlers that run are cancelled, with
// [queue.ErrWorkerLost] as the cause, and what they return goes nowhere. What a handler
// does beyond that point, the killed process would not have done.
func (w *Worker) Kill() {
	w.mu.Lock()
	w.killed = true
	w.link.cut()
	for cancel := range w.handlers {
		(*cancel)(queue.ErrWorkerLost)
	}
	w.mu.Unlock()
	w.Abort()
	w.stop()
}

// CutOff takes the network away from the worker, which lives on and does not know it: its
// handlers go on until it sees that its lease is over, by its own clock and a little
// early. Then their contexts are cancelled, with [queue.ErrLeaseLost] as the cause, and
// others take their tasks over. What a handler does that ignores its context is then done
// twice at the same time; see [queue.Running]'s Token.
func (w *Worker) CutOff() { w.link.cut() }

// Reconnect ends CutOff, and returns when the worker reaches the store. If it has lost its
// lease meanwhile, what it says about the tasks it had is refused; it takes others.
// Reconnect does not bring a killed worker back.
func (w *Worker) Reconnect() {
	w.mu.Lock()
	if !w.killed {
		w.link.mend()
	}
	w.mu.Unlock()
	// The pool still has connections that are dead, and loses one with each failure.
	for w.link.up() {
		if err := w.rdb.Ping(context.Background()).Err(); err == nil || errors.Is(err, redis.ErrClosed) {
			return
		}
	}
}

// mortal makes handlers end with the worker. It is the outermost middleware: a worker
// that is dead runs nothing more, those of the configuration included.
func (w *Worker) mortal(h queue.Handler) queue.Handler {
	return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		w.mu.Lock()
		killed := w.killed // before this task began, which the worker had taken already
		w.handlers[&cancel] = true
		w.mu.Unlock()
		if killed {
			return nil, queue.ErrWorkerLost
		}
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.handlers, &cancel)
		}()
		return h.Handle(ctx, m)
	})
}
