// Command futures shows four ways to the values of twenty tasks on a pool of
// three: one call after the other, all of them collected at the end in order, each
// as it ends, and by callback. The value names the process that worked it out,
// since with a producer.Client in the pool's place that can be any.
//
//	go run ./examples/futures
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

const tasks = 20

func main() {
	ctx := context.Background()
	p, err := pool.Local(3, Square.Handler(square))
	check(err)

	for n := range tasks { // two of the three workers have nothing to do
		sq, err := Square.Call(ctx, p, n)
		check(err)
		fmt.Println("one by one:", sq.N, "by process", sq.Process)
	}

	for n, f := range submit(ctx, p) {
		sq, err := f.Get(ctx)
		check(err)
		fmt.Println("at the end:", n, "squared is", sq.N)
	}

	var waiting []queue.Waitable // futures of any type
	for _, f := range submit(ctx, p) {
		waiting = append(waiting, f)
	}
	for f, err := range queue.AsCompleted(ctx, waiting...) {
		check(err)
		sq, err := f.(*queue.Future[Squared]).Result()
		check(err)
		fmt.Println("as it ends:", sq.N)
	}

	told := make(chan int, tasks)
	for _, f := range submit(ctx, p) {
		f.OnDone(func(sq Squared, err error) { check(err); told <- sq.N })
	}
	check(p.Shutdown(ctx))
	for range tasks {
		fmt.Println("by callback:", <-told)
	}
}

// submit gives the pool all tasks and does not wait for any.
func submit(ctx context.Context, p *pool.LocalPool) (futures []*queue.Future[Squared]) {
	for n := range tasks {
		f, err := Square.Submit(ctx, p, n)
		check(err)
		futures = append(futures, f)
	}
	return futures
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
