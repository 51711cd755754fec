package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestUnknownTypeWaitsForAWorkerThatKnowsIt(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		other := queue.NewTask[int, int]("other")
		// No heartbeat helps out while this test runs.
		cfg := consumer.Config{Concurrency: 1, Lease: time.Hour}
		b.work(cfg, double.Handler(twice))
		f := submit(b, other, 1)
		b.until("the task to be parked", func() bool { return b.rdb.ZCard(b.ctx, root+"due").Val() == 1 })
		b.work(cfg, double.Handler(twice), other.Handler(func(ctx context.Context, _ int) (int, error) {
			return queue.FromContext(ctx).Attempt, nil
		}))
		if attempt := value(b, f); attempt != 1 {
			t.Errorf("it ran as attempt %d: being parked used up a retry", attempt)
		}
	})
}

// A task that has cost two workers is run alone, by whoever has the turn for such tasks. One
// that has no handler for it must not keep the turn from another that has.
func TestALonelyTaskOfAnUnknownTypeGoesToAWorkerThatKnowsIt(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		other := queue.NewTask[int, int]("other")
		cfg := consumer.Config{Concurrency: 2, Lease: time.Hour}
		b.work(cfg, double.Handler(twice))
		m := queue.Message{Type: "other", Payload: []byte{1}}
		id := queue.NewTaskID(0)
		for key, field := range map[string]string{"tasks": string(m.AppendWire(nil)), "notes": "1 0 2 0"} {
			if err := b.rdb.HSet(b.ctx, root+key, id[:], field).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.rdb.RPush(b.ctx, root+"alone", id[:]).Err(); err != nil {
			t.Fatal(err)
		}
		value(b, submit(b, double, 1)) // wakes the worker
		b.until("the task to be parked", func() bool { return b.rdb.ZCard(b.ctx, root+"due").Val() == 1 })
		ran := make(chan struct{})
		b.work(cfg, double.Handler(twice), other.Handler(func(context.Context, int) (int, error) {
			close(ran)
			return 0, nil
		}))
		b.wait("the task to run", ran)
	})
}

// inject puts bytes where the message of a ready task would be.
func (b *bed) inject(id queue.TaskID, wire string) {
	b.t.Helper()
	if err := b.rdb.HSet(b.ctx, root+"tasks", id[:], wire).Err(); err != nil {
		b.t.Fatal(err)
	}
	if err := b.rdb.RPush(b.ctx, root+"ready:1", id[:]).Err(); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatCannotBeReadIsDeadWithAReason(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		m := queue.Message{Type: "double", Payload: []byte{1}, ReplyTo: "nobody"}
		wire := string(m.AppendWire(nil))
		bad := map[queue.TaskID]struct{ wire, kind string }{
			queue.NewTaskID(0): {"", "malformed"},
			queue.NewTaskID(0): {"rubbish", "version"},
			queue.NewTaskID(0): {"\x01rubbish", "malformed"},
			queue.NewTaskID(0): {wire[:len(wire)-1], "malformed"},
			queue.NewTaskID(0): {wire + "x", "malformed"},
			queue.NewTaskID(0): {"\x09" + wire[1:], "version"},
			queue.NewTaskID(0): {"\x01\xdd\x7f\xff\xff\xff", "malformed"},
			queue.NewTaskID(0): {strings.Repeat("x", queue.MaxMessage+1), "too_large"},
		}
		for id, w := range bad {
			b.inject(id, w.wire)
		}
		b.work(consumer.Config{Concurrency: 2}, double.Handler(twice))
		if got := value(b, submit(b, double, 4)); got != 8 {
			t.Errorf("value %d", got)
		}
		b.until("the bad ones to be dead", func() bool { return b.rdb.ZCard(b.ctx, root+"dead").Val() == int64(len(bad)) })
		s := must[*store.Store](b)(store.New(b.rdb))
		for id, w := range bad {
			task := must[store.Task](b)(s.Look(b.ctx, store.NewLine("default", 0, ""), id))
			if task.State != queue.StateDead || task.Outcome == nil || task.Outcome.Err.Kind != w.kind {
				t.Errorf("%.20q is %v, %+v; want a dead task that is %s", w.wire, task.State, task.Outcome, w.kind)
			}
		}
	})
}

