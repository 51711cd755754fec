package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// usurp takes over all that the consumer holds, as another worker does when its
// lease has lapsed.
func (b *bed) usurp(consumer string) {
	b.t.Helper()
	s := must[*store.Store](b)(store.New(b.rdb))
	line := store.NewLine("default", 0, "")
	if err := s.SignOn(b.ctx, line, "usurper", "", time.Hour); err != nil {
		b.t.Fatal(err)
	}
	b.until("the takeover", func() bool { // its own heartbeat may come in between
		if err := b.rdb.ZAddXX(b.ctx, root+"alive", redis.Z{Score: 1, Member: consumer}).Err(); err != nil {
			b.t.Fatal(err)
		}
		return must[store.Beat](b)(s.Beat(b.ctx, line, "usurper", time.Hour, 0)).Lapsed == 1
	})
	must[int](b)(s.Leave(b.ctx, line, "usurper"))
}

func TestLostLeaseCancelsWhatRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		causes := make(chan error, 1)
		tokens := make(chan uint64, 2)
		let := make(chan struct{})
		w := b.work(consumer.Config{Concurrency: 2, Lease: time.Second}, gated.Handler(func(ctx context.Context, _ int) (int, error) {
			token := queue.FromContext(ctx).Token
			tokens <- token
			if token > 1 {
				return int(token), nil
			}
			select {
			case <-ctx.Done():
			case <-b.ctx.Done():
			}
			causes <- context.Cause(ctx)
			<-let // and says something although nobody listens any more
			return 1, nil
		}))
		f := submit(b, gated, 1)
		if token := <-tokens; token != 1 {
			t.Fatalf("the first delivery has token %d", token)
		}
		before := b.consumers()
		if len(before) != 1 {
			t.Fatalf("consumers %q", before)
		}
		b.usurp(before[0])
		select {
		case c := <-causes:
			if !errors.Is(c, queue.ErrLeaseLost) {
				t.Errorf("cancelled with cause %v", c)
			}
		case <-b.ctx.Done():
			t.Fatal("the handler is not told")
		}
		// The worker goes on as somebody else, and has a slot left for the task.
		if got := value(b, f); got != 2 {
			t.Errorf("value %d, want that of the delivery after the crash", got)
		}
		close(let)
		if after := b.consumers(); len(after) != 1 || after[0] == before[0] {
			t.Errorf("consumers %q, before %q", after, before)
		}
		if s := w.Stats(); s.Lapsed != 1 {
			t.Errorf("stats %+v", s)
		}
		w.stop()
		if n := w.Stats().Succeeded; n != 2 { // the second of them was told to nobody
			t.Errorf("%d succeeded, want 2", n)
		}
	})
}

func TestLateEndingIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		g := newGate()
		// With a second slot the worker claims again, and what came over the bell is
		// put on the books.
		w := b.work(consumer.Config{Concurrency: 2}, gated.Handler(g.handle))
		f := submit(b, gated, 1)
		b.wait("the task", g.entered)
		// Somebody else has it by now.
		id := f.ID()
		name := b.consumers()[0]
		b.until("the task to be on the books", func() bool { return b.rdb.HExists(b.ctx, root+"run:"+name, string(id[:])).Val() })
		if n := b.rdb.HDel(b.ctx, root+"run:"+name, string(id[:])).Val(); n != 1 {
			t.Fatal("the task is not this worker's")
		}
		close(g.open)
		b.until("the ending to be refused", func() bool { return w.Stats().Refused == 1 })
		if err := f.Err(); !errors.Is(err, queue.ErrNotReady) {
			t.Errorf("the caller got something: %v", err)
		}
		if err := b.rdb.RPush(b.ctx, root+"ready:1", string(id[:])).Err(); err != nil {
			t.Fatal(err)
		}
		w.stop()
		b.work(consumer.Config{Concurrency: 1}, gated.Handler(func(context.Context, int) (int, error) { return 99, nil }))
		if got := value(b, f); got != 99 {
			t.Errorf("value %d, want the second worker's", got)
		}
	})
}

func TestLostWorkersTasksAreTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		// A consumer that claims a task and is never heard of again.
		s := must[*store.Store](b)(store.New(b.rdb))
		line := store.NewLine("default", 0, "")
		f := submit(b, double, 4)
		if err := s.SignOn(b.ctx, line, "lost", "", time.Second); err != nil {
			t.Fatal(err)
		}
		r := must[*store.TurnReply](b)(s.Take(b.ctx, &store.Turn{Line: line, Consumer: "lost", Number: 1, Want: 1, Lease: time.Second}))
		if len(r.Tasks) != 1 {
			t.Fatalf("claimed %d tasks", len(r.Tasks))
		}
		w := b.work(consumer.Config{Concurrency: 1, Lease: 2 * time.Second}, double.Handler(twice))
		if got := value(b, f); got != 8 {
			t.Errorf("value %d", got)
		}
		// It may run before the beat that made it ready has been answered.
		b.until("the task to be counted as taken over", func() bool { return w.Stats().Recovered == 1 })
	})
}

func TestWhatIsHeldBehindASlowTaskGoesToAnIdleWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		for range 3 {
			g := newGate()
			routes := []queue.Route{double.Handler(twice), gated.Handler(g.handle)}
			hands := []*hand{
				b.work(consumer.Config{Concurrency: 1, Lease: noHeartbeat}, routes...),
				b.work(consumer.Config{Concurrency: 1, Lease: noHeartbeat}, routes...),
			}
			// Short tasks first: the workers learn to hold some ahead.
			short := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 600)))
			slow := submit(b, gated, 7)
			short = append(short, must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 100)))...)
			for _, f := range short {
				value(b, f)
			}
			close(g.open)
			if got := value(b, slow); got != 7 {
				t.Errorf("value %d", got)
			}
			for _, h := range hands {
				h.stop()
			}
		}
		b.blameless()
	})
}

func TestConsumersNameTheirMachine(t *testing.T) {
	onBoth(t, func(_ *testing.T, b *bed) {
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		value(b, submit(b, double, 1))
		if name := b.consumers()[0]; strings.Count(name, ".") != 2 {
			b.t.Errorf("consumer %q, want host.process.random", name)
		}
	})
}
