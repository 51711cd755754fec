package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

var (
	last   = queue.NewTask[int, int]("last")
	afar   = queue.NewTask[int, int]("last", queue.On("other"))
	failed = queue.NewTask[int, int]("failed")
)

// heard collects the arguments that the task `last` was run with.
type heard chan int

func (h heard) handle(_ context.Context, n int) (int, error) {
	h <- n
	return n + 1, nil
}

func (h heard) wait(b *bed, what string, want int) {
	b.t.Helper()
	select {
	case got := <-h:
		if got != want {
			b.t.Errorf("%s: run with %d, want %d", what, got, want)
		}
	case <-b.ctx.Done():
		b.t.Fatalf("%s: never run", what)
	}
}

func both() []consumer.Queue { return []consumer.Queue{{Name: "default"}, {Name: "other"}} }

// tasksOf is how many tasks the queue has, in whatever state.
func (b *bed) tasksOf(name string) int {
	b.t.Helper()
	return int(b.rdb.HLen(b.ctx, "cenote:{"+name+"}:tasks").Val())
}

func TestTheValueOfATaskIsTheArgumentOfTheNext(t *testing.T) {
	chain := queue.Then(double, queue.NoReply(), queue.Then(last))
	for name, c := range map[string]struct {
		then queue.Option
		want int
	}{
		"on the same queue": {queue.Then(last), 10},
		"later":             {queue.Then(last, queue.Delay(30*time.Millisecond)), 10},
		"with priority":     {queue.Then(last, queue.Prioritized(queue.High)), 10},
		"on another queue":  {queue.Then(afar), 10},
		"there, later":      {queue.Then(afar, queue.Delay(30*time.Millisecond)), 10},
		"with a key":        {queue.Then(last, queue.ID("order 7")), 10},
		"three in a row":    {chain, 20},
		"three, far away":   {queue.Then(double, queue.On("other"), queue.Then(afar)), 20},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *bed) {
				h := make(heard, 10)
				w := b.work(consumer.Config{Concurrency: 2, Queues: both()}, double.Handler(twice), last.Handler(h.handle))
				if got := value(b, submit(b, double, 5, c.then)); got != 10 {
					t.Errorf("the first one's value is %d", got)
				}
				h.wait(b, "the last one", c.want)
				if name == "with a key" {
					f := must[*queue.Future[int]](b)(last.Open(b.ctx, b.x, queue.KeyTaskID("order 7", 1)))
					if got := value(b, f); got != 11 {
						t.Errorf("its value is %d", got)
					}
				}
				w.stop()
				if len(h) > 0 {
					t.Error("it ran twice")
				}
				if n := b.tasksOf("default") + b.tasksOf("other"); n > 0 {
					t.Errorf("%d tasks are left", n)
				}
			})
		})
	}
}

func TestNothingFollowsAFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		h := make(heard, 10)
		var tries atomic.Int32
		w := b.work(consumer.Config{Concurrency: 1}, last.Handler(h.handle), failed.Handler(func(_ context.Context, n int) (int, error) {
			if tries.Add(1) == 3 {
				return n, nil
			}
			return 0, errors.New("no")
		}))
		if _, err := submit(b, failed, 1, queue.Then(last)).Get(b.ctx); err == nil {
			t.Fatal("it did not fail")
		}
		// One that fails first and then does well is followed once.
		soon := queue.Spaced(queue.Backoff{Base: time.Millisecond})
		if got := value(b, submit(b, failed, 2, queue.Then(last), queue.Retries(3), soon)); got != 2 {
			t.Errorf("value %d", got)
		}
		h.wait(b, "what follows the retried one", 2)
		w.stop()
		if len(h) > 0 {
			t.Errorf("run with %d as well", <-h)
		}
		if n := b.tasksOf("default"); n != 1 {
			t.Errorf("%d tasks are left, want the dead one", n)
		}
	})
}

func TestWhatFollowsNeedsNobodyThatWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		h := make(heard, 10)
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice), last.Handler(h.handle))
		submit(b, double, 4, queue.NoReply(), queue.Then(last))
		h.wait(b, "what follows", 8)
	})
}

