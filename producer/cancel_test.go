package producer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// cancels fails the test unless cancelling f comes to want.
func cancels(b *bed, f *queue.Future[int], want queue.CancelResult, opts ...queue.CancelOption) {
	b.t.Helper()
	if r, err := f.Cancel(b.ctx, opts...); r != want || err != nil {
		b.t.Errorf("cancelling: %v, %v; want %v", r, err, want)
	}
}

// off fails the test unless f says, at once, that its task was cancelled.
func off(b *bed, f *queue.Future[int]) {
	b.t.Helper()
	select {
	case <-f.Done():
	default:
		b.t.Error("the future of a cancelled task is not done at once")
	}
	if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrCancelled) {
		b.t.Errorf("a cancelled task's future says %v", err)
	}
}

func TestCancelBeforeStart(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		ready, delayed, keyed := submit(b, double, 1), submit(b, double, 2, queue.Delay(time.Hour)), submit(b, double, 3, queue.ID("k"))
		silent := submit(b, double, 4, queue.NoReply())
		elsewhere := b.open(double, ready.ID())
		for _, f := range []*queue.Future[int]{ready, delayed, keyed} {
			cancels(b, f, queue.CancelBeforeStart)
			off(b, f)
			cancels(b, f, queue.CancelBeforeStart)
		}
		cancels(b, silent, queue.CancelBeforeStart)
		b.wait("the future in another process", elsewhere.Done())
		off(b, elsewhere)
		if _, err := b.open(double, keyed.ID()).Result(); !errors.Is(err, queue.ErrCancelled) {
			t.Errorf("the kept outcome says %v", err)
		}
		var runs atomic.Int64
		b.work(consumer.Config{Concurrency: 2}, double.Handler(func(_ context.Context, n int) (int, error) {
			runs.Add(1)
			return n, nil
		}))
		value(b, submit(b, double, 5))
		if n := runs.Load(); n != 1 {
			t.Errorf("%d tasks ran, want the one that was not cancelled", n)
		}
	})
}

func TestCancelFromAnotherProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1)
		g := b.open(double, f.ID())
		cancels(b, g, queue.CancelBeforeStart)
		off(b, g)
		b.wait("the submitter's future", f.Done())
		off(b, f)
	})
}

func TestCancelOfARunningTask(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		b.work(consumer.Config{Concurrency: 2}, gated.Handler(g.handle))
		leave, stop := submit(b, gated, 1), submit(b, gated, 2)
		b.wait("the tasks", g.entered)
		b.wait("the tasks", g.entered)
		cancels(b, leave, queue.CancelTooLate)
		cancels(b, leave, queue.CancelTooLate)
		if _, err := leave.Cancel(b.ctx, queue.Kill(time.Second)); !errors.Is(err, queue.ErrNotKillable) {
			t.Errorf("killing: %v", err)
		}
		cancels(b, stop, queue.CancelInterrupted, queue.Interrupt())
		b.wait("the interrupted task", stop.Done())
		off(b, stop) // the gate is closed: its handler ended by its context
		close(g.open)
		if v := value(b, leave); v != 1 {
			t.Errorf("value %d", v)
		}
		cancels(b, leave, queue.CancelTooLate)
	})
}

// What waits in a worker behind a slow task, and has not begun, can be cancelled.
func TestCancelOfWhatAWorkerHoldsAhead(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		var runs atomic.Int64
		b.work(consumer.Config{Concurrency: 1}, gated.Handler(g.handle), double.Handler(func(_ context.Context, n int) (int, error) {
			runs.Add(1)
			return n, nil
		}))
		// Very short tasks make the worker look far ahead.
		for _, f := range must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 3000))) {
			value(b, f)
		}
		ran := runs.Load()
		slow := submit(b, gated, 1)
		fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 50)))
		b.wait("the slow task", g.entered)
		for _, f := range fs {
			cancels(b, f, queue.CancelBeforeStart)
			off(b, f)
		}
		close(g.open)
		value(b, slow)
		value(b, submit(b, double, 1))
		if n := runs.Load() - ran; n != 1 {
			t.Errorf("%d tasks ran, want 1", n)
		}
	})
}

func TestCancelInBulk(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		ps := bulk(b, 2000)
		results, err := b.x.Cancel(b.ctx, ps, queue.Cancellation{})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range ps {
			if o, _, _ := p.Outcome(); results[i] != queue.CancelBeforeStart || o == nil || o.State != queue.StateCancelled {
				t.Fatalf("task %d: %v, %+v", i, results[i], o)
			}
		}
		if n := b.rdb.Exists(b.ctx, root+"tasks").Val(); n != 0 {
			t.Error("something is left of them")
		}
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice)) // passes over all their ids
		if v := value(b, submit(b, double, 4)); v != 8 {
			t.Errorf("value %d", v)
		}
	})
}

