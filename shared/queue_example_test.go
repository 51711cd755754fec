package shared_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/shared"
)

// tubeRedis is a Redis for an example.
func tubeRedis() (rdb *redis.Client, stop func()) {
	s, err := embedded.StartPrivate()
	if err != nil {
		panic(err)
	}
	rdb = s.Client()
	return rdb, func() { _ = rdb.Close(); s.Close() }
}

func ExampleQueue() {
	rdb, stop := tubeRedis()
	defer stop()
	ctx := context.Background()
	m, err := shared.New(rdb)
	if err != nil {
		panic(err)
	}
	defer m.Close(ctx)
	q, err := shared.OpenQueue[string](m, "letters", 2) // room for two
	if err != nil {
		panic(err)
	}
	go func() { // this may be another program
		for _, letter := range []string{"a", "b", "c"} {
			if err := q.Put(ctx, letter); err != nil {
				panic(err)
			}
		}
		if err := q.CloseSend(ctx); err != nil {
			panic(err)
		}
	}()
	for letter, err := range q.All(ctx) {
		fmt.Println(letter, err)
	}
	// Output:
	// a <nil>
	// b <nil>
	// c <nil>
}

func ExampleQueue_Reserve() {
	rdb, stop := tubeRedis()
	defer stop()
	ctx := context.Background()
	m, err := shared.New(rdb)
	if err != nil {
		panic(err)
	}
	defer m.Close(ctx)
	q, err := shared.OpenQueue[string](m, "orders", 0)
	if err != nil {
		panic(err)
	}
	if err := q.Put(ctx, "order 1"); err != nil {
		panic(err)
	}
	order, err := q.Reserve(ctx) // should this program die now, another one gets it
	if err != nil {
		panic(err)
	}
	s, err := q.Stats(ctx)
	fmt.Println(order.Value, s.Waiting, s.Reserved, err)
	if err := order.Ack(ctx); err != nil {
		panic(err)
	}
	s, err = q.Stats(ctx)
	fmt.Println(s.Waiting, s.Reserved, err)
	// Output:
	// order 1 0 1 <nil>
	// 0 0 <nil>
}

func ExamplePipe() {
	rdb, stop := tubeRedis()
	defer stop()
	ctx := context.Background()
	m, err := shared.New(rdb)
	if err != nil {
		panic(err)
	}
	defer m.Close(ctx)
	p, err := shared.OpenPipe[string](m, "talk")
	if err != nil {
		panic(err)
	}
	go func() { // this may be another program
		b, err := p.B(ctx)
		if err != nil {
			panic(err)
		}
		question, err := b.Recv(ctx)
		if err != nil {
			panic(err)
		}
		if err := b.Send(ctx, "you asked: "+question); err != nil {
			panic(err)
		}
		_ = b.Close(ctx)
	}()
	a, err := p.A(ctx)
	if err != nil {
		panic(err)
	}
	if err := a.Send(ctx, "how deep is it?"); err != nil {
		panic(err)
	}
	fmt.Println(a.Recv(ctx))
	_, err = a.Recv(ctx)
	fmt.Println(errors.Is(err, io.EOF))
	// Output:
	// you asked: how deep is it? <nil>
	// true
}
