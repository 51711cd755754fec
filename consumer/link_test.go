package consumer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// doomed is a producer with a Redis client of its own, so that it can be lost.
func (b *bed) doomed() (*producer.Client, *redis.Client) {
	b.t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: b.rdb.Options().Addr})
	x := must[*producer.Client](b)(producer.New(rdb))
	b.t.Cleanup(func() {
		_ = x.Close()
		_ = rdb.Close()
	})
	return x, rdb
}

// aLittleLater is when a worker asks again whether a program is there.
const aLittleLater = 1100 * time.Millisecond

// open opens a task for whoever outlives its submitter.
func open[Out any](b *bed, task queue.Task[int, Out], f *queue.Future[Out]) *queue.Future[Out] {
	b.t.Helper()
	return must[*queue.Future[Out]](b)(task.Open(b.ctx, b.x, f.ID()))
}

func links(b *bed) []string {
	b.t.Helper()
	return must[[]string](b)(b.rdb.Keys(b.ctx, "cenote:link:*").Result())
}

func TestLinkedTasksDieWithAProgramThatGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		h := make(heard, 10)
		x, _ := b.doomed()
		linked := queue.Linked()
		running := must[*queue.Future[int]](b)(gated.Submit(b.ctx, x, 1, linked))
		must[*queue.Future[int]](b)(last.Submit(b.ctx, x, 2))
		later := must[*queue.Future[int]](b)(last.Submit(b.ctx, x, 3, linked, queue.Delay(aLittleLater)))
		chain := must[*queue.Future[int]](b)(double.Submit(b.ctx, x, 4, linked, queue.Then(last, queue.Delay(aLittleLater))))
		seen := []*queue.Future[int]{open(b, gated, running), open(b, last, later)}
		if n := len(links(b)); n != 1 {
			t.Fatalf("%d links of one program", n)
		}
		b.work(consumer.Config{Concurrency: 2, Lease: time.Second}, gated.Handler(g.handle), last.Handler(h.handle), double.Handler(twice))
		b.wait("the task", g.entered)
		value(b, chain) // what follows it is bound to the link as well
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		for _, f := range seen {
			if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrCancelled) {
				t.Errorf("a linked task: %v, want it cancelled", err)
			}
		}
		h.wait(b, "a task that is not linked", 2)
		b.until("the end of what follows a linked task", func() bool { return b.tasksOf("default") == 0 })
		if len(h) > 0 {
			t.Error("a linked task ran, or what follows it")
		}
	})
}

// A program that is lost without a word is gone when it has been silent for long.
func TestLinkedTasksDieWithAProgramThatIsLost(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		b.work(consumer.Config{Concurrency: 2, Lease: time.Second}, gated.Handler(g.handle), double.Handler(twice))
		x, rdb := b.doomed()
		running := open(b, gated, must[*queue.Future[int]](b)(gated.Submit(b.ctx, x, 1, queue.Linked())))
		waiting := open(b, double, must[*queue.Future[int]](b)(double.Submit(b.ctx, x, 2, queue.Linked(), queue.Delay(aLittleLater))))
		b.wait("the task", g.entered)
		_ = rdb.Close()
		b.rdb.Del(b.ctx, links(b)...) // it lapses
		for _, f := range []*queue.Future[int]{running, waiting} {
			if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrCancelled) {
				t.Errorf("a linked task: %v, want it cancelled", err)
			}
		}
	})
}

// Redis may have forgotten a link whose program is well and renews it soon.
func TestALinkThatComesBackCostsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		b.work(consumer.Config{Concurrency: 2, Lease: 4 * time.Second}, gated.Handler(g.handle), double.Handler(twice))
		running := submit(b, gated, 1, queue.Linked())
		b.wait("the task", g.entered)
		link := links(b)
		b.rdb.Del(b.ctx, link...)
		waiting := submit(b, double, 2, queue.Linked(), queue.Delay(aLittleLater))
		b.until("the worker to put the task off", func() bool {
			due := b.rdb.ZRangeWithScores(b.ctx, root+"due", 0, 0).Val()
			return len(due) == 1 && time.UnixMilli(int64(due[0].Score)).After(b.now().Add(2*aLittleLater))
		})
		b.rdb.Set(b.ctx, link[0], "on", time.Minute) // as the program does
		close(g.open)
		if n := value(b, running); n != 1 {
			t.Errorf("value %d", n)
		}
		if n := value(b, waiting); n != 4 {
			t.Errorf("value %d", n)
		}
	})
}

func TestLinkedIsForListQueues(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		if _, err := double.Submit(b.ctx, b.x, 1, queue.OnStream("events"), queue.Linked()); !errors.Is(err, queue.ErrOption) {
			t.Errorf("on a stream: %v", err)
		}
		if _, err := double.Submit(b.ctx, b.x, 1, queue.Then(last, queue.Linked())); !errors.Is(err, queue.ErrOption) {
			t.Errorf("of what follows: %v", err)
		}
		if n := len(links(b)); n != 0 {
			t.Errorf("%d links of a program that has no linked tasks", n)
		}
	})
}
