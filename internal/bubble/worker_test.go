package bubble_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// room is a bubble with a producer.
type room struct {
	*bubble.Bubble
	t   *testing.T
	ctx context.Context // the test's
	x   *producer.Client
	rdb *bubble.Client // the producer's
}

func inRoom(t *testing.T, test func(r *room)) {
	t.Helper()
	t.Parallel()
	bubble.Run(t, func(b *bubble.Bubble) {
		rdb := b.Client()
		x, err := producer.New(rdb)
		if err != nil {
			b.T.Fatal(err)
		}
		b.T.Cleanup(func() { _ = x.Close() })
		test(&room{Bubble: b, t: b.T, ctx: b.T.Context(), x: x, rdb: rdb})
	})
}

// hand is a worker that runs, and the client it runs on.
type hand struct {
	*consumer.Worker
	rdb  *bubble.Client
	stop context.CancelFunc
	done chan struct{}
	err  error // what Run returned
}

func (r *room) work(cfg consumer.Config, routes ...queue.Route) *hand {
	r.t.Helper()
	return r.workOn(r.Client(), cfg, routes...)
}

func (r *room) workOn(rdb *bubble.Client, cfg consumer.Config, routes ...queue.Route) *hand {
	r.t.Helper()
	w, err := consumer.New(rdb, cfg, routes...)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &hand{Worker: w, rdb: rdb, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.err = w.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		w.Abort()
		<-h.done
	})
	return h
}

func submit[In, Out any](r *room, task queue.Task[In, Out], in In, opts ...queue.Option) *queue.Future[Out] {
	r.t.Helper()
	f, err := task.Submit(r.ctx, r.x, in, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func value[Out comparable](r *room, f *queue.Future[Out], want Out) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 12*time.Hour) // of virtual time: nobody waits for it
	defer cancel()
	if got, err := f.Get(ctx); err != nil || got != want {
		r.t.Fatalf("got %v, %v; want %v", got, err, want)
	}
}

// took fails unless d is from least to most. Time is virtual: it passes only while
// everybody waits, so the machine has no part in it.
func took(t *testing.T, what string, d, least, most time.Duration) {
	t.Helper()
	if d < least || d > most {
		t.Errorf("%s took %v, want %v to %v", what, d, least, most)
	}
}

var job = queue.NewTask[int, int]("job")

// diary is who ran what and when.
type diary struct {
	mu    sync.Mutex
	began []time.Time
	ended []time.Time
	cause []error
}

// handler notes when it begins and ends; body is what it does, told which run this is.
func (d *diary) handler(body func(ctx context.Context, run int) error) queue.Route {
	return job.Handler(func(ctx context.Context, n int) (int, error) {
		d.mu.Lock()
		d.began = append(d.began, time.Now())
		run := len(d.began)
		d.mu.Unlock()
		err := body(ctx, run)
		d.mu.Lock()
		d.ended = append(d.ended, time.Now())
		d.cause = append(d.cause, context.Cause(ctx))
		d.mu.Unlock()
		return n, err
	})
}

func (d *diary) runs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.began)
}

