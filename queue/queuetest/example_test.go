package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/queue/queuetest"
)

// inTest calls a test function, and prints what it fails with.
func inTest(test func(t testing.TB)) {
	if text := failure(test); text != "" {
		fmt.Println(text)
	}
}

var (
	ErrNoAddress = errors.New("no such address")

	Welcome = queue.NewTask[string, string]("welcome", queue.Retries(3), queue.Sentinel("no_address", ErrNoAddress))
)

// SignUp is what is tested: code that submits. It does not know what runs its tasks.
func SignUp(ctx context.Context, x queue.Executor, name string) error {
	_, err := Welcome.Submit(ctx, x, name, queue.Delay(time.Hour), queue.ID("welcome-"+name))
	return err
}

func ExampleInline() {
	inTest(func(t testing.TB) {
		attempts := 0
		x := queuetest.Inline(t, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			if attempts++; attempts < 3 {
				return "", ErrNoAddress // is tried again, in no time
			}
			return "Welcome, " + name, nil
		}))
		text, err := Welcome.Call(context.Background(), x, "Ada", queue.Delay(24*time.Hour))
		fmt.Println(text, err, "after", attempts, "attempts")
	})
	// Output: Welcome, Ada <nil> after 3 attempts
}

func ExampleRecord() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		_ = SignUp(context.Background(), x, "Ada")

		fmt.Println(queuetest.Submitted(t, x, Welcome))
		one := queuetest.RequireOne(t, x, Welcome)
		fmt.Println(one.In, one.Delay, one.Key, one.Retries)
	})
	// Output:
	// [Ada]
	// Ada 1h0m0s welcome-Ada 3
}

func ExampleSubmissions() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		_ = SignUp(context.Background(), x, "Ada")
		_ = SignUp(context.Background(), x, "Bob")
		for _, s := range queuetest.Submissions(t, x, Welcome) {
			fmt.Println(s.In, s.Key, s.Queue, s.Delay, s.Priority)
		}
	})
	// Output:
	// Ada welcome-Ada default 1h0m0s normal
	// Bob welcome-Bob default 1h0m0s normal
}

func ExampleRequireNone() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		queuetest.RequireNone(t, x, Welcome)
		_ = SignUp(context.Background(), x, "Ada")
		queuetest.RequireNone(t, x, Welcome) // fails
	})
	// Output:
	// queuetest: "welcome" was submitted once, want never; this was submitted:
	// 	1. welcome("Ada") on queue default, id "welcome-Ada", delay 1h0m0s, retries 3, keep 1h0m0s
}

func ExampleRequireSubmitted() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		_ = SignUp(context.Background(), x, "Ada")

		queuetest.RequireSubmitted(t, x, Welcome, "Ada", queue.Delay(time.Hour), queue.ID("welcome-Ada"))
		queuetest.RequireSubmitted(t, x, Welcome, "Bob") // fails
	})
	// Output:
	// queuetest: there is no submission
	// 	welcome("Bob") on queue default, retries 3; this was submitted:
	// 	1. welcome("Ada") on queue default, id "welcome-Ada", delay 1h0m0s, retries 3, keep 1h0m0s
}

func ExampleRecorder_Drain() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			fmt.Println("Welcome,", name)
			return "", nil
		}))
		_ = SignUp(context.Background(), x, "Ada")
		_ = SignUp(context.Background(), x, "Bob")
		fmt.Println("signed up")
		fmt.Println(x.Drain(), "tasks ran")
	})
	// Output:
	// signed up
	// Welcome, Ada
	// Welcome, Bob
	// 2 tasks ran
}

func ExampleRecorder_RunOne() {
	inTest(func(t testing.TB) {
		var x *queuetest.Recorder
		countdown := queue.NewTask[int, string]("countdown")
		x = queuetest.Record(t, countdown.Handler(func(ctx context.Context, n int) (string, error) {
			fmt.Println(n)
			_, err := countdown.Submit(ctx, x, n-1, queue.Delay(time.Second))
			return "", err
		}))
		_, _ = countdown.Submit(context.Background(), x, 10)
		for range 3 { // Drain would have no end
			x.RunOne()
		}
	})
	// Output:
	// 10
	// 9
	// 8
}

func ExampleRecorder_Use() {
	inTest(func(t testing.TB) {
		loud := func(h queue.Handler) queue.Handler {
			return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
				fmt.Println("running", m.Type)
				return h.Handle(ctx, m)
			})
		}
		x := queuetest.Inline(t, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			return "Welcome, " + name, nil
		})).Use(loud)
		fmt.Println(Welcome.Call(context.Background(), x, "Ada"))
	})
	// Output:
	// running welcome
	// Welcome, Ada <nil>
}

