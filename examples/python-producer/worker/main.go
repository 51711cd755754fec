// Command worker runs the tasks that produce.py submits.
package main

import (
	"context"
	"errors"
	"log"
	"os/signal"
	"syscall"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/queue"
)

// Numbers is the argument; the tags are the names that other languages see.
type Numbers struct {
	Numbers []int64 `msgpack:"numbers"`
}

// Stats is the value.
type Stats struct {
	Count int     `msgpack:"count"`
	Sum   int64   `msgpack:"sum"`
	Mean  float64 `msgpack:"mean"`
}

// ErrEmpty travels under the name "empty".
var ErrEmpty = errors.New("no numbers")

var stats = queue.NewTask[Numbers, Stats]("numbers.stats", queue.On("python"), queue.Sentinel("empty", ErrEmpty))

func compute(_ context.Context, in Numbers) (Stats, error) {
	if len(in.Numbers) == 0 {
		return Stats{}, ErrEmpty
	}
	s := Stats{Count: len(in.Numbers)}
	for _, n := range in.Numbers {
		s.Sum += n
	}
	s.Mean = float64(s.Sum) / float64(s.Count)
	return s, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, err := consumer.New(local.Redis(), consumer.Config{
		Concurrency: 4, Queues: []consumer.Queue{{Name: "python"}},
	}, stats.Handler(compute))
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
