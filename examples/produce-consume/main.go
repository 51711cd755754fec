// Command produce-consume shows the two ends of a queue: a producer puts 0 to 4 on
// it, a consumer takes all five off. They meet in Redis only, so that each may be a
// program of its own, and neither has to be there when the other one is.
//
//	go run ./examples/produce-consume
//	REDIS_URL=redis://localhost:6379 go run ./examples/produce-consume
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

const items = 5

// Take is the task: to take a number. Nobody waits for an answer.
var Take = queue.NewTask[int, struct{}]("number.take", queue.On("numbers"), queue.NoReply())

// produce puts the numbers on the queue. It returns when the queue has them all.
func produce(ctx context.Context, rdb redis.UniversalClient) error {
	c, err := producer.New(rdb)
	if err != nil {
		return err
	}
	for n := range items {
		if _, err := Take.Submit(ctx, c, n); err != nil {
			return err
		}
		fmt.Println("produced", n)
	}
	return c.Close()
}

// consume takes numbers off the queue, one at a time, until it has had them all.
func consume(ctx context.Context, rdb redis.UniversalClient) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	taken := 0
	w, err := consumer.New(rdb, consumer.Config{
		Concurrency: 1, Queues: []consumer.Queue{{Name: "numbers"}},
	}, Take.Handler(func(_ context.Context, n int) (struct{}, error) {
		fmt.Println("consumed", n)
		if taken++; taken == items {
			enough() // a real consumer goes on until it is told to stop
		}
		return struct{}{}, nil
	}))
	if err != nil {
		return err
	}
	return w.Run(ctx) // returns when the last task is done
}

func main() {
	ctx, rdb := context.Background(), local.Redis()
	consumed := make(chan error, 1)
	go func() { consumed <- consume(ctx, rdb) }()
	check(produce(ctx, rdb))
	check(<-consumed)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
