package consumer_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// The task's definition is shared by those who submit and those who run.
var Shout = queue.NewTask[string, string]("text.shout", queue.Retries(3))

// localRedis stands for the Redis that all machines share.
func localRedis() (rdb *redis.Client, stop func()) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: m.Addr()})
	return rdb, func() { _ = rdb.Close(); m.Close() }
}

func Example() {
	rdb, stop := localRedis()
	defer stop()

	w, err := consumer.New(rdb, consumer.Config{Concurrency: 8},
		Shout.Handler(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s) + "!", nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) // a program uses signal.NotifyContext
	defer cancel()
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	c, err := producer.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(Shout.Call(ctx, c, "hello"))
	_ = c.Close()

	cancel() // take nothing more, let running tasks finish, hand the rest back
	fmt.Println("worker ended:", <-ended)
	// Output:
	// HELLO! <nil>
	// worker ended: <nil>
}

func ExampleNew() {
	rdb, stop := localRedis()
	defer stop()
	shout := func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil }

	_, err := consumer.New(rdb, consumer.Config{
		Concurrency: 4,
		Queues:      []consumer.Queue{{Name: "urgent", Weight: 5}, {Name: "default"}},
	}, Shout.Handler(shout))
	fmt.Println(err)

	_, err = consumer.New(rdb, consumer.Config{Concurrency: 4}, Shout.Handler(shout), Shout.Handler(shout))
	fmt.Println(err)
	// Output:
	// <nil>
	// invalid option: "text.shout" has two handlers; keep one
}

func ExampleWorker_Run() {
	rdb, stop := localRedis()
	defer stop()
	c, err := producer.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	if _, err := Shout.Submit(context.Background(), c, "bye", queue.NoReply()); err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 1},
		Shout.Handler(func(_ context.Context, s string) (string, error) {
			cancel() // what runs may finish
			fmt.Println(s)
			return s, nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.Run(ctx))
	// Output:
	// bye
	// <nil>
}
