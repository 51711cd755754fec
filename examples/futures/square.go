package main

import (
	"context"
	"os"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Squared is a square and who worked it out.
type Squared struct{ N, Process int }

// Square takes a while.
var Square = queue.NewTask[int, Squared]("square")

func square(_ context.Context, n int) (Squared, error) {
	time.Sleep(10 * time.Millisecond)
	return Squared{N: n * n, Process: os.Getpid()}, nil
}
