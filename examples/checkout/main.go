// Command checkout is a shop whose bank and post office are tasks: what it is about is
// its tests, in shop_test.go, which need neither a Redis nor a moment's sleep.
//
//	go run ./examples/checkout
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	rdb := local.Redis()

	bank := &Bank{Limit: 100_00}
	sent := make(chan Letter)
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 4}, Charge.Handler(bank.Charge),
		Mail.Handler(func(_ context.Context, l Letter) (struct{}, error) {
			sent <- l
			return struct{}{}, nil
		}))
	check(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()

	c, err := producer.New(rdb)
	check(err)
	shop := Shop{Queue: c}
	for _, o := range []Order{{"1", "ada@example.org", 19_90}, {"2", "bob@example.org", 1_000_00}} {
		if receipt, err := shop.Checkout(ctx, o); err != nil {
			fmt.Println("order", o.ID, "failed:", err)
		} else {
			fmt.Println("order", o.ID, "is paid:", receipt)
		}
		l := <-sent
		fmt.Printf("mail to %s: %s\n", l.To, l.Text)
	}
	check(c.Close())
	stop()
	check(<-stopped)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