func TestWhatCannotBeReadIsDeadBeforeItRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		next := queue.AppendNext(nil, &queue.Message{Type: "last", Queue: "default"})
		for what, m := range map[string]*queue.Message{
			"nonsense": {Then: []byte{0xc1}},
			"a chunk":  {Then: next, Items: 1, Payload: []byte{0xc4, 1, 1}},
		} {
			m.Type, m.Queue = "double", "default"
			p := must[*queue.Promise](b)(b.x.Submit(b.ctx, m))
			o := must[*queue.Outcome](b)(p.Wait(b.ctx))
			if o.State != queue.StateDead || o.Err.Kind != "malformed" {
				t.Errorf("%s: ended as %v, %+v", what, o.State, o.Err)
			}
		}
	})
}

func TestARelayThatComesAgainStoresNothingTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		w := b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		relay := func(next *queue.Message) { // under the same id each time, as if delivered again
			b.t.Helper()
			before := w.Stats().Succeeded
			m := &queue.Message{Type: "cenote.relay", Queue: "default", Key: "relay", NoReply: true, Payload: queue.AppendNext(nil, next)}
			must[*queue.Promise](b)(b.x.Submit(b.ctx, m))
			b.until("the relay", func() bool { return w.Stats().Succeeded == before+1 && b.tasksOf("default") == 0 })
		}
		plain := func() *queue.Message { return &queue.Message{Type: "last", Queue: "other", Payload: []byte{5}} }
		relay(plain())
		relay(plain())
		if n := b.tasksOf("other"); n != 1 {
			t.Fatalf("%d tasks on the other queue, want 1", n)
		}
		// And when the task has come and gone.
		h := make(heard, 10)
		there := b.work(consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "other"}}}, last.Handler(h.handle))
		h.wait(b, "the task on the other queue", 5)
		b.until("its end", func() bool { return b.tasksOf("other") == 0 })
		relay(plain())
		there.stop()
		if n := b.tasksOf("other"); n != 0 || len(h) != 0 {
			t.Errorf("%d tasks more on the other queue, %d runs more", n, len(h))
		}
	})
}

func TestARelayToAQueueOfAnotherKindIsDead(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		must[queue.Layout](b)(b.x.Declare(b.ctx, "other", queue.Layout{Kind: queue.KindStream}))
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		value(b, submit(b, double, 5, queue.Then(afar)))
		b.until("the relay to be dead", func() bool { return b.rdb.ZCard(b.ctx, root+"dead").Val() == 1 })
	})
}

func TestATaskOfAStreamIsFollowedToo(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		h := make(heard, 10)
		b.work(consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "events", Group: "g"}, {Name: "default"}}},
			double.Handler(twice), last.Handler(h.handle))
		submit(b, double, 3, queue.OnStream("events"), queue.Then(last))
		h.wait(b, "what follows", 6)
		submit(b, double, 4, queue.Then(last, queue.OnStream("events")))
		h.wait(b, "what follows, on a stream", 8)
	})
}

// gets counts how often a common argument is fetched, and how often it is shared.
type gets struct{ n, shared atomic.Int32 }

func (g *gets) DialHook(next redis.DialHook) redis.DialHook { return next }
func (g *gets) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (g *gets) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if a := cmd.Args(); cmd.Name() == "get" && strings.Contains(fmt.Sprint(a[1]), ":common:") {
			g.n.Add(1)
		}
		if cmd.Name() == "expire" {
			g.shared.Add(1)
		}
		return next(ctx, cmd)
	}
}

func TestACommonArgumentIsFetchedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var g gets
		b.rdb.AddHook(&g)
		look := queue.NewTask[string, int]("look")
		other := queue.NewTask[string, int]("other")
		b.work(consumer.Config{Concurrency: 8}, look.Handler(func(ctx context.Context, word string) (int, error) {
			table, err := queue.Common[map[string]int](ctx)
			return table[word], err
		}), other.Handler(func(ctx context.Context, word string) (int, error) { // the same bytes, but another type
			table, err := queue.Common[map[string]int64](ctx)
			return int(table[word]), err
		}))
		table := queue.Sharing(map[string]int{"a": 1, "b": 2})
		words := strings.Split(strings.Repeat("ab", 50), "")
		fs := must[[]*queue.Future[int]](b)(look.SubmitAll(b.ctx, b.x, words, table))
		for i, f := range fs {
			if got := value(b, f); got != 1+i%2 {
				t.Fatalf("%q is %d", words[i], got)
			}
		}
		if n := g.n.Load(); n != 1 {
			t.Errorf("fetched %d times for %d tasks", n, len(fs))
		}
		if n := g.shared.Load(); n > 2 { // twice if the hour changed meanwhile
			t.Errorf("shared %d times for %d tasks", n, len(fs))
		}
		if got := value(b, submit(b, other, "b", table)); got != 2 {
			t.Errorf("the other type of task: %d", got)
		}
		if n := g.n.Load(); n != 2 {
			t.Errorf("fetched %d times for two types of tasks", n)
		}
		if _, err := submit(b, look, "a").Get(b.ctx); err == nil || !strings.Contains(err.Error(), "queue.Sharing") {
			t.Errorf("without one: %v", err)
		}
	})
}

