package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// scriptEnv makes the test binary play a part instead of running tests.
const scriptEnv = "CENOTE_CONFORMANCE_SCRIPT"

// script is what a process has to know to play its part.
type script struct {
	Part  string
	Addr  string // of Redis
	Slots int    // of a worker
	Lease time.Duration
	Dir   string // of a door
	Job   string // of a partner
	IDs   map[string]queue.TaskID

	Queue string // shared by that name, or a pipe
	Items int    // of a queue's producer

	Polite bool // an interrupt lets what runs finish
}

func play(text string) int {
	var sc script
	err := json.Unmarshal([]byte(text), &sc)
	switch {
	case err != nil:
	case sc.Part == "parent":
		err = haveKids(sc)
	default:
		rdb := redis.NewClient(&redis.Options{Addr: sc.Addr})
		defer rdb.Close()
		var c *producer.Client
		if c, err = producer.New(rdb); err == nil {
			defer c.Close()
			part := map[string]func(script, *redis.Client, *producer.Client) error{"worker": work, "reader": reopen, "leaver": leave, "partner": partner, "sharer": share, "putter": putAll, "getter": getAll, "echo": echo}[sc.Part]
			err = part(sc, rdb, c)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", sc.Part, err)
		return 1
	}
	return 0
}

// untilClosed returns a context that ends with the standard input: that is closed
// when the test binary is gone, however that ends.
func untilClosed() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return ctx
}

// untilInterrupt is untilClosed for a program that an interrupt stops. Unless it is
// polite the interrupt does what it does by default.
func untilInterrupt(polite bool) (context.Context, context.CancelFunc) {
	ctx := untilClosed()
	if !polite {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, os.Interrupt)
}

// work is a worker. Its nested tasks submit with c.
func work(sc script, rdb *redis.Client, c *producer.Client) error {
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(os.Stderr), zap.InfoLevel))
	cfg := consumer.Config{Concurrency: sc.Slots, Lease: sc.Lease, Logger: log}
	w, err := consumer.New(rdb, cfg, append(routes(), dies.Handler(die), nested.Handler(func(ctx context.Context, n int) (int, error) {
		return double.Call(ctx, c, n)
	}))...)
	if err != nil {
		return err
	}
	return w.Run(untilClosed())
}

// leave is a producer that submits a task and its continuation, says so by a file,
// and then only waits to be killed.
func leave(sc script, _ *redis.Client, c *producer.Client) error {
	ctx := untilClosed()
	if _, err := gated.Submit(ctx, c, sc.Dir, queue.Then(double, queue.ID(continuation))); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(sc.Dir, "submitted"), nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// continuation is the key of the task that follows that of leave.
const continuation = "what-follows"

// reopen looks at tasks that another process has submitted.
func reopen(sc script, _ *redis.Client, c *producer.Client) error {
	ctx, cancel := context.WithTimeout(untilClosed(), within)
	defer cancel()
	running, err := gated.Open(ctx, c, sc.IDs["running"])
	if err != nil {
		return fmt.Errorf("open a task that runs: %w", err)
	}
	if err := os.WriteFile(filepath.Join(sc.Dir, "open"), nil, 0o600); err != nil {
		return err
	}
	if v, err := running.Get(ctx); err != nil || v != 7 {
		return fmt.Errorf("a task that ran: %d, %w", v, err)
	}
	done, err := double.Open(ctx, c, sc.IDs["done"])
	if err != nil {
		return fmt.Errorf("open a task that is done: %w", err)
	}
	if v, err := done.Get(ctx); err != nil || v != 42 {
		return fmt.Errorf("a task that is done: %d, %w", v, err)
	}
	failed, err := evens.Open(ctx, c, sc.IDs["failed"])
	if err != nil {
		return fmt.Errorf("open a task that failed: %w", err)
	}
	_, err = failed.Get(ctx)
	if te, ok := errors.AsType[*queue.TaskError](err); !ok || !errors.Is(err, errOdd) || te.Attempt != 2 {
		return fmt.Errorf("a task that failed twice: %w", err)
	}
	other, err := evens.Open(ctx, c, sc.IDs["done"])
	if err == nil {
		_, err = other.Get(ctx)
	}
	if !errors.Is(err, queue.ErrTaskMismatch) {
		return fmt.Errorf("a task of another type: %w", err)
	}
	if _, err := double.Open(ctx, c, sc.IDs["expired"]); !errors.Is(err, queue.ErrResultExpired) {
		return fmt.Errorf("an outcome that has expired: %w", err)
	}
	return nil
}
