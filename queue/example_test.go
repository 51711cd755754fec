package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// inProcess stands for whatever runs tasks: a producer.Client, a pool.
func inProcess(routes ...queue.Route) queue.Executor { return newFake(&testing.B{}, routes...) }

// The task definition is shared by those who submit and those who run.
var Shout = queue.NewTask[string, string]("text.shout", queue.Retries(3))

func shout(_ context.Context, s string) (string, error) { return strings.ToUpper(s) + "!", nil }

func ExampleNewTask() {
	type Image struct{ Width, Height int }
	resize := queue.NewTask[Image, Image]("image.resize", queue.On("images"), queue.Retries(5))
	fmt.Println(resize.Name())
	// Output: image.resize
}

func ExampleTask_Submit() {
	ctx := context.Background()
	x := inProcess(Shout.Handler(shout))

	future, err := Shout.Submit(ctx, x, "hello")
	if err != nil {
		fmt.Println("not accepted:", err)
		return
	}
	value, err := future.Get(ctx)
	fmt.Println(value, err)
	// Output: HELLO! <nil>
}

func ExampleTask_Call() {
	value, err := Shout.Call(context.Background(), inProcess(Shout.Handler(shout)), "hello")
	fmt.Println(value, err)
	// Output: HELLO! <nil>
}

func ExampleTask_Handler() {
	route := Shout.Handler(func(ctx context.Context, s string) (string, error) {
		if s == "" {
			return "", queue.NoRetry(errors.New("nothing to shout")) // trying again cannot help
		}
		return strings.ToUpper(s), nil
	})
	_, err := Shout.Call(context.Background(), inProcess(route), "")
	fmt.Println(err)
	// Output: nothing to shout
}

func ExampleTask_Map() {
	ctx := context.Background()
	x := inProcess(Shout.Handler(shout))
	words := slices.Values([]string{"one", "two", "three"})
	for value, err := range Shout.Map(ctx, x, words) {
		fmt.Println(value, err)
	}
	// Output:
	// ONE! <nil>
	// TWO! <nil>
	// THREE! <nil>
}

func ExampleTask_MapAll() {
	ctx := context.Background()
	words := slices.Values([]string{"one", "two", "three"})
	values, err := Shout.MapAll(ctx, inProcess(Shout.Handler(shout)), words)
	fmt.Println(values, err)
	// Output: [ONE! TWO! THREE!] <nil>
}

func ExampleMapError() {
	root := queue.NewTask[int, int]("root")
	x := inProcess(root.Handler(func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, errors.New("negative")
		}
		return n / 2, nil
	}))
	values, err := root.MapAll(context.Background(), x, slices.Values([]int{4, -1, 6}))
	fmt.Println(values, err)
	if failed, ok := errors.AsType[*queue.MapError](err); ok {
		fmt.Println(failed.Failed[1])
	}
	// Output:
	// [2 0 3] 1 of 3 items failed; number 1: negative
	// negative
}

func ExampleWait() {
	ctx := context.Background()
	x := inProcess(Shout.Handler(shout))
	a, err := Shout.Submit(ctx, x, "a")
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := Shout.Submit(ctx, x, "b")
	if err != nil {
		fmt.Println(err)
		return
	}
	done, pending, err := queue.Wait(ctx, queue.AllCompleted, a, b)
	fmt.Println(len(done), len(pending), err)
	// Output: 2 0 <nil>
}

func ExampleAsCompleted() {
	ctx := context.Background()
	x := inProcess(Shout.Handler(shout))
	future, err := Shout.Submit(ctx, x, "hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	for done, err := range queue.AsCompleted(ctx, future) {
		if err != nil {
			fmt.Println(err) // ctx has ended
			break
		}
		fmt.Println(done.ID() == future.ID(), done.State())
	}
	// Output: true succeeded
}

func ExampleFallible() {
	lines := func(yield func(string, error) bool) { // say, of a file
		_ = yield("one", nil) && yield("", errors.New("disk on fire"))
	}
	for value, err := range Shout.Map(context.Background(), inProcess(Shout.Handler(shout)), queue.Fallible(lines)) {
		fmt.Println(value, err)
	}
	// Output:
	// ONE! <nil>
	//  disk on fire
}

func ExampleTask_SubmitAll() {
	ctx := context.Background()
	futures, err := Shout.SubmitAll(ctx, inProcess(Shout.Handler(shout)), []string{"a", "b"})
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range futures {
		fmt.Println(f.Get(ctx))
	}
	// Output:
	// A! <nil>
	// B! <nil>
}

func ExampleFuture_OnDone() {
	future, err := Shout.Submit(context.Background(), inProcess(Shout.Handler(shout)), "done")
	if err != nil {
		fmt.Println(err)
		return
	}
	told := make(chan struct{})
	future.OnDone(func(value string, err error) {
		fmt.Println(value, err)
		close(told)
	})
	<-told
	// Output: DONE! <nil>
}

func ExampleSentinel() {
	errSilent := errors.New("nothing to shout")
	task := queue.NewTask[string, string]("text.shout", queue.Sentinel("silent", errSilent))
	x := inProcess(task.Handler(func(context.Context, string) (string, error) { return "", errSilent }))

	_, err := task.Call(context.Background(), x, "")
	fmt.Println(errors.Is(err, errSilent))
	// Output: true
}

func ExampleErrorType() {
	task := queue.NewTask[string, string]("text.shout", queue.ErrorType[*quotaError]("quota"))
	x := inProcess(task.Handler(func(context.Context, string) (string, error) {
		return "", &quotaError{Limit: 5, User: "ann"}
	}))

	_, err := task.Call(context.Background(), x, "")
	if quota, ok := errors.AsType[*quotaError](err); ok {
		fmt.Println(quota.User, quota.Limit)
	}
	// Output: ann 5
}
