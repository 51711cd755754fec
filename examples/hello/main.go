package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// Greet is what both sides know: a name, the type in, the type out, the defaults.
var Greet = queue.NewTask[string, string]("greet", queue.Retries(3))

func greet(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	o, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://localhost:6379"))
	check(err)
	rdb := redis.NewClient(o)

	// A worker: usually a program of its own, on as many machines as you like.
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 4}, Greet.Handler(greet))
	check(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()

	// A producer: submit, go on, wait for the value when you need it.
	c, err := producer.New(rdb)
	check(err)
	fut, err := Greet.Submit(ctx, c, "cenote")
	check(err)
	text, err := fut.Get(ctx)
	check(err)
	fmt.Println(text)

	check(c.Close())
	stop() // the worker finishes what it runs and hands back the rest
	check(<-stopped)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
