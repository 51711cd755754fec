package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/queue/queuetest"
)

// The hours of a pool pass in no time.
func TestLocalInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := queue.NewTask[int, int]("slow", queue.Retries(2), queue.Spaced(queue.Backoff{Base: time.Hour}), queue.Timeout(time.Minute))
		attempts := 0
		p := queuetest.Local(t, 2, double.Handler(twice), slow.Handler(func(ctx context.Context, _ int) (int, error) {
			attempts++
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		began := time.Now()
		equal(t, "value", must[int](t)(double.Call(t.Context(), p, 21, queue.Delay(24*time.Hour))), 42)
		equal(t, "time that passed", time.Since(began), 24*time.Hour)
		_, err := slow.Call(t.Context(), p, 1)
		is(t, err, queue.ErrTimeout)
		equal(t, "attempts", attempts, 3)
		if d := time.Since(began); d < 25*time.Hour+30*time.Minute || d > 26*time.Hour+3*time.Minute {
			t.Errorf("%v have passed: a day, two hours of waits less a quarter, three minutes", d)
		}
	})
}

func TestFleetOutsideABubble(t *testing.T) {
	f := queuetest.NewFleet(t)
	f.Work(consumer.Config{}, double.Handler(twice))
	equal(t, "value", must[int](t)(double.Call(t.Context(), f.Client(), 21)), 42)
}

func TestFleetInABubble(t *testing.T) {
	for range 2 { // one after the other: nothing is left behind that the next would trip over
		synctest.Test(t, func(t *testing.T) {
			f := queuetest.NewFleet(t)
			c := f.Client()
			var at []time.Duration
			began := time.Now()
			f.Work(consumer.Config{Concurrency: 4}, send.Handler(func(context.Context, Mail) (string, error) {
				if at = append(at, time.Since(began)); len(at) < 3 {
					return "", errBounced
				}
				return "sent", nil
			}), double.Handler(twice))
			equal(t, "value", must[string](t)(send.Call(t.Context(), c, Mail{}, queue.On("default"), queue.Delay(10*time.Minute))), "sent")
			if len(at) != 3 || at[0] < 10*time.Minute || at[1] < at[0]+750*time.Millisecond || at[2] < at[1]+1500*time.Millisecond || at[2] > 11*time.Minute {
				t.Errorf("the attempts were made after %v", at)
			}
			kept := must[*queue.Future[int]](t)(double.Submit(t.Context(), c, 1, queue.Keep(time.Minute)))
			_ = must[int](t)(kept.Get(t.Context()))
			other := f.Client()
			equal(t, "kept", must[int](t)(must[*queue.Future[int]](t)(double.Open(t.Context(), other, kept.ID())).Get(t.Context())), 2)
			time.Sleep(2 * time.Minute)
			_, err := double.Open(t.Context(), f.Client(), kept.ID())
			is(t, err, queue.ErrResultExpired)
		})
	}
}

func TestFleetHasStreamsAndGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		event := queue.NewTask[int, string]("event", queue.OnStream("events"), queue.ReplyFrom("billing"))
		work := func(group string) {
			f.Work(consumer.Config{Queues: []consumer.Queue{{Name: "events", Group: group}}}, event.Handler(func(_ context.Context, n int) (string, error) {
				return fmt.Sprint(group, " ", n), nil
			}))
		}
		w := f.Work(consumer.Config{Queues: []consumer.Queue{{Name: "events", Group: "billing"}}}, event.Handler(func(ctx context.Context, _ int) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}))
		synctest.Wait()
		work("shipping")
		fut := must[*queue.Future[string]](t)(event.Submit(t.Context(), f.Client(), 7))
		synctest.Wait()
		w.Kill()
		work("billing")
		equal(t, "the group's answer, by its second worker", must[string](t)(fut.Get(t.Context())), "billing 7")
	})
}

func TestStopHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		var causes []error
		slow := queue.NewTask[int, int]("slow")
		hold := slow.Handler(func(ctx context.Context, n int) (int, error) {
			if len(causes) > 0 {
				return n, nil
			}
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return 0, ctx.Err()
		})
		w := f.Work(consumer.Config{Grace: time.Minute}, hold)
		fut := must[*queue.Future[int]](t)(slow.Submit(t.Context(), f.Client(), 7))
		synctest.Wait()
		began := time.Now()
		w.Stop()
		equal(t, "grace", time.Since(began), time.Minute)
		is(t, errors.Join(causes...), queue.ErrShutdown)
		f.Work(consumer.Config{}, hold)
		equal(t, "value", must[int](t)(fut.Get(t.Context())), 7)
		if d := time.Since(began); d > 2*time.Minute {
			t.Errorf("the next worker took it after %v, as if its lease had had to lapse", d)
		}
	})
}

// crash is a task whose handler is killed.
var crash = queue.NewTask[int, string]("crash", queue.Retries(0))

func TestKilledWorkersTasksRunAgainWhenTheLeaseHasLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		var causes []error
		var tokens []uint64
		w := f.Work(consumer.Config{Concurrency: 2}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
			tokens = append(tokens, queue.FromContext(ctx).Token)
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return "from beyond", nil
		}))
		fut := must[*queue.Future[string]](t)(crash.Submit(t.Context(), f.Client(), 1))
		synctest.Wait()
		began := time.Now()
		w.Kill()
		synctest.Wait()
		is(t, errors.Join(causes...), queue.ErrWorkerLost)
		time.Sleep(20 * time.Second)
		f.Work(consumer.Config{}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
			tokens = append(tokens, queue.FromContext(ctx).Token)
			return "done", nil
		}))
		equal(t, "value", must[string](t)(fut.Get(t.Context())), "done")
		if d := time.Since(began); d < 25*time.Second || d > 40*time.Second {
			t.Errorf("the other worker took over after %v, the lease is 30 s", d)
		}
		equal(t, "tokens", tokens, []uint64{1, 2})
	})
}

func TestHandlerThatKillsItsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		deaths := 0
		work := func() {
			var w *queuetest.Worker
			ready := make(chan struct{})
			w = f.Work(consumer.Config{Concurrency: 3}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
				<-ready
				deaths++
				w.Kill()
				is(t, context.Cause(ctx), queue.ErrWorkerLost)
				return "", nil
			}), double.Handler(twice))
			close(ready)
		}
		c := f.Client()
		fut := must[*queue.Future[string]](t)(crash.Submit(t.Context(), c, 1))
		for range 4 {
			work()
			time.Sleep(time.Minute)
		}
		_, err := fut.Get(t.Context())
		is(t, err, queue.ErrWorkerLost)
		equal(t, "deaths", deaths, 3)
		equal(t, "a neighbour", must[int](t)(double.Call(t.Context(), c, 4)), 8)
	})
}

// What a killed worker had taken and not begun is not run by it any more.
func TestKilledWorkerBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		began := 0
		var w *queuetest.Worker
		count := func(h queue.Handler) queue.Handler {
			return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
				began++
				return h.Handle(ctx, m)
			})
		}
		w = f.Work(consumer.Config{Middleware: []queue.Middleware{count}}, double.Handler(func(_ context.Context, n int) (int, error) {
			if n == 3 {
				w.Kill()
			}
			return n, nil
		}))
		time.AfterFunc(time.Minute, func() { f.Work(consumer.Config{}, double.Handler(twice)) })
		ins := []int{1, 2, 3, 4, 5, 6}
		equal(t, "values", must[[]int](t)(double.MapAll(t.Context(), f.Client(), slices.Values(ins), queue.Chunk(6))), []int{2, 4, 6, 8, 10, 12})
		equal(t, "tasks that the killed worker began", began, 3)
	})
}

// The store knows at once that nobody is at the other end any more, as Redis does when a
// process is killed: a dead worker is handed nothing.
func TestDeadWorkersAreHandedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		w := f.Work(consumer.Config{}, double.Handler(twice))
		synctest.Wait()
		w.Kill()
		began := time.Now()
		fut := must[*queue.Future[int]](t)(double.Submit(t.Context(), f.Client(), 2))
		f.Work(consumer.Config{}, double.Handler(twice))
		equal(t, "value", must[int](t)(fut.Get(t.Context())), 4)
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v, as if the dead worker had had it", d)
		}
	})
}

func TestWorkerThatIsCutOffLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		c := f.Client()
		var causes []error
		row := map[string]uint64{} // a store with a fence: the largest token wins
		write := func(token uint64) bool {
			if token < row["token"] {
				return false
			}
			row["token"] = token
			return true
		}
		let := make(chan struct{})
		written := make(chan bool, 1)
		w := f.Work(consumer.Config{}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			<-let // it does not heed that
			written <- write(queue.FromContext(ctx).Token)
			return "too late", nil
		}), double.Handler(twice))
		fut := must[*queue.Future[string]](t)(crash.Submit(t.Context(), c, 1))
		synctest.Wait()
		w.CutOff()
		next := f.Work(consumer.Config{}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
			if !write(queue.FromContext(ctx).Token) {
				t.Error("the second attempt's token is below the first's")
			}
			return "in time", nil
		}))
		equal(t, "value", must[string](t)(fut.Get(t.Context())), "in time")
		synctest.Wait()
		is(t, errors.Join(causes...), queue.ErrLeaseLost)
		w.Reconnect()
		close(let)
		equal(t, "the first attempt, which woke up late, has written", <-written, false)
		time.Sleep(time.Minute)
		equal(t, "value, later", must[string](t)(fut.Result()), "in time")
		next.Stop()
		equal(t, "value of the one that is back", must[int](t)(double.Call(t.Context(), c, 2)), 4)
		equal(t, "leases it has lost", w.Stats().Lapsed, 1)
	})
}

func TestShortCutDoesNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFleet(t)
		slow := queue.NewTask[int, int]("slow")
		runs := 0
		w := f.Work(consumer.Config{}, slow.Handler(func(ctx context.Context, n int) (int, error) {
			runs++
			select {
			case <-time.After(20 * time.Second):
				return n, nil
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}))
		fut := must[*queue.Future[int]](t)(slow.Submit(t.Context(), f.Client(), 7))
		synctest.Wait()
		w.CutOff()
		time.Sleep(10 * time.Second)
		w.Reconnect()
		equal(t, "value", must[int](t)(fut.Get(t.Context())), 7)
		equal(t, "runs", runs, 1)
		w.Kill()
		w.Reconnect()
		g := must[*queue.Future[int]](t)(slow.Submit(t.Context(), f.Client(), 8))
		time.Sleep(5 * time.Minute)
		if _, err := g.Result(); !queue.IsWait(err) || runs != 1 {
			t.Errorf("a killed worker came back: %v, %d runs", err, runs)
		}

		back := f.Work(consumer.Config{}, double.Handler(twice))
		synctest.Wait()
		back.CutOff()
		back.Reconnect()
		back.Stop() // in order
		last := f.Work(consumer.Config{}, double.Handler(twice))
		synctest.Wait()
		last.CutOff() // and the test ends like that, in order
	})
}

func TestKillOutsideABubble(t *testing.T) {
	f := queuetest.NewFleet(t)
	began := make(chan struct{}, 1)
	w := f.Work(consumer.Config{Lease: time.Second}, crash.Handler(func(ctx context.Context, _ int) (string, error) {
		began <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}))
	fut := must[*queue.Future[string]](t)(crash.Submit(t.Context(), f.Client(), 1))
	<-began
	w.Kill()
	f.Work(consumer.Config{Lease: time.Second}, crash.Handler(func(context.Context, int) (string, error) { return "done", nil }))
	equal(t, "value", must[string](t)(fut.Get(t.Context())), "done")
}

// Code that makes its own clients and workers gets the store's. However many of its
// goroutines ask at a time, one test is no trouble to the next.
func TestFleetRedis(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			f := queuetest.NewFleet(t)
			rdb := f.Redis()
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					if err := rdb.BLPop(t.Context(), time.Second, "none").Err(); !errors.Is(err, redis.Nil) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			c := must[*producer.Client](t)(producer.New(rdb))
			defer func() { _ = c.Close() }()
			f.Work(consumer.Config{}, double.Handler(twice))
			equal(t, "value", must[int](t)(double.Call(t.Context(), c, 21)), 42)
		})
	}
}
