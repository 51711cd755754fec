// Command pool-of-two gives ten tasks to a pool of two goroutines and ends the
// pool: all ten run, two at a time, before it says "ending".
//
//	go run ./examples/pool-of-two
//	go run ./examples/pool-of-two -terminate   # after two rounds the rest never run
//	go run ./examples/pool-of-two -task 1s     # how long a task takes
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/cenote-go/cenote/pool"
)

func main() {
	took := flag.Duration("task", 200*time.Millisecond, "how long a task takes")
	early := flag.Bool("terminate", false, "terminate the pool when two rounds have passed")
	flag.Parse()

	ctx := context.Background()
	p, err := pool.Local(2)
	check(err)
	for i := range 10 {
		_, err := pool.Go(ctx, p, func(ctx context.Context) (int, error) { return i, work(ctx, i, *took) })
		check(err)
	}
	p.Close() // no more tasks
	if *early {
		time.Sleep(2 * *took)
		p.Terminate()
	}
	check(p.Join(ctx))
	fmt.Println("ending")
}

// work gives up when the pool is terminated: a goroutine cannot be stopped, only
// asked.
func work(ctx context.Context, i int, took time.Duration) error {
	select {
	case <-time.After(took):
		fmt.Printf("task %d at %s\n", i, time.Now().Format("15:04:05.000"))
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