func ExampleAnswer() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		queuetest.Answer(x, Welcome, "sent", nil)
		fmt.Println(Welcome.Call(context.Background(), x, "Ada"))

		queuetest.Answer(x, Welcome, "", ErrNoAddress)
		_, err := Welcome.Call(context.Background(), x, "Bob")
		fmt.Println(errors.Is(err, ErrNoAddress), err)
	})
	// Output:
	// sent <nil>
	// true no such address
}

func ExampleRecorder_Refuse() {
	inTest(func(t testing.TB) {
		x := queuetest.Record(t)
		x.Refuse(queue.ErrUnavailable)
		fmt.Println(SignUp(context.Background(), x, "Ada"))
	})
	// Output: the store cannot be reached
}

func ExampleLocal() {
	inTest(func(t testing.TB) {
		square := queue.NewTask[int, int]("square")
		p := queuetest.Local(t, 4, square.Handler(func(_ context.Context, n int) (int, error) { return n * n, nil }))
		fmt.Println(square.MapAll(context.Background(), p, slices.Values([]int{1, 2, 3})))
	})
	// Output: [1 4 9] <nil>
}

func ExampleNewFleet() {
	inTest(func(t testing.TB) {
		f := queuetest.NewFleet(t)
		f.Work(consumer.Config{Concurrency: 4}, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			return "Welcome, " + name, nil
		}))
		fmt.Println(Welcome.Call(context.Background(), f.Client(), "Ada"))
	})
	// Output: Welcome, Ada <nil>
}

// Code that makes its own producers and workers is given the fleet's Redis.
func ExampleFleet_Redis() {
	inTest(func(t testing.TB) {
		f := queuetest.NewFleet(t)
		c, err := producer.New(f.Redis())
		if err != nil {
			t.Fatalf("%v", err)
		}
		fmt.Println(SignUp(context.Background(), c, "Ada"))
		fmt.Println(c.Close())
	})
	// Output:
	// <nil>
	// <nil>
}

// A worker that is stopped gives its handlers Config.Grace, and then hands their tasks
// to others.
func ExampleWorker_Stop() {
	inTest(func(t testing.TB) {
		f := queuetest.NewFleet(t)
		began := make(chan struct{})
		w := f.Work(consumer.Config{Grace: time.Millisecond}, Welcome.Handler(func(ctx context.Context, _ string) (string, error) {
			close(began)
			<-ctx.Done()
			return "", context.Cause(ctx)
		}))
		fut, err := Welcome.Submit(context.Background(), f.Client(), "Ada")
		if err != nil {
			t.Fatalf("%v", err)
		}
		<-began
		w.Stop()
		f.Work(consumer.Config{}, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			return "Welcome, " + name, nil
		}))
		fmt.Println(fut.Get(context.Background()))
	})
	// Output: Welcome, Ada <nil>
}

// A worker that is cut off from the store has its handlers stop before others begin.
func ExampleWorker_CutOff() {
	inTest(func(t testing.TB) {
		f := queuetest.NewFleet(t)
		began := make(chan struct{})
		lease := consumer.Config{Lease: time.Second}
		w := f.Work(lease, Welcome.Handler(func(ctx context.Context, _ string) (string, error) {
			close(began)
			<-ctx.Done()
			fmt.Println(context.Cause(ctx))
			return "", context.Cause(ctx)
		}))
		fut, err := Welcome.Submit(context.Background(), f.Client(), "Ada")
		if err != nil {
			t.Fatalf("%v", err)
		}
		<-began
		w.CutOff()
		f.Work(lease, Welcome.Handler(func(_ context.Context, name string) (string, error) {
			return "Welcome, " + name, nil
		}))
		fmt.Println(fut.Get(context.Background()))
		w.Reconnect()
	})
	// Unordered output:
	// the worker lost its lease; another one may run the task
	// Welcome, Ada <nil>
}

// A worker is killed in the middle of a task, which another one runs again when the
// lease has lapsed. Here that takes a second; in a bubble of testing/synctest, and then
// with the lease that the program has in production, it takes no time.
func ExampleWorker_Kill() {
	inTest(func(t testing.TB) {
		f := queuetest.NewFleet(t)
		var w *queuetest.Worker
		welcome := Welcome.Handler(func(ctx context.Context, name string) (string, error) {
			if queue.FromContext(ctx).Token == 1 {
				fmt.Println("the worker dies")
				w.Kill()
			}
			return "Welcome, " + name, nil
		})
		lease := consumer.Config{Lease: time.Second}
		w = f.Work(lease, welcome)
		fut, err := Welcome.Submit(context.Background(), f.Client(), "Ada")
		if err != nil {
			t.Fatalf("%v", err)
		}
		f.Work(lease, welcome)
		fmt.Println(fut.Get(context.Background()))
	})
	// Output:
	// the worker dies
	// Welcome, Ada <nil>
}
