package pool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

func ExampleLocal() {
	ctx := context.Background()
	square := queue.NewTask[int, int]("square")
	p, err := pool.Local(4, square.Handler(func(_ context.Context, n int) (int, error) { return n * n, nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	for n, err := range square.Map(ctx, p, slices.Values([]int{1, 2, 3})) {
		fmt.Println(n, err)
	}
	fmt.Println(p.Shutdown(ctx))
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// <nil>
}

// The program's main begins with pool.Child and the same routes, so that its children
// run tasks and nothing else.
func ExampleProcesses() {
	ctx := context.Background()
	square := queue.NewTask[int, int]("square")
	p, err := pool.Processes(2, square.Handler(func(_ context.Context, n int) (int, error) { return n * n, nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	for n, err := range square.Map(ctx, p, slices.Values([]int{1, 2, 3})) {
		fmt.Println(n, err)
	}
	fmt.Println(p.Shutdown(ctx))
	fmt.Println(len(p.PIDs()), "children left")
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// <nil>
	// 0 children left
}

// A handler that never looks at its context is no match for Kill, which ends its child.
func ExampleProcessPool_Cancel() {
	ctx := context.Background()
	loop := queue.NewTask[int, int]("loop")
	p, err := pool.Processes(1, loop.Handler(func(context.Context, int) (int, error) {
		for {
			time.Sleep(time.Hour)
		}
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { p.Terminate(); _ = p.Join(ctx) }()
	f, err := loop.Submit(ctx, p, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := f.Cancel(ctx, queue.Kill(10*time.Millisecond)); err != nil {
		fmt.Println(err)
	}
	_, err = f.Get(ctx)
	fmt.Println(errors.Is(err, queue.ErrCancelled))
	// Output: true
}

func ExampleDistributed() {
	ctx := context.Background()
	square := queue.NewTask[int, int]("square")

	// Somewhere, on any number of machines, run workers of the same Redis.
	store := miniredis.NewMiniRedis()
	if err := store.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	rdb := redis.NewClient(&redis.Options{Addr: store.Addr()})
	defer func() { _ = rdb.Close() }()
	w, err := consumer.New(rdb, consumer.Config{Concurrency: 2},
		square.Handler(func(_ context.Context, n int) (int, error) { return n * n, nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	working, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- w.Run(working) }()
	defer func() { stop(); <-stopped }()

	c, err := producer.New(rdb) // one a process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	p, err := pool.Distributed(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	for n, err := range square.Map(ctx, p, slices.Values([]int{1, 2, 3})) {
		fmt.Println(n, err)
	}
	fmt.Println(p.Shutdown(ctx)) // the workers stay
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// <nil>
}

func ExampleGo() {
	ctx := context.Background()
	p, err := pool.Local(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Terminate()
	f, err := pool.Go(ctx, p, func(context.Context) (string, error) { return "done", nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Get(ctx))
	// Output: done <nil>
}

// BenchmarkGo is what a task costs on its way through the pool and back.
func BenchmarkGo(b *testing.B) {
	p := open(b, pool.Config{})
	none := func(context.Context) (int, error) { return 0, nil }
	b.Run("wait for each", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := pool.Go(b.Context(), p, none)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Get(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a thousand on the way", func(b *testing.B) {
		b.ReportAllocs()
		var flight [1000]*queue.Future[int]
		i := 0
		for b.Loop() {
			if f := flight[i%1000]; f != nil {
				if _, err := f.Get(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			f, err := pool.Go(b.Context(), p, none)
			if err != nil {
				b.Fatal(err)
			}
			flight[i%1000] = f
			i++
		}
	})
}
