package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// open opens a task's future with another client.
func (b *bed) open(task queue.Task[int, int], id queue.TaskID, opts ...queue.Option) *queue.Future[int] {
	b.t.Helper()
	return must[*queue.Future[int]](b)(task.Open(b.ctx, b.producer(), id, opts...))
}

func TestOpenFromAnotherClient(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		kept, plain := submit(b, gated, 3, queue.Keep(time.Hour)), submit(b, gated, 4)
		before := []*queue.Future[int]{kept, plain, b.open(gated, kept.ID()), b.open(gated, plain.ID())}
		b.work(consumer.Config{Concurrency: 2}, gated.Handler(g.handle))
		b.wait("the tasks", g.entered)
		b.wait("the tasks", g.entered)
		during := append(before, b.open(gated, kept.ID()), b.open(gated, plain.ID()))
		close(g.open)
		for i, f := range during {
			if got := value(b, f); got != 3+i%2 {
				t.Errorf("future %d has value %d", i, got)
			}
		}
		if got := value(b, b.open(gated, kept.ID())); got != 3 {
			t.Errorf("value %d after the end", got)
		}
		if _, err := gated.Open(b.ctx, b.x, plain.ID()); !errors.Is(err, queue.ErrResultExpired) {
			t.Errorf("an outcome that is not kept: %v, want ErrResultExpired", err)
		}
	})
}

// Outcomes for one address travel as one, and apart when somebody else waits for one
// of them, errors like values.
func TestOpenWhileManyEndAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		const n = 60
		g := newGate()
		odd := queue.NewTask[int, int]("odd")
		var all, opened []*queue.Future[int]
		for i := range n {
			all = append(all, submit(b, odd, i))
		}
		b.work(consumer.Config{Concurrency: n}, odd.Handler(func(ctx context.Context, i int) (int, error) {
			if _, err := g.handle(ctx, i); err != nil || i%2 == 0 {
				return i, err
			}
			return 0, queue.NoRetry(errors.New("odd"))
		}))
		for range n {
			b.wait("the tasks", g.entered)
		}
		for i := 0; i < n; i += 5 {
			opened = append(opened, b.open(odd, all[i].ID()))
		}
		close(g.open)
		for i, f := range append(all, opened...) {
			if i >= n {
				i = 5 * (i - n)
			}
			if got, err := f.Get(b.ctx); i%2 == 0 && (err != nil || got != i) || i%2 == 1 && (err == nil || !strings.Contains(err.Error(), "odd")) {
				t.Errorf("task %d: %d, %v", i, got, err)
			}
		}
	})
}

func TestOpenAsAnotherType(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		broken := queue.NewTask[int, int]("broken")
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice), broken.Handler(func(context.Context, int) (int, error) { return 0, errors.New("no") }))
		for _, task := range []queue.Task[int, int]{double, broken} {
			f := submit(b, task, 1, queue.Keep(time.Hour))
			<-f.Done()
			if _, err := b.open(gated, f.ID()).Get(b.ctx); !errors.Is(err, queue.ErrTaskMismatch) {
				t.Errorf("a %s as another type: %v, want ErrTaskMismatch", task.Name(), err)
			}
		}
	})
}

func TestOpenOfWhatIsNotThere(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		if _, err := double.Open(b.ctx, b.x, queue.NewTaskID(0)); !errors.Is(err, queue.ErrResultExpired) {
			t.Errorf("unknown id: %v, want ErrResultExpired", err)
		}
		if _, err := double.Open(b.ctx, b.x, queue.TaskID{}); !errors.Is(err, queue.ErrTaskID) {
			t.Errorf("zero id: %v, want ErrTaskID", err)
		}
		f := submit(b, double, 1)
		if _, err := double.Open(b.ctx, b.x, f.ID(), queue.On("other")); !errors.Is(err, queue.ErrResultExpired) {
			t.Errorf("another queue: %v, want ErrResultExpired", err)
		}
		if _, err := double.Open(b.ctx, b.x, f.ID(), queue.On("a b")); !errors.Is(err, queue.ErrName) {
			t.Errorf("bad queue name: %v, want ErrName", err)
		}
		// A future that is opened and one that was submitted are one.
		g := must[*queue.Future[int]](b)(double.Open(b.ctx, b.x, f.ID()))
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		if v, w := value(b, f), value(b, g); v != 2 || w != 2 {
			t.Errorf("values %d and %d", v, w)
		}
	})
}

func TestKeyIsOneTask(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		var runs atomic.Int64
		b.work(consumer.Config{Concurrency: 4}, gated.Handler(func(ctx context.Context, n int) (int, error) {
			runs.Add(1)
			return g.handle(ctx, n)
		}))
		y := b.producer()
		key := queue.ID("order-4711")
		f := submit(b, gated, 1, key)
		b.wait("the task", g.entered)
		fs := []*queue.Future[int]{f, submit(b, gated, 2, key), must[*queue.Future[int]](b)(gated.Submit(b.ctx, y, 3, key))}
		fs = append(fs, must[[]*queue.Future[int]](b)(gated.SubmitAll(b.ctx, y, []int{4, 5}, key))...)
		for _, g := range fs {
			if g.ID() != f.ID() {
				t.Errorf("ids %s and %s", f.ID(), g.ID())
			}
		}
		close(g.open)
		for i, f := range fs {
			if got := value(b, f); got != 1 {
				t.Errorf("future %d has value %d, want that of the first submission", i, got)
			}
		}
		// After the end there is its outcome, at once.
		again := must[*queue.Future[int]](b)(gated.Submit(b.ctx, b.producer(), 6, key))
		if got, err := again.Result(); got != 1 || err != nil {
			t.Errorf("after the end: %d, %v", got, err)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
		if got := value(b, submit(b, gated, 7, queue.ID("order-4712"))); got != 7 {
			t.Errorf("another key: value %d", got)
		}
		id := queue.NewTaskID(0)
		if f := submit(b, gated, 8, queue.ID(id.String())); f.ID() != id || value(b, f) != 8 {
			t.Errorf("the text of id %s stands for %s", id, f.ID())
		}
	})
}

func TestKeyOfADeadTaskIsItsError(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var runs atomic.Int64
		broken := errors.New("broken")
		task := queue.NewTask[int, int]("fails", queue.Sentinel("broken", broken))
		b.work(consumer.Config{Concurrency: 2}, task.Handler(func(context.Context, int) (int, error) {
			runs.Add(1)
			return 0, broken
		}))
		key := queue.ID("k")
		if _, err := submit(b, task, 1, key).Get(b.ctx); !errors.Is(err, broken) {
			t.Fatalf("error %v", err)
		}
		again := must[*queue.Future[int]](b)(task.Submit(b.ctx, b.producer(), 1, key))
		if _, err := again.Result(); !errors.Is(err, broken) || again.State() != queue.StateDead {
			t.Errorf("submitted again: %v, %v", err, again.State())
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
		plain := submit(b, task, 2)
		<-plain.Done()
		if err := b.open(task, plain.ID()).Err(); !errors.Is(err, broken) {
			t.Errorf("a dead task opened: %v", err)
		}
	})
}
