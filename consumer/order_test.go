package consumer_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// order notes in which order tasks run.
type order struct {
	mu   sync.Mutex
	runs []string
}

var named = queue.NewTask[string, int]("named")

func (o *order) handle(_ context.Context, name string) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs = append(o.runs, name)
	return 0, nil
}

func (o *order) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.runs)
}

// backlog puts n tasks called after their queue on it.
func (b *bed) backlog(q string, n int) []*queue.Future[int] {
	b.t.Helper()
	return must[[]*queue.Future[int]](b)(named.SubmitAll(b.ctx, b.x, slices.Repeat([]string{q}, n), queue.On(q)))
}

func TestQueuesShareByWeight(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var o order
		fs := append(b.backlog("heavy", 200), b.backlog("light", 200)...)
		b.work(consumer.Config{Concurrency: 1, LookAhead: -1, Queues: []consumer.Queue{{Name: "light"}, {Name: "heavy", Weight: 3}}}, named.Handler(o.handle))
		for _, f := range fs {
			value(b, f)
		}
		heavy := 0
		for _, name := range o.all()[:160] { // both still have some
			if name == "heavy" {
				heavy++
			}
		}
		if heavy < 110 || heavy > 130 {
			t.Errorf("%d of the first 160 tasks are of the queue with weight 3 of 4, want about 120", heavy)
		}
	})
}

func TestStrictQueuesComeOneAfterTheOther(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var o order
		fs := slices.Concat(b.backlog("third", 20), b.backlog("first", 20), b.backlog("second", 20))
		b.work(consumer.Config{Concurrency: 1, LookAhead: -1, Strict: true, Queues: []consumer.Queue{{Name: "first"}, {Name: "second"}, {Name: "third"}}}, named.Handler(o.handle))
		for _, f := range fs {
			value(b, f)
		}
		want := slices.Concat(slices.Repeat([]string{"first"}, 20), slices.Repeat([]string{"second"}, 20), slices.Repeat([]string{"third"}, 20))
		if got := o.all(); !slices.Equal(got, want) {
			t.Errorf("ran %s", strings.Join(got, " "))
		}
	})
}

func TestStrictQueueIsServedBeforeTheBacklogOfALaterOne(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var o order
		g := newGate()
		once := true // one at a time runs
		late := b.backlog("late", 300)
		b.work(consumer.Config{Concurrency: 1, LookAhead: -1, Strict: true, Queues: []consumer.Queue{{Name: "early"}, {Name: "late"}}},
			named.Handler(func(ctx context.Context, name string) (int, error) {
				if once {
					once = false
					_, _ = g.handle(ctx, 0)
				}
				time.Sleep(500 * time.Microsecond) // work
				return o.handle(ctx, name)
			}))
		b.wait("the first task", g.entered)
		early := b.backlog("early", 3)
		close(g.open)
		for _, f := range append(early, late...) {
			value(b, f)
		}
		at := slices.Index(o.all(), "early")
		if at > 150 {
			t.Errorf("the task of the first queue ran after %d of the second one", at)
		}
	})
}

func TestPrioritiesOrderWhatWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var o order
		var fs []*queue.Future[int]
		for _, p := range []queue.Priority{queue.Low, queue.Normal, queue.High, queue.Low, queue.High, queue.Normal} {
			fs = append(fs, submit(b, named, p.String(), queue.Prioritized(p)))
		}
		b.work(consumer.Config{Concurrency: 1, LookAhead: -1}, named.Handler(o.handle))
		for _, f := range fs {
			value(b, f)
		}
		if got := o.all(); !slices.Equal(got, []string{"high", "high", "normal", "normal", "low", "low"}) {
			t.Errorf("ran %q", got)
		}
	})
}

func TestTasksRunInTheOrderOfTheirSubmission(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var mu sync.Mutex
		var runs, want []int
		for i := range 300 {
			want = append(want, i)
		}
		fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, want))
		b.work(consumer.Config{Concurrency: 1, LookAhead: -1}, double.Handler(func(_ context.Context, n int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, n)
			return n, nil
		}))
		for _, f := range fs {
			value(b, f)
		}
		if !slices.Equal(runs, want) {
			t.Errorf("ran %v", runs)
		}
	})
}
