package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

func TestSubmitAndAwait(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		early := submit(b, double, 1) // before there is a worker
		b.work(consumer.Config{Concurrency: 4}, double.Handler(twice))
		if got := value(b, early); got != 2 {
			t.Errorf("value %d", got)
		}
		// A context that cannot end takes another way to Redis.
		for i, ctx := range []context.Context{b.ctx, context.Background()} {
			if got, err := double.Call(ctx, b.x, 10*i); got != 20*i || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
		done := make(chan int, 1)
		submit(b, double, 21).OnDone(func(v int, err error) {
			if err != nil {
				t.Error(err)
			}
			done <- v
		})
		select {
		case v := <-done:
			if v != 42 {
				t.Errorf("OnDone got %d", v)
			}
		case <-b.ctx.Done():
			t.Error("OnDone was not called")
		}
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if got, err := double.Call(context.Background(), b.x, i); got != 2*i || err != nil {
					t.Errorf("%d, %v; want %d", got, err, 2*i)
				}
			})
		}
		all.Wait()
	})
}

// picky refuses to encode some arguments.
type picky struct{ N int }

func (p picky) MarshalMsgpack() ([]byte, error) {
	if p.N < 0 {
		return nil, errors.New("negative")
	}
	return make([]byte, p.N), nil // N zeros decode as N numbers, of which nobody reads any
}

func TestBulkHasAnOutcomeAnItem(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		x, err := producer.New(b.rdb, producer.MaxMessage(1000))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close() })
		length := queue.NewTask[picky, int]("length")
		b.work(consumer.Config{Concurrency: 2, Middleware: []queue.Middleware{func(queue.Handler) queue.Handler {
			return queue.HandlerFunc(func(_ context.Context, m *queue.Message) ([]byte, error) {
				return queue.Msgpack.Marshal(len(m.Payload))
			})
		}}}, length.Handler(func(context.Context, picky) (int, error) { return 0, nil }))
		ins := []picky{{10}, {-1}, {2000}, {20}, {2000}, {30}}
		fs, err := length.SubmitAll(b.ctx, x, ins)
		bulk, ok := errors.AsType[*queue.BulkError](err)
		if !ok || bulk.Total != len(ins) || len(bulk.Errs) != 3 {
			t.Fatalf("error %v", err)
		}
		want := map[int]error{1: queue.ErrEncode, 2: queue.ErrTooLarge, 4: queue.ErrTooLarge}
		for i, f := range fs {
			switch {
			case want[i] != nil:
				if f != nil || !errors.Is(bulk.Errs[i], want[i]) {
					t.Errorf("item %d: future %v, error %v; want %v", i, f, bulk.Errs[i], want[i])
				}
			case f == nil:
				t.Errorf("item %d was not accepted: %v", i, bulk.Errs[i])
			default:
				if got := value(b, f); got != ins[i].N {
					t.Errorf("item %d: value %d", i, got)
				}
			}
		}
		if n := b.rdb.HLen(b.ctx, root+"tasks").Val(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

func TestManyTasksAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		const n = 2500 // more than one round trip carries
		b.work(consumer.Config{Concurrency: 4}, double.Handler(twice))
		ins := make([]int, n)
		for i := range ins {
			ins[i] = i
		}
		for i, f := range must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, ins)) {
			if got := value(b, f); got != 2*i {
				t.Fatalf("value %d of item %d", got, i)
			}
		}
		if fs, err := double.SubmitAll(b.ctx, b.x, nil); len(fs) != 0 || err != nil {
			t.Errorf("nothing at all: %v, %v", fs, err)
		}
	})
}

