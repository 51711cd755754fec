// Command chunks works on 10,000 numbers, 1,000 to a message, so that ten trips do
// for all of them: over Redis to two workers, or on a pool of goroutines. The code
// that maps does not know which.
//
//	go run ./examples/chunks
//	go run ./examples/chunks -local
//	REDIS_URL=redis://localhost:6379 go run ./examples/chunks
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"slices"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// Square is written for one number; chunks are the affair of whoever maps it.
var Square = queue.NewTask[int, int]("square", queue.On("squares"))

func square(_ context.Context, n int) (int, error) { return n * n, nil }

func main() {
	here := flag.Bool("local", false, "use goroutines instead of Redis and workers")
	flag.Parse()

	ctx := context.Background()
	if *here {
		p, err := pool.Local(2, Square.Handler(square))
		check(err)
		sum(ctx, p)
		check(p.Shutdown(ctx))
		return
	}
	c, stop := workers(ctx, 2)
	sum(ctx, c)
	check(c.Close())
	check(stop())
}

func sum(ctx context.Context, x queue.Executor) {
	numbers := make([]int, 10_000)
	for i := range numbers {
		numbers[i] = i
	}
	count, total := 0, 0
	for sq, err := range Square.Map(ctx, x, slices.Values(numbers), queue.Chunk(1000)) {
		check(err) // of one number; the others of its chunk have their values
		count, total = count+1, total+sq
		if count%1000 == 0 {
			fmt.Printf("%6d numbers, their squares add up to %d\n", count, total)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