func TestValuesAndArgumentsThatDoNotFit(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		tests := []struct {
			name  string
			call  func() error
			route queue.Route
			want  error
		}{
			{
				name: "value that does not encode",
				call: func() error {
					_, err := queue.NewTask[int, int]("chan").Call(b.ctx, b.x, 1)
					return err
				},
				route: queue.NewTask[int, chan int]("chan", queue.Retries(3)).Handler(func(context.Context, int) (chan int, error) { return make(chan int), nil }),
				want:  queue.ErrEncode,
			}, {
				name: "value that is too large",
				call: func() error {
					_, err := queue.NewTask[int, []byte]("large", queue.Retries(3)).Call(b.ctx, b.x, 1)
					return err
				},
				route: queue.NewTask[int, []byte]("large").Handler(func(context.Context, int) ([]byte, error) { return make([]byte, 2000), nil }),
				want:  queue.ErrTooLarge,
			}, {
				name: "argument of another codec",
				call: func() error {
					_, err := queue.NewTask[int, int]("codec", queue.Retries(3), queue.Encoded(queue.JSON)).Call(b.ctx, b.x, 1)
					return err
				},
				route: queue.NewTask[int, int]("codec").Handler(twice),
				want:  queue.ErrDecode,
			}, {
				name: "argument of another type",
				call: func() error {
					_, err := queue.NewTask[string, int]("type", queue.Retries(3)).Call(b.ctx, b.x, "one")
					return err
				},
				route: queue.NewTask[int, int]("type").Handler(twice),
				want:  queue.ErrDecode,
			},
		}
		var routes []queue.Route
		for _, test := range tests {
			routes = append(routes, test.route)
		}
		w := b.work(consumer.Config{Concurrency: 2, MaxMessage: 1000}, routes...)
		for _, test := range tests {
			if err := test.call(); !errors.Is(err, test.want) || !queue.IsTaskError(err) {
				t.Errorf("%s: error %v, want %v", test.name, err, test.want)
			}
		}
		if s := w.Stats(); s.Retried != 0 {
			t.Errorf("%d were tried again, which cannot help", s.Retried)
		}
	})
}

func TestExpiredTaskIsNotRun(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1, queue.Expire(20*time.Millisecond))
		late := b.now().Add(30 * time.Millisecond)
		b.until("the task's time to be over", func() bool { return b.now().After(late) })
		b.work(consumer.Config{Concurrency: 1}, double.Handler(func(context.Context, int) (int, error) {
			t.Error("the handler runs")
			return 0, nil
		}))
		_, err := f.Get(b.ctx)
		if !errors.Is(err, queue.ErrExpired) || f.State() != queue.StateExpired {
			t.Errorf("error %v, state %v", err, f.State())
		}
	})
}

// crashed makes a waiting task look as if deliveries of it had ended with the loss
// of the worker.
func (b *bed) crashed(id queue.TaskID, crashes int) {
	b.t.Helper()
	if n := b.rdb.LRem(b.ctx, root+"ready:1", 1, id[:]).Val(); n != 1 {
		b.t.Fatalf("task %s does not wait", id)
	}
	note := store.Note{Level: 1, Crashes: crashes}.String()
	if err := b.rdb.HSet(b.ctx, root+"notes", id[:], note).Err(); err != nil {
		b.t.Fatal(err)
	}
	if err := b.rdb.RPush(b.ctx, root+"alone", id[:]).Err(); err != nil {
		b.t.Fatal(err)
	}
}

func TestTaskThatKillsWorkersIsGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f := submit(b, double, 1, queue.Retries(10))
		b.crashed(f.ID(), 3)
		b.work(consumer.Config{Concurrency: 2}, double.Handler(func(_ context.Context, n int) (int, error) {
			if n == 1 {
				t.Error("it is run once more")
			}
			return 2 * n, nil
		}))
		if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrWorkerLost) {
			t.Errorf("error %v, want ErrWorkerLost", err)
		}
		if got := value(b, submit(b, double, 2)); got != 4 {
			t.Errorf("the next task's value is %d", got)
		}
	})
}

func TestSuspectTaskRunsWithoutNeighbours(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		suspect := queue.NewTask[int, int]("suspect")
		var crowd crowd
		entered, let := make(chan struct{}), make(chan struct{})
		routes := []queue.Route{
			double.Handler(func(_ context.Context, n int) (int, error) {
				crowd.enter()
				defer crowd.leave()
				time.Sleep(2 * time.Millisecond) // work
				return 2 * n, nil
			}),
			suspect.Handler(func(ctx context.Context, _ int) (int, error) {
				here := crowd.enter()
				defer crowd.leave()
				close(entered)
				select {
				case <-let:
				case <-ctx.Done():
				}
				return max(here, crowd.now()), nil
			}),
		}
		before := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 20)))
		f := submit(b, suspect, 1)
		b.crashed(f.ID(), 2)
		b.work(consumer.Config{Concurrency: 4}, routes...)
		b.wait("the suspect task", entered)
		after := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, b.x, make([]int, 5)))
		for range 100 { // time enough to start what was just submitted
			b.now()
		}
		if n := crowd.now(); n != 1 {
			t.Errorf("%d tasks run beside the suspect one", n-1)
		}
		close(let)
		if n := value(b, f); n != 1 {
			t.Errorf("%d tasks ran beside the suspect one", n-1)
		}
		for _, f := range append(before, after...) {
			value(b, f)
		}
	})
}
