package main

import (
	"context"
	"errors"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
)

// workers starts n workers, which would be programs of their own elsewhere, and
// returns a client to submit to them and what stops them.
func workers(ctx context.Context, n int) (c *producer.Client, stop func() error) {
	rdb := local.Redis()
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan error, n)
	for range n {
		w, err := consumer.New(rdb, consumer.Config{
			Concurrency: 1, Queues: []consumer.Queue{{Name: "squares"}},
		}, Square.Handler(square))
		check(err)
		go func() { stopped <- w.Run(ctx) }()
	}
	c, err := producer.New(rdb)
	check(err)
	return c, func() error {
		cancel()
		var all error
		for range n {
			all = errors.Join(all, <-stopped)
		}
		return all
	}
}
