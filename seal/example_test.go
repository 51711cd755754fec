package seal_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

var Shout = queue.NewTask[string, string]("text.shout")

// Both sides have the keys; what is between them sees neither arguments nor values.
func Example() {
	m := miniredis.NewMiniRedis() // stands for the Redis that all machines share
	if err := m.Start(); err != nil {
		panic(err)
	}
	defer m.Close()
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer func() { _ = rdb.Close() }()

	// From a file or an environment variable that only these programs can read.
	keys, err := seal.ParseKeys("2026-05:3nXK2cR0yKfb6mWq0m0yqk0mZkRjvD1q6p9cV7a1i2E=")
	check(err)
	s, err := seal.New(seal.Config{Keys: keys})
	check(err)

	w, err := consumer.New(rdb, consumer.Config{Concurrency: 2, Seal: s},
		Shout.Handler(func(_ context.Context, v string) (string, error) { return strings.ToUpper(v) + "!", nil }))
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	c, err := producer.New(rdb, producer.Seal(s))
	check(err)
	text, err := Shout.Call(ctx, c, "hello")
	fmt.Println(text, err)

	check(c.Close())
	stop()
	check(<-ended)
	fmt.Println(s)
	// Output:
	// HELLO! <nil>
	// encrypted with 2026-05 (9adcdcc7)
}

// To rotate, every program learns the new key before any seals with it.
func ExampleConfig_rotation() {
	before, err := seal.ParseKeys("old:3nXK2cR0yKfb6mWq0m0yqk0mZkRjvD1q6p9cV7a1i2E=")
	check(err)
	both, err := seal.ParseKeys("new:b0v3Jm2m0Rk4W3yq5hCw0n6XG7pQ1sT8uV9wXyZaBcM= old:3nXK2cR0yKfb6mWq0m0yqk0mZkRjvD1q6p9cV7a1i2E=")
	check(err)
	from, err := seal.New(seal.Config{Keys: before})
	check(err)
	to, err := seal.New(seal.Config{Keys: both})
	check(err)

	o := &queue.Outcome{ID: queue.NewTaskID(0), State: queue.StateSucceeded, Attempt: 1, Value: []byte("42")}
	old, err := queue.ParseOutcome(from.Outcome("default", o).AppendWire(nil))
	check(err)
	fmt.Println(to.OpenOutcome("default", old), string(old.Value))
	_, by := seal.Describe(to.Outcome("default", o).Sealed.Seal)
	fmt.Println("now sealed by", by)
	// Output:
	// <nil> 42
	// now sealed by new
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
