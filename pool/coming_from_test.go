package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// The README's table "Coming from multiprocessing and concurrent.futures" is made
// of lines of this file, which a test in docs compares.

var square = queue.NewTask[int, int]("square")

func squareOf(_ context.Context, n int) (int, error) {
	if n < 0 {
		return 0, errNegative
	}
	return n * n, nil
}

// loopOf never ends, and takes no notice of its context.
func loopOf(context.Context, int) (int, error) {
	for n := 0; ; n++ { //nolint:revive // it has no end
		_ = n
	}
}

var errNegative = errors.New("negative")

// Pair is the argument of a function of two.
type Pair struct{ Base, Exponent int }

var power = queue.NewTask[Pair, int]("power")

func powerOf(_ context.Context, in Pair) (int, error) {
	n := 1
	for range in.Exponent {
		n *= in.Base
	}
	return n, nil
}

func Example_comingFromPool() {
	ctx := context.Background()
	p, err := pool.Local(4, square.Handler(squareOf), power.Handler(powerOf))
	check(err)
	defer p.Terminate()
	xs := []int{1, 2, 3}

	v, err := square.Call(ctx, p, 3)
	check(err)
	fmt.Println("apply:", v)

	fut, err := square.Submit(ctx, p, 4)
	check(err)
	v, err = fut.Get(ctx)
	check(err)
	fmt.Println("get:", v)

	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	v, err = fut.Get(short)
	check(err)
	fmt.Println("get(timeout=3):", v)

	vs, err := square.MapAll(ctx, p, slices.Values(xs))
	check(err)
	fmt.Println("map:", vs)

	all, err := square.MapAsync(ctx, p, slices.Values(xs))
	check(err)
	vs, err = all.Get(ctx)
	check(err)
	fmt.Println("map_async:", vs)

	for v, err := range square.Map(ctx, p, slices.Values(xs)) {
		fmt.Println("imap:", v, err)
	}

	sum := 0
	for v, err := range square.MapUnordered(ctx, p, slices.Values(xs)) {
		check(err)
		sum += v
	}
	fmt.Println("imap_unordered, summed:", sum)

	vs, err = power.MapAll(ctx, p, slices.Values([]Pair{{2, 10}, {3, 2}}))
	check(err)
	fmt.Println("starmap:", vs)

	vs, err = square.MapAll(ctx, p, slices.Values(xs), queue.Chunk(100))
	check(err)
	fmt.Println("chunksize=100:", vs)

	told := make(chan string)
	fut, err = square.Submit(ctx, p, -1)
	check(err)
	fut.OnDone(func(v int, err error) { told <- fmt.Sprint(v, " ", err) })
	fmt.Println("callback, error_callback:", <-told)

	p.Close()
	err = p.Join(ctx)
	check(err)
	_, err = square.Submit(ctx, p, 3)
	fmt.Println("closed:", errors.Is(err, queue.ErrClosed))

	// Output:
	// apply: 9
	// get: 16
	// get(timeout=3): 16
	// map: [1 4 9]
	// map_async: [1 4 9]
	// imap: 1 <nil>
	// imap: 4 <nil>
	// imap: 9 <nil>
	// imap_unordered, summed: 14
	// starmap: [1024 9]
	// chunksize=100: [1 4 9]
	// callback, error_callback: 0 negative
	// closed: true
}

func Example_comingFromExecutor() {
	ctx := context.Background()
	prepare := func(context.Context) error { return nil }
	p, err := pool.NewLocal(pool.Config{Workers: 1, Initializer: prepare}, square.Handler(squareOf))
	check(err)
	defer p.Shutdown(ctx)

	begun, leave := make(chan struct{}), make(chan struct{})
	busy, err := pool.Go(ctx, p, func(ctx context.Context) (string, error) {
		close(begun)
		<-leave
		return "left", nil
	})
	check(err)
	<-begun // the only worker is taken: what is submitted now waits
	fut, err := square.Submit(ctx, p, 5)
	check(err)

	_, err = fut.Result()
	fmt.Println("done():", !errors.Is(err, queue.ErrNotReady))
	res, err := fut.Cancel(ctx)
	check(err)
	<-fut.Done()
	fmt.Println("cancel():", res)
	fmt.Println("cancelled():", fut.State() == queue.StateCancelled)
	fmt.Println("exception():", fut.Err())
	res, err = busy.Cancel(ctx)
	check(err)
	fmt.Println("cancel() of one that runs:", res)

	fs := []queue.Waitable{busy, fut}
	done, pending, err := queue.Wait(ctx, queue.FirstCompleted, fs...)
	fmt.Println("wait:", len(done), "done", len(pending), "not done", err)
	for fut, err := range queue.AsCompleted(ctx, fs...) {
		fmt.Println("as_completed:", fut.State(), err)
		if fut.State() == queue.StateCancelled {
			close(leave) // the other one may end now
		}
	}

	futs, err := square.SubmitAll(ctx, p, []int{1, 2, 3})
	check(err)
	vs, err := queue.Gather(ctx, futs...)
	fmt.Println("[f.result() for f in fs]:", vs, err)

	for v, err := range square.Map(ctx, p, slices.Values([]int{1, 2}), queue.Window(64)) {
		fmt.Println("map:", v, err)
	}
	err = p.Shutdown(ctx, pool.CancelPending())
	fmt.Println("shutdown:", err)

	// Output:
	// done(): false
	// cancel(): before start
	// cancelled(): true
	// exception(): the task was cancelled: before it started
	// cancel() of one that runs: too late
	// wait: 1 done 1 not done <nil>
	// as_completed: cancelled <nil>
	// as_completed: succeeded <nil>
	// [f.result() for f in fs]: [1 4 9] <nil>
	// map: 1 <nil>
	// map: 4 <nil>
	// shutdown: <nil>
}

// It is a part of a program whose main begins with what stands first here.
func Example_comingFromProcesses() {
	routes := []queue.Route{square.Handler(squareOf), loopTask.Handler(loopOf)}
	pool.Child(routes...)

	ctx := context.Background()
	p, err := pool.Processes(4, square.Handler(squareOf))
	check(err)
	vs, err := square.MapAll(ctx, p, slices.Values([]int{1, 2, 3}))
	check(err)
	fmt.Println("ProcessPoolExecutor(4):", vs)
	check(p.Shutdown(ctx))

	p, err = pool.NewProcesses(pool.ProcessConfig{MaxTasks: 3}, routes...)
	check(err)
	vs, err = square.MapAll(ctx, p, slices.Values([]int{1, 2, 3, 4}), queue.Chunk(1))
	check(err)
	fmt.Println("maxtasksperchild=3:", vs)

	fut, err := loopTask.Submit(ctx, p, 1)
	check(err)
	_, err = fut.Cancel(ctx, queue.Kill(time.Millisecond))
	check(err)
	_, err = fut.Get(ctx)
	fmt.Println("kill():", errors.Is(err, queue.ErrCancelled))
	check(p.Shutdown(ctx))

	// Output:
	// ProcessPoolExecutor(4): [1 4 9]
	// maxtasksperchild=3: [1 4 9 16]
	// kill(): true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
