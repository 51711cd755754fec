// Command fan-out shows a stream queue: every consumer group gets every task.
// Two services hear of each order, billing and mailing; the one who placed it
// waits for billing's answer.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// Order is the event, and Receipt billing's answer to it.
type Order struct {
	Number int
	Cents  int64
}

// Receipt is what billing answers.
type Receipt struct{ Invoice string }

// Placed says that an order was placed. Billing's outcome is the one that counts.
var Placed = queue.NewTask[Order, Receipt]("order.placed", queue.OnStream("orders"), queue.ReplyFrom("billing"))

// service runs one consumer group's worker until ctx is done.
func service(ctx context.Context, rdb redis.UniversalClient, group string, f func(context.Context, Order) (Receipt, error)) <-chan error {
	w, err := consumer.New(rdb, consumer.Config{
		Concurrency: 4, Queues: []consumer.Queue{{Name: "orders", Group: group}},
	}, Placed.Handler(f))
	check(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	return stopped
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	rdb := local.Redis()
	mails := make(chan string, 3)
	billing := service(ctx, rdb, "billing", func(_ context.Context, o Order) (Receipt, error) {
		return Receipt{Invoice: fmt.Sprintf("INV-%04d over %d.%02d", o.Number, o.Cents/100, o.Cents%100)}, nil
	})
	mailer := service(ctx, rdb, "mailer", func(_ context.Context, o Order) (Receipt, error) {
		mails <- fmt.Sprintf("mailer: thank you for order %d", o.Number)
		return Receipt{}, nil
	})

	c, err := producer.New(rdb)
	check(err)
	receipts, err := Placed.SubmitAll(ctx, c, []Order{{1, 1999}, {2, 500}, {3, 12345}})
	check(err)
	for i, f := range receipts {
		r, err := f.Get(ctx)
		check(err)
		fmt.Printf("order %d: billing answered %s\n", i+1, r.Invoice)
	}
	sent := []string{<-mails, <-mails, <-mails} // in whatever order they were run
	slices.Sort(sent)
	for _, m := range sent {
		fmt.Println(m)
	}
	check(c.Close())
	stop()
	check(<-billing)
	check(<-mailer)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