func untilDone(ctx context.Context, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

func nothing(context.Context, int) error { return nil }

func TestALostWorkersTaskIsRunByAnother(t *testing.T) {
	inRoom(t, func(r *room) {
		var lost, next diary
		a := r.work(consumer.Config{Concurrency: 1}, lost.handler(untilDone))
		f := submit(r, job, 7)
		synctest.Wait()
		b := r.work(consumer.Config{Concurrency: 1}, next.handler(nothing))
		time.Sleep(time.Minute)
		cut := time.Now()
		a.rdb.Cut()
		value(r, f, 7)
		took(r.t, "taking over", time.Since(cut), 15*time.Second, 36*time.Second)
		if lost.runs() != 1 || next.runs() != 1 {
			r.t.Fatalf("it ran %d and %d times", lost.runs(), next.runs())
		}
		if !lost.ended[0].Before(next.began[0]) {
			r.t.Errorf("the lost worker went on for %v beside the other", lost.ended[0].Sub(next.began[0]))
		}
		if !errors.Is(lost.cause[0], queue.ErrLeaseLost) {
			r.t.Errorf("it was interrupted with %v", lost.cause[0])
		}
		if s := b.Stats(); s.Recovered != 1 || s.Succeeded != 1 {
			r.t.Errorf("stats %+v", s)
		}
	})
}

func TestAWorkerThatComesBackIsANewOne(t *testing.T) {
	inRoom(t, func(r *room) {
		var d diary
		a := r.work(consumer.Config{Concurrency: 1}, d.handler(func(ctx context.Context, run int) error {
			if run == 1 {
				<-ctx.Done()
			}
			return nil // of the first run, too late
		}))
		alive := func() []string { return r.rdb.ZRange(r.ctx, "cenote:{default}:alive", 0, -1).Val() }
		f := submit(r, job, 7)
		time.Sleep(time.Minute)
		first := alive()
		a.rdb.Cut()
		time.Sleep(time.Hour)
		if d.runs() != 1 || a.Stats().Lapsed != 1 {
			r.t.Fatalf("after an hour without Redis: %d runs, %+v", d.runs(), a.Stats())
		}
		a.rdb.Mend()
		mended := time.Now()
		value(r, f, 7)
		took(r.t, "coming back", time.Since(mended), 0, time.Minute)
		if d.runs() != 2 {
			r.t.Errorf("%d runs", d.runs())
		}
		// Under its old name it would pass for the one whose tasks were taken over.
		if now := alive(); len(first) != 1 || len(now) != 1 || first[0] == now[0] {
			r.t.Errorf("it was %v and is %v", first, now)
		}
	})
}

func TestHeartbeatsKeepALease(t *testing.T) {
	inRoom(t, func(r *room) {
		var d diary
		long := d.handler(func(ctx context.Context, _ int) error {
			select {
			case <-time.After(time.Hour):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		a, b := r.work(consumer.Config{Concurrency: 1}, long), r.work(consumer.Config{Concurrency: 1}, long)
		began := time.Now()
		f := submit(r, job, 7)
		value(r, f, 7)
		took(r.t, "the task", time.Since(began), time.Hour, time.Hour+time.Second)
		for _, w := range []*hand{a, b} {
			if s := w.Stats(); s.Lapsed+s.Recovered+s.Refused != 0 {
				r.t.Errorf("stats %+v", s)
			}
		}
		if d.runs() != 1 {
			r.t.Errorf("%d runs", d.runs())
		}
	})
}

func TestBackoffOfHours(t *testing.T) {
	inRoom(t, func(r *room) {
		var d diary
		r.work(consumer.Config{Concurrency: 1}, d.handler(func(_ context.Context, run int) error {
			if run < 4 {
				return errors.New("not yet")
			}
			return nil
		}))
		f := submit(r, job, 7, queue.Retries(3), queue.Spaced(queue.Backoff{Base: 30 * time.Minute, Max: time.Hour}))
		value(r, f, 7)
		if d.runs() != 4 {
			r.t.Fatalf("%d runs", d.runs())
		}
		for i, full := range []time.Duration{1, 2, 2} {
			full *= 30 * time.Minute
			took(r.t, "the wait", d.began[i+1].Sub(d.began[i]), full/2-time.Second, full+full/2+time.Second)
		}
	})
}

func TestWhoKeepsTheTimeMayBeLost(t *testing.T) {
	inRoom(t, func(r *room) {
		var d diary
		a, b := r.work(consumer.Config{Concurrency: 1}, d.handler(nothing)), r.work(consumer.Config{Concurrency: 1}, d.handler(nothing))
		began := time.Now()
		f := submit(r, job, 7, queue.Delay(time.Hour))
		time.Sleep(time.Minute)
		// Which of the two it is cannot be seen from here: one is cut, then back, then the other.
		a.rdb.Cut()
		time.Sleep(2 * time.Minute)
		a.rdb.Mend()
		time.Sleep(2 * time.Minute)
		b.rdb.Cut()
		value(r, f, 7)
		took(r.t, "the task", time.Since(began), time.Hour, time.Hour+10*time.Second)
	})
}

func TestQuietDrainAndHandBack(t *testing.T) {
	inRoom(t, func(r *room) {
		var first, second diary
		a := r.work(consumer.Config{Concurrency: 2, Grace: time.Hour}, first.handler(func(ctx context.Context, run int) error {
			if run == 1 {
				time.Sleep(30 * time.Minute) // it ends within the grace
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		f1 := submit(r, job, 1)
		synctest.Wait()
		f2 := submit(r, job, 2)
		synctest.Wait()
		if first.runs() != 2 {
			r.t.Fatalf("%d runs", first.runs())
		}
		a.Quiet()
		synctest.Wait()
		f3 := submit(r, job, 3)
		time.Sleep(time.Minute)
		if first.runs() != 2 {
			r.t.Error("a quiet worker takes tasks")
		}
		b := r.work(consumer.Config{Concurrency: 2}, second.handler(nothing))
		value(r, f3, 3)
		told := time.Now()
		a.stop()
		value(r, f1, 1)
		took(r.t, "what ends within the grace", time.Since(told), 28*time.Minute, 30*time.Minute)
		value(r, f2, 2)
		took(r.t, "what does not", time.Since(told), time.Hour, time.Hour+time.Second)
		<-a.done
		if s := a.Stats(); a.err != nil || s.Succeeded != 1 || s.GivenBack != 1 {
			r.t.Errorf("Run returned %v; stats %+v", a.err, s)
		}
		if s := b.Stats(); s.Recovered != 0 || s.Succeeded != 2 {
			r.t.Errorf("stats of the other %+v", s)
		}
		if !errors.Is(first.cause[1], queue.ErrShutdown) {
			r.t.Errorf("interrupted with %v", first.cause[1])
		}
	})
}

// TestAPoisonousTaskDies has a task lose one worker after the other. The one that
// sat beside it in the first of them lives.
func TestAPoisonousTaskDies(t *testing.T) {
	inRoom(t, func(r *room) {
		poison := queue.NewTask[int, int]("poison")
		var mu sync.Mutex
		lost, runs, alone := 0, 0, 0
		var running int
		start := func() {
			var h *hand
			ready := make(chan struct{})
			h = r.work(consumer.Config{Concurrency: 4},
				poison.Handler(func(ctx context.Context, n int) (int, error) {
					<-ready
					time.Sleep(time.Second)
					mu.Lock()
					lost++
					if running == 0 {
						alone++
					}
					mu.Unlock()
					h.rdb.Cut()
					<-ctx.Done()
					return 0, ctx.Err()
				}),
				job.Handler(func(ctx context.Context, n int) (int, error) {
					mu.Lock()
					runs++
					running++
					mu.Unlock()
					defer func() { mu.Lock(); running--; mu.Unlock() }()
					select {
					case <-time.After(time.Minute):
						return n, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}))
			close(ready)
		}
		bad := submit(r, poison, 0)
		good := submit(r, job, 7)
		for range 4 {
			start()
			time.Sleep(3 * time.Minute)
		}
		value(r, good, 7)
		if _, err := bad.Get(r.ctx); !errors.Is(err, queue.ErrWorkerLost) {
			r.t.Errorf("the poisonous task: %v", err)
		}
		if lost != 3 || runs > 3 || alone == 0 {
			r.t.Errorf("it took %d workers along, %d times without a neighbour; the other one ran %d times", lost, alone, runs)
		}
	})
}

func TestAProducerThatIsCutOffGetsItsOutcomeLater(t *testing.T) {
	inRoom(t, func(r *room) {
		var d diary
		r.work(consumer.Config{Concurrency: 1}, d.handler(func(context.Context, int) error {
			time.Sleep(10 * time.Minute)
			return nil
		}))
		began := time.Now()
		f := submit(r, job, 7)
		time.Sleep(time.Minute)
		r.rdb.Cut()
		time.Sleep(20 * time.Minute) // the outcome is announced meanwhile
		if err := f.Err(); !errors.Is(err, queue.ErrNotReady) {
			r.t.Fatalf("it knows already: %v", err)
		}
		r.rdb.Mend()
		value(r, f, 7)
		took(r.t, "the outcome", time.Since(began), 21*time.Minute, 22*time.Minute)
		if d.runs() != 1 {
			r.t.Errorf("%d runs", d.runs())
		}
	})
}