// What is submitted while a round trip is under way travels together in the next.
func TestConcurrentSubmissionsShareRoundTrips(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	submit(b, double, 0, queue.NoReply()) // the queue is known
	before := b.info("commandstats", "cmdstat_evalsha:calls=")
	if err := b.rdb.Do(b.ctx, "CLIENT", "PAUSE", 60000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	const n = 300
	var calls, started sync.WaitGroup
	started.Add(n)
	for i := range n {
		calls.Go(func() {
			started.Done()
			if _, err := double.Submit(context.Background(), b.x, i, queue.NoReply()); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	if err := b.rdb.Do(b.ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
	if got := b.rdb.HLen(b.ctx, root+"tasks").Val(); got != n+1 {
		t.Errorf("%d tasks are stored, want %d", got, n+1)
	}
	if trips := b.info("commandstats", "cmdstat_evalsha:calls=") - before; trips > n/2 {
		t.Errorf("%d round trips for %d submissions", trips, n)
	}
}

func TestSubmitRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, redistest.Mini(t).Client())
	tests := map[string]struct {
		task queue.Task[int, int]
		opts []queue.Option
		want error
	}{
		"task name":         {queue.NewTask[int, int]("{a}"), nil, queue.ErrName},
		"queue name":        {double, []queue.Option{queue.On("a b")}, queue.ErrName},
		"group name":        {double, []queue.Option{queue.OnStream("s"), queue.ReplyFrom("")}, queue.ErrName},
		"negative delay":    {double, []queue.Option{queue.Delay(-1)}, queue.ErrOption},
		"negative timeout":  {double, []queue.Option{queue.Timeout(-1)}, queue.ErrOption},
		"negative retries":  {double, []queue.Option{queue.Retries(-1)}, queue.ErrOption},
		"negative keep":     {double, []queue.Option{queue.Keep(-1)}, queue.ErrOption},
		"empty key":         {double, []queue.Option{queue.ID("")}, queue.ErrOption},
		"wrong partition":   {double, []queue.Option{queue.ID(queue.NewTaskID(3).String())}, queue.ErrTaskID},
		"group of a list":   {double, []queue.Option{queue.ReplyFrom("g")}, queue.ErrOption},
		"too large a task":  {double, []queue.Option{queue.Header("h", strings.Repeat("x", queue.MaxMessage))}, queue.ErrTooLarge},
		"queue of one kind": {double, []queue.Option{queue.OnStream("taken")}, queue.ErrQueueKind},
	}
	submit(b, double, 1, queue.On("taken"))
	for name, test := range tests {
		if f, err := test.task.Submit(b.ctx, b.x, 1, test.opts...); f != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: future %v, error %v; want %v", name, f, err, test.want)
		}
	}
	if n := b.rdb.HLen(b.ctx, root+"tasks").Val(); n != 0 {
		t.Errorf("%d refused tasks are stored", n)
	}
	for name, most := range map[string]int{"zero": 0, "negative": -1} {
		if _, err := producer.New(b.rdb, producer.MaxMessage(most)); !errors.Is(err, queue.ErrOption) {
			t.Errorf("MaxMessage %s: %v", name, err)
		}
	}
	if _, err := producer.New(nil); !errors.Is(err, queue.ErrOption) {
		t.Errorf("no Redis client: %v", err)
	}
}

func TestDelayedTasksStartInTime(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		started := queue.NewTask[int, time.Time]("started")
		b.work(consumer.Config{Concurrency: 2}, started.Handler(func(context.Context, int) (time.Time, error) {
			return b.rdb.Time(b.ctx).Result()
		}))
		const wait = 150 * time.Millisecond
		const late = 30 * time.Second // only a task that is forgotten starts so late
		submits := map[string]func(now time.Time) queue.Option{
			"delay":         func(time.Time) queue.Option { return queue.Delay(wait) },
			"at":            func(now time.Time) queue.Option { return queue.At(now.Add(wait)) },
			"at, long gone": func(now time.Time) queue.Option { return queue.At(now.Add(-time.Hour)) },
		}
		for name, option := range submits {
			before := b.now().Truncate(time.Millisecond)
			f := submit(b, started, 1, option(before))
			due := before.Add(wait)
			if name == "at, long gone" {
				due = before
			}
			at := value(b, f)
			if at.Before(due) || at.After(due.Add(late)) {
				t.Errorf("%s: started %v after it was due", name, at.Sub(due))
			}
		}
	})
}

func TestPartitionsShareTheTasksOfAQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		const parts = 4
		l := must[queue.Layout](b)(b.x.Declare(b.ctx, "default", queue.Layout{Partitions: parts}))
		if l.Partitions != parts || l.Kind != queue.KindList {
			t.Fatalf("layout %+v", l)
		}
		ins := make([]int, 200)
		for i := range ins {
			ins[i] = i
		}
		fs := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, ins))
		fs = append(fs, submit(b, double, len(ins)))
		seen := map[uint16]int{}
		for _, f := range fs {
			seen[f.ID().Partition()]++
		}
		if len(seen) != parts {
			t.Errorf("tasks are in partitions %v", seen)
		}
		// Another client learns the layout from Redis.
		y := b.producer()
		for range 20 {
			fs = append(fs, must[*queue.Future[int]](b)(double.Submit(b.ctx, y, len(fs))))
		}
		b.work(consumer.Config{Concurrency: 3}, double.Handler(twice))
		for i, f := range fs {
			if got := value(b, f); got != 2*i {
				t.Errorf("value %d of task %d", got, i)
			}
		}
		if _, err := b.x.Declare(b.ctx, "default", queue.Layout{Partitions: 2}); !errors.Is(err, queue.ErrOption) {
			t.Errorf("taking partitions away: %v", err)
		}
	})
}

func TestUnusableRedis(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, o *redis.Options, want error) {
		t.Helper()
		rdb := redis.NewClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		b := newBed(t, nil, rdb)
		if err := b.x.Ping(b.ctx); !errors.Is(err, want) {
			t.Errorf("Ping: %v, want %v", err, want)
		}
		if _, err := double.Submit(b.ctx, b.x, 1); !errors.Is(err, want) {
			t.Errorf("Submit: %v, want %v", err, want)
		}
		if _, err := double.Open(b.ctx, b.x, queue.NewTaskID(0)); err == nil {
			t.Error("Open: no error")
		}
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		s.Kill()
		o := s.Options()
		o.MaxRetries = -1
		try(t, o, queue.ErrUnavailable)
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		o := redistest.Start(t, "--requirepass", "secret").Options()
		o.Password = "guess"
		try(t, o, queue.ErrUnauthorized)
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		b := onRedis(t)
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		value(b, submit(b, double, 1))
		if err := b.rdb.ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := double.Submit(b.ctx, b.x, 1); !errors.Is(err, queue.ErrStoreFull) {
			t.Errorf("error %v, want ErrStoreFull", err)
		}
		if err := b.rdb.ConfigSet(b.ctx, "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
		if got := value(b, submit(b, double, 4)); got != 8 {
			t.Errorf("value %d when there is room again", got)
		}
	})
}
