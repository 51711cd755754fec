package security_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

var (
	double = queue.NewTask[int, int]("double")
	add    = queue.NewTask[int, int]("add")
	fail   = queue.NewTask[int, int]("fail", queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Millisecond}))
	wait   = queue.NewTask[int, int]("wait")
	other  = queue.NewTask[int, int]("double", queue.On("second"))
	event  = queue.NewTask[int, int]("double", queue.OnStream("events"), queue.ReplyFrom("billing"))
	slow   = queue.NewTask[int, int]("slow")
)

func get[T any](w *town) func(f *queue.Future[T], err error) T {
	return func(f *queue.Future[T], err error) T {
		w.t.Helper()
		w.ok(err)
		v, err := f.Get(w.ctx)
		w.ok(err)
		return v
	}
}

// serving is how the workers here work.
func serving() consumer.Config {
	return consumer.Config{
		Concurrency: 4, Lease: time.Second, Sweep: 100 * time.Millisecond,
		Queues: []consumer.Queue{{Name: "default"}, {Name: "second"}, {Name: "events", Group: "billing"}},
	}
}

// serve starts a worker, who tells when a task waits to be cancelled. stop ends it.
func (w *town) serve(cfg consumer.Config, entered chan<- struct{}) (cw *consumer.Worker, stop func()) {
	w.t.Helper()
	cw, err := consumer.New(w.as(store.RoleConsumer), cfg,
		double.Handler(func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
		add.Handler(func(ctx context.Context, n int) (int, error) { c, err := queue.Common[int](ctx); return n + c, err }),
		fail.Handler(func(context.Context, int) (int, error) { return 0, errors.New("no") }),
		slow.Handler(func(ctx context.Context, n int) (int, error) {
			queue.Logf(ctx, "line")
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
			return n, nil
		}),
		wait.Handler(func(ctx context.Context, _ int) (int, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}))
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cw.Run(ctx) }()
	return cw, func() { cancel(); w.ok(<-ended) }
}

// through submits tasks without a pause and waits for each while strike is called with how
// many are done, and for some more when it is over. Whoever accepts waits for replicas: none
// is lost.
func (w *town) through(replicas int, strike func(done func() int)) {
	w.t.Helper()
	cfg := serving()
	cfg.Replicas = replicas
	_, stop := w.serve(cfg, nil)
	c, err := producer.New(w.as(store.RoleProducer), producer.Replicated(replicas))
	w.ok(err)
	var done atomic.Int64
	struck, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for left := 20; left > 0 && w.ctx.Err() == nil; {
			if w.call(c) {
				done.Add(1)
			}
			select {
			case <-struck:
				left--
			default:
			}
		}
	}()
	strike(func() int { return int(done.Load()) })
	close(struck)
	<-ended
	w.ok(w.ctx.Err())
	stop()
	w.ok(c.Close())
}

// call submits a task until it is accepted, and reports whether its value came.
func (w *town) call(c *producer.Client) bool {
	id := queue.ID(queue.NewTaskID(0).String())
	for w.ctx.Err() == nil {
		f, err := double.Submit(w.ctx, c, 21, id)
		if err != nil {
			if errors.Is(err, queue.ErrDenied) || errors.Is(err, queue.ErrUnauthorized) {
				w.t.Error(err)
				return false
			}
			continue
		}
		v, err := f.Get(w.ctx)
		if err != nil || v != 42 {
			w.t.Errorf("the task came to %d, %v", v, err)
		}
		return err == nil
	}
	return false
}
