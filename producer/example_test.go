package producer_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// The task's definition is shared by those who submit and those who run.
var Shout = queue.NewTask[string, string]("text.shout", queue.Retries(3))

// localRedis stands for the Redis that all machines share, with one worker.
func localRedis() (rdb *redis.Client, stop func()) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: m.Addr()})
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 2},
		Shout.Handler(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s) + "!", nil }))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	return rdb, func() {
		cancel()
		<-ended
		_ = rdb.Close()
		m.Close()
	}
}

func ExampleNew() {
	rdb, stop := localRedis()
	defer stop()

	c, err := producer.New(rdb) // one a process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }() // before the Redis client is closed
	fmt.Println(c.Ping(context.Background()))
	// Output: <nil>
}

func ExampleClient() {
	rdb, stop := localRedis()
	defer stop()
	ctx := context.Background()
	c, err := producer.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()

	future, err := Shout.Submit(ctx, c, "hello") // stored in Redis when this returns
	if err != nil {
		fmt.Println("not accepted:", err)
		return
	}
	value, err := future.Get(ctx) // giving up the wait never gives up the task
	fmt.Println(value, err)

	told := make(chan struct{})
	future.OnDone(func(value string, err error) {
		fmt.Println("told:", value, err)
		close(told)
	})
	<-told
	// Output:
	// HELLO! <nil>
	// told: HELLO! <nil>
}

func ExampleClient_Open() {
	rdb, stop := localRedis()
	defer stop()
	ctx := context.Background()

	here, err := producer.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	future, err := Shout.Submit(ctx, here, "hello", queue.Keep(time.Hour))
	if err != nil {
		fmt.Println("not accepted:", err)
		return
	}
	id := future.ID().String() // say it to whom it may concern
	_ = here.Close()

	there, err := producer.New(rdb) // in another process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = there.Close() }()
	taskID, err := queue.ParseTaskID(id)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := Shout.Open(ctx, there, taskID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(again.Get(ctx))
	// Output: HELLO! <nil>
}

func ExampleReplicated() {
	rdb := redis.NewUniversalClient(&redis.UniversalOptions{
		MasterName: "main", Addrs: []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
	})
	defer func() { _ = rdb.Close() }()

	c, err := producer.New(rdb, producer.Replicated(2)) // the master has two replicas
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	// Submit now returns nil when both have the task.
}
