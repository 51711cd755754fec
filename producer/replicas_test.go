package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

func TestReplicated(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	replica := redistest.StartReplica(t, b.server)
	there := replica.Client()
	client := func(opts ...producer.Option) *producer.Client {
		x, err := producer.New(b.rdb, append(opts, producer.Replicated(1))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close() })
		return x
	}
	x := client()
	echo := queue.NewTask[int, int]("echo")

	first, err := echo.Submit(b.ctx, x, 1)
	if err != nil {
		t.Fatal(err)
	}
	id := first.ID()
	if !there.HExists(b.ctx, root+"tasks", string(id[:])).Val() {
		t.Error("an accepted task is not in the replica")
	}

	replica.Freeze()
	second := submitting(b.ctx, x, echo, 2)
	hurried, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	_, err = echo.Submit(hurried, x, 3)
	if !errors.Is(err, queue.ErrUnreplicated) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "queue.ID") {
		t.Errorf("a caller in a hurry: %v, want ErrUnreplicated that says the fix", err)
	}
	_, err = echo.Submit(b.ctx, client(producer.WaitsFor(time.Second)), 4)
	if !errors.Is(err, queue.ErrUnreplicated) || !strings.Contains(err.Error(), "add replicas") {
		t.Errorf("a client that waits for a second: %v, want ErrUnreplicated that says the fix", err)
	}
	select {
	case got := <-second:
		t.Fatalf("a submission that the replica has not confirmed returned %v", got.err)
	default:
	}
	replica.Thaw()
	got := <-second
	if got.err != nil {
		t.Fatalf("the replica is back: %v", got.err)
	}

	w, err := consumer.New(b.rdb, consumer.Config{Concurrency: 1, Replicas: 1}, echo.Handler(func(_ context.Context, n int) (int, error) { return n, nil }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	ended := running(func() error { return w.Run(ctx) })
	for want, fut := range map[int]*queue.Future[int]{1: first, 2: got.fut} {
		if v, err := fut.Get(b.ctx); v != want || err != nil {
			t.Errorf("the outcome is %d, %v; want %d", v, err, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type submitted struct {
	fut *queue.Future[int]
	err error
}

func submitting(ctx context.Context, x *producer.Client, task queue.Task[int, int], n int) <-chan submitted {
	done := make(chan submitted, 1)
	go func() {
		fut, err := task.Submit(context.WithoutCancel(ctx), x, n)
		done <- submitted{fut, err}
	}()
	return done
}

func running(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// An outcome that only the master has could still be another one.
func TestReplicatedOutcomesAreConfirmed(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	replica := redistest.StartReplica(t, b.server)
	x, err := producer.New(b.rdb, producer.Replicated(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	echo := queue.NewTask[int, int]("echo")
	begun, finish := make(chan struct{}), make(chan struct{})
	w, err := consumer.New(b.rdb, consumer.Config{Concurrency: 1}, echo.Handler(func(_ context.Context, n int) (int, error) {
		close(begun)
		<-finish
		return n, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	ended := running(func() error { return w.Run(ctx) })
	fut, err := echo.Submit(b.ctx, x, 7)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	replica.Freeze()
	close(finish)
	// The worker does not wait for replicas: the master soon has an outcome.
	log := func() bool {
		keys, err := b.rdb.Keys(b.ctx, root+"reply:*").Result()
		return err == nil && len(keys) == 1
	}
	for !log() {
		if b.ctx.Err() != nil {
			t.Fatal("there is no outcome")
		}
		time.Sleep(time.Millisecond)
	}
	soon, cancel := context.WithTimeout(b.ctx, 2*time.Second)
	defer cancel()
	if v, err := fut.Get(soon); !errors.Is(err, queue.ErrNotReady) {
		t.Errorf("an outcome that no replica has was delivered: %d, %v", v, err)
	}
	replica.Thaw()
	if v, err := fut.Get(b.ctx); v != 7 || err != nil {
		t.Errorf("the replica is back: %d, %v; want 7", v, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestReplicatedRefuses(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = rdb.Close() }()
	if _, err := producer.New(rdb, producer.Replicated(-1)); !errors.Is(err, queue.ErrOption) {
		t.Errorf("-1 replicas: %v, want ErrOption", err)
	}
}

// A task that Redis has not accepted yet is not there, and not lost.
func TestASubmissionThatTakesLongIsNoLostTask(t *testing.T) {
	t.Parallel()
	b := onRedis(t, "--min-replicas-to-write", "1")
	x, err := producer.New(b.rdb, producer.Replicated(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	producer.Doubts(x, 50*time.Millisecond)
	if err := b.rdb.ConfigSet(b.ctx, "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Declare(b.ctx, queue.DefaultQueue, queue.Layout{}); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.ConfigSet(b.ctx, "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	echo := queue.NewTask[int, int]("echo")
	submitting := submitting(b.ctx, x, echo, 5)
	asked := func() int { return b.info("commandstats", "cmdstat_evalsha:calls=") }
	for before := asked(); asked() < before+20; { // the submission again and again, and looks whether it is there
		if b.ctx.Err() != nil {
			t.Fatal("nobody asks")
		}
		time.Sleep(10 * time.Millisecond)
	}
	redistest.StartReplica(t, b.server)
	got := <-submitting
	if got.err != nil {
		t.Fatal(got.err)
	}
	if _, err := got.fut.Result(); !errors.Is(err, queue.ErrNotReady) {
		t.Errorf("a task that was accepted just now: %v, want ErrNotReady", err)
	}
}