func TestACommonArgumentThatIsGoneIsSaidToBe(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		look := queue.NewTask[int, int]("look")
		f := submit(b, look, 1, queue.Sharing(7), queue.NoReply(), queue.Keep(time.Hour))
		keys := must[[]string](b)(b.rdb.Keys(b.ctx, root+"common:*").Result())
		if len(keys) != 1 {
			t.Fatalf("keys %q", keys)
		}
		b.rdb.Del(b.ctx, keys...)
		errs := make(chan error, 1)
		b.work(consumer.Config{Concurrency: 1}, look.Handler(func(ctx context.Context, n int) (int, error) {
			_, err := queue.Common[int](ctx)
			errs <- err
			return n, nil
		}))
		select {
		case err := <-errs:
			if !errors.Is(err, queue.ErrResultExpired) || !strings.Contains(err.Error(), "queue.Sharing") {
				t.Errorf("%v", err)
			}
		case <-b.ctx.Done():
			t.Fatalf("%s never ran", f.ID())
		}
	})
}

func TestAChunkGoesOnWhereALostWorkerWas(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		step := queue.NewTask[int, int]("step")
		var mu sync.Mutex
		runs := map[int]int{}
		stuck := make(chan struct{}, 1)
		b.work(consumer.Config{Concurrency: 2}, step.Handler(func(ctx context.Context, n int) (int, error) {
			mu.Lock()
			runs[n]++
			first := runs[n] == 1
			mu.Unlock()
			switch {
			case n == 2 && first: // long enough that what was done goes on record
				time.Sleep(300 * time.Millisecond)
			case n == 4 && first:
				stuck <- struct{}{}
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}
			return 10 * n, nil
		}))
		m := &queue.Message{Type: "step", Queue: "default", Items: 6}
		for n := range byte(6) {
			m.Payload = append(m.Payload, 0xc4, 1, n)
		}
		p := must[*queue.Promise](b)(b.x.Submit(b.ctx, m))
		b.wait("the item that the worker is lost at", stuck)
		id := m.ID
		key := root + "part:" + string(id[:])
		if n := b.rdb.Exists(b.ctx, key).Val(); n != 1 {
			t.Fatal("nothing is on record")
		}
		b.usurp(b.consumers()[0])
		o := must[*queue.Outcome](b)(p.Wait(b.ctx))
		var want []byte
		for n := range byte(6) {
			enc := must[[]byte](b)(queue.Msgpack.Marshal(10 * int(n)))
			want = append(append(want, 0xc4, byte(len(enc))), enc...)
		}
		if o.State != queue.StateSucceeded || !bytes.HasSuffix(o.Value, want) {
			t.Errorf("ended as %v: % x, want at the end % x", o.State, o.Value, want)
		}
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(runs) != "map[0:1 1:1 2:1 3:2 4:2 5:1]" {
			t.Errorf("runs of each item: %v; those up to 2 were on record", runs)
		}
		b.until("the record to be gone", func() bool { return b.rdb.Exists(b.ctx, key).Val() == 0 })
	})
}

func TestAHandlerThatWaitsWithTheOnlySlotIsWarnedOfOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		core, logs := observer.New(zapcore.WarnLevel)
		w := b.work(consumer.Config{Concurrency: 1, Logger: zap.New(core)}, double.Handler(func(ctx context.Context, n int) (int, error) {
			p := queue.NewPromise(queue.NewTaskID(0))
			time.AfterFunc(time.Millisecond, func() { p.Resolve(&queue.Outcome{ID: p.ID(), State: queue.StateSucceeded}) })
			_, err := p.Wait(ctx)
			return 2 * n, err
		}))
		for n := range 3 {
			if got := value(b, submit(b, double, n)); got != 2*n {
				t.Errorf("value %d", got)
			}
		}
		w.stop()
		if n := logs.FilterMessageSnippet("only slot").Len(); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
}
