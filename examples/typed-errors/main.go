// Command typed-errors shows how a worker's errors arrive at the one who waits:
// declared ones as what they were, a panic as [queue.ErrPanic], all of them as a
// [queue.TaskError] that says how and at which attempt the task ended.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// ErrNoAccount is a value: it travels by its name alone.
var ErrNoAccount = errors.New("no such account")

// LimitError is a type: its fields travel too.
type LimitError struct{ Asked, Limit int }

func (e LimitError) Error() string {
	return fmt.Sprintf("asked for %d, the limit is %d", e.Asked, e.Limit)
}

// Withdrawal is the argument.
type Withdrawal struct {
	Account string
	Amount  int
}

// Withdraw declares the errors that its handler returns.
var Withdraw = queue.NewTask[Withdrawal, int]("account.withdraw",
	queue.Sentinel("no_account", ErrNoAccount), queue.ErrorType[LimitError]("limit"),
	queue.Retries(1), queue.Spaced(queue.Backoff{Base: 10 * time.Millisecond}))

func withdraw(_ context.Context, in Withdrawal) (int, error) {
	balances := map[string]int{"ada": 100}
	switch balance, ok := balances[in.Account]; {
	case !ok:
		return 0, queue.NoRetry(fmt.Errorf("look up %q: %w", in.Account, ErrNoAccount)) // final: trying again cannot help
	case in.Amount > 50:
		return 0, queue.NoRetry(LimitError{Asked: in.Amount, Limit: 50})
	case in.Amount < 0:
		panic("negative amount")
	default:
		return balance - in.Amount, nil
	}
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	rdb := local.Redis()
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 2}, Withdraw.Handler(withdraw))
	check(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	c, err := producer.New(rdb)
	check(err)

	for _, in := range []Withdrawal{{"ada", 30}, {"bob", 30}, {"ada", 80}, {"ada", -1}} {
		left, err := Withdraw.Call(ctx, c, in)
		fmt.Printf("%s %d: %s\n", in.Account, in.Amount, tell(left, err))
	}
	check(c.Close())
	stop()
	check(<-stopped)
}
