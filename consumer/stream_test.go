package consumer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// tally counts how often each number was run.
type tally struct {
	mu   sync.Mutex
	runs map[int]int
	all  int
}

func (y *tally) handle(_ context.Context, n int) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.runs == nil {
		y.runs = map[int]int{}
	}
	y.runs[n]++
	y.all++
	return n, nil
}

func (y *tally) total() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.all
}

// onceEach waits until the numbers below n were run, and fails the test unless
// each was run once.
func (b *bed) onceEach(who string, y *tally, n int) {
	b.t.Helper()
	b.until(who+" to run all tasks", func() bool { return y.total() >= n })
	y.mu.Lock()
	defer y.mu.Unlock()
	for i := range n {
		if y.runs[i] != 1 {
			b.t.Errorf("%s ran task %d %d times", who, i, y.runs[i])
		}
	}
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestEveryGroupOfAStreamGetsEveryTaskOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var mail, audit, late tally
		group := func(name string, y *tally) *hand {
			return b.work(consumer.Config{Concurrency: 2, Queues: []consumer.Queue{{Name: "events", Group: name}}}, double.Handler(y.handle))
		}
		if _, err := b.x.Declare(b.ctx, "events", queue.Layout{Kind: queue.KindStream, Retention: time.Hour}); err != nil {
			t.Fatal(err)
		}
		group("mail", &mail)
		group("mail", &mail) // two workers share a group's tasks
		group("audit", &audit)
		const n = 120
		for i := range 20 { // some one by one, over the bell
			submit(b, double, i, queue.OnStream("events"))
		}
		must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, numbers(n)[20:], queue.OnStream("events")))
		b.onceEach("mail", &mail, n)
		b.onceEach("audit", &audit, n)
		group("late", &late) // sees what is retained
		b.onceEach("late", &late, n)
		submit(b, double, n, queue.OnStream("events"), queue.Delay(20*time.Millisecond))
		b.onceEach("mail", &mail, n+1)
		b.onceEach("audit", &audit, n+1)
		b.onceEach("late", &late, n+1)
	})
}

func TestGroupsFailOnTheirOwn(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		task := queue.NewTask[int, int]("fails", queue.OnStream("events"), queue.Retries(3), queue.Spaced(queue.Backoff{Base: time.Millisecond}))
		var good tally
		b.work(consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "events", Group: "good"}}}, task.Handler(good.handle))
		b.work(consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "events", Group: "bad"}}}, task.Handler(func(ctx context.Context, _ int) (int, error) {
			return queue.FromContext(ctx).Attempt, queue.NoRetry(context.Canceled)
		}))
		b.until("both groups", func() bool { return b.rdb.SCard(b.ctx, "cenote:{events}:groups").Val() == 2 })
		for i := range 5 {
			submit(b, task, i)
		}
		b.onceEach("good", &good, 5)
		b.until("the bad group's dead tasks", func() bool { return b.rdb.ZCard(b.ctx, "cenote:{events}:@bad/dead").Val() == 5 })
		if n := b.rdb.ZCard(b.ctx, "cenote:{events}:@good/dead").Val(); n != 0 {
			t.Errorf("%d dead tasks of the good group", n)
		}
		if n := good.total(); n != 5 {
			t.Errorf("the good group ran %d tasks, want 5", n)
		}
	})
}

// A Redis that has lost a group, in a failover or because somebody deleted it, gets it
// again from the workers that serve it.
func TestAGroupThatIsLostIsMadeAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		news := queue.NewTask[int, int]("news", queue.OnStream("news"))
		var y tally
		b.work(consumer.Config{Concurrency: 1, Lease: time.Second, Queues: []consumer.Queue{{Name: "news", Group: "a"}}}, news.Handler(y.handle))
		submit := func(n int) {
			if _, err := news.Submit(b.ctx, b.x, n); err != nil {
				t.Fatal(err)
			}
		}
		submit(0)
		b.onceEach("the group", &y, 1)
		if n, err := b.rdb.XGroupDestroy(b.ctx, "cenote:{news}:stream", "a").Result(); n != 1 || err != nil {
			t.Fatalf("destroy the group: %d, %v", n, err)
		}
		if err := b.rdb.SRem(b.ctx, "cenote:{news}:groups", "a").Err(); err != nil {
			t.Fatal(err)
		}
		submit(1)
		b.until("the new group to read the stream", func() bool {
			y.mu.Lock()
			defer y.mu.Unlock()
			return y.runs[1] > 0
		})
	})
}