// bulk submits n tasks of double, numbered from 0.
func bulk(b *bed, n int) []*queue.Promise {
	b.t.Helper()
	ms := make([]*queue.Message, n)
	for i := range ms {
		payload := []byte{0xcd, byte(i >> 8), byte(i)} // msgpack: a number of 16 bits
		ms[i] = &queue.Message{Type: "double", Queue: queue.DefaultQueue, Payload: payload}
	}
	ps, errs := b.x.SubmitAll(b.ctx, ms)
	for _, err := range errs {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return ps
}

// Whenever tasks are cancelled while a worker runs them, each has either run once or
// is cancelled, and who asked is told which.
func TestCancelRacesWithTheWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		const n = 500
		ran := make([]atomic.Int32, n)
		first := make(chan struct{}, n)
		ps := bulk(b, n)
		b.work(consumer.Config{Concurrency: 2}, double.Handler(func(_ context.Context, i int) (int, error) {
			ran[i].Add(1)
			first <- struct{}{}
			time.Sleep(100 * time.Microsecond) // the work that it stands for
			return i, nil
		}))
		b.wait("the first task", first)
		results, err := b.x.Cancel(b.ctx, ps, queue.Cancellation{})
		if err != nil {
			t.Fatal(err)
		}
		off := 0
		for i, p := range ps {
			o, err := p.Wait(b.ctx)
			if err != nil {
				t.Fatal(err)
			}
			switch runs := ran[i].Load(); {
			case results[i] == queue.CancelBeforeStart && o.State == queue.StateCancelled && runs == 0:
				off++
			case results[i] == queue.CancelTooLate && o.State == queue.StateSucceeded && runs == 1:
			default:
				t.Errorf("task %d: %v, yet it ended as %v after %d runs", i, results[i], o.State, runs)
			}
		}
		if off == 0 || off == n {
			t.Logf("no race: %d of %d were cancelled", off, n)
		}
	})
}

// A worker that cannot hear wishes learns of them by its heartbeat.
func TestCancelWithoutNotification(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := newBed(t, s, s.Client())
	if err := b.rdb.Do(b.ctx, "ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "resetchannels", "&*reply:*").Err(); err != nil {
		t.Fatal(err)
	}
	o := *b.rdb.Options()
	deaf := redis.NewClient(&redis.Options{Addr: o.Addr, Username: "deaf", Password: "secret"})
	defer func() { _ = deaf.Close() }()
	w := *b
	w.rdb = deaf
	g := newGate()
	h := w.work(consumer.Config{Concurrency: 1, Lease: 3 * time.Second}, gated.Handler(g.handle))
	f := submit(b, gated, 1)
	b.wait("the task", g.entered)
	cancels(b, f, queue.CancelInterrupted, queue.Interrupt())
	b.wait("the task's end", f.Done())
	off(b, f)
	h.stop() // before its client is closed
}

func TestCancelGivesUpWithItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1)
		// A consumer that is alive, has the task, and does not answer.
		now := b.now().Add(time.Hour).UnixMilli()
		id := f.ID()
		b.rdb.ZAdd(b.ctx, root+"alive", redis.Z{Score: float64(now), Member: "mute"})
		b.rdb.HSet(b.ctx, root+"run:mute", "#", now, string(id[:]), "0:1")
		ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := f.Cancel(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
		select {
		case <-f.Done():
			t.Error("nobody knows that it was cancelled")
		default:
		}
	})
}

func TestCancelOnAStreamIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1, queue.OnStream("events"))
		if _, err := f.Cancel(b.ctx); !errors.Is(err, queue.ErrOption) {
			t.Errorf("error %v, want ErrOption", err)
		}
	})
}

func TestForget(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		waits, kept := submit(b, gated, 1), submit(b, double, 1, queue.Keep(time.Hour))
		if err := waits.Forget(b.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := waits.Result(); !errors.Is(err, queue.ErrResultExpired) {
			t.Errorf("a forgotten future says %v", err)
		}
		g := newGate()
		b.work(consumer.Config{Concurrency: 1}, gated.Handler(g.handle), double.Handler(twice))
		b.wait("the forgotten task, which goes on", g.entered)
		close(g.open)
		value(b, kept)
		if err := kept.Forget(b.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := double.Open(b.ctx, b.producer(), kept.ID()); !errors.Is(err, queue.ErrResultExpired) {
			t.Errorf("a forgotten outcome: %v", err)
		}
		if v := value(b, kept); v != 2 {
			t.Errorf("a future that had its value says %d", v)
		}
	})
}
