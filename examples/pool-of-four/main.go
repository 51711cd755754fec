// Command pool-of-four maps a function over ten numbers on a pool of four, and then
// reads five tasks with a deadline for each: the deadline is that of the wait, not
// of the task, which goes on.
//
//	go run ./examples/pool-of-four
//	go run ./examples/pool-of-four -deadline 50ms   # too short for the tasks
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func main() {
	took := flag.Duration("task", 200*time.Millisecond, "how long a task takes")
	deadline := flag.Duration("deadline", 3*time.Second, "how long to wait for each of the five tasks")
	flag.Parse()

	square := queue.NewTask[int, int]("square")
	ctx := context.Background()
	p, err := pool.Local(4, square.Handler(func(_ context.Context, n int) (int, error) {
		time.Sleep(*took)
		return n * n, nil
	}))
	check(err)

	numbers := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	squares, err := square.MapAll(ctx, p, slices.Values(numbers))
	check(err)
	fmt.Println("map:", squares)

	futures, err := square.SubmitAll(ctx, p, numbers[:5])
	check(err)
	for n, f := range futures {
		fmt.Printf("task %d: %s\n", n, read(ctx, f, *deadline))
	}
	check(p.Shutdown(ctx)) // waits for those that are not finished
	for n, f := range futures {
		sq, err := f.Result()
		check(err)
		fmt.Printf("task %d is finished: %d\n", n, sq)
	}
}

// read waits at most d, however long ago the task was submitted.
func read(ctx context.Context, f *queue.Future[int], d time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	sq, err := f.Get(ctx)
	if errors.Is(err, queue.ErrNotReady) {
		return fmt.Sprintf("not ready after %v", d)
	}
	check(err)
	return fmt.Sprint(sq)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
