package shared_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/shared"
)

// open makes a manager over a Redis of its own, for an example.
func open() (m *shared.Manager, done func()) {
	s, err := embedded.StartPrivate()
	if err != nil {
		panic(err)
	}
	var rdb redis.UniversalClient = s.Client()
	if m, err = shared.New(rdb); err != nil {
		panic(err)
	}
	return m, func() {
		_ = m.Close(context.Background())
		_ = rdb.Close()
		s.Close()
	}
}

func ExampleLock() {
	m, done := open()
	defer done()
	ctx := context.Background()

	lock, err := shared.OpenLock(m, "printer")
	if err != nil {
		panic(err)
	}
	held, err := lock.Acquire(ctx)
	if err != nil {
		panic(err)
	}
	_, ok, _ := lock.TryAcquire(ctx)
	fmt.Println("another one has it as well:", ok)
	fmt.Println("released:", held.Release(ctx) == nil)
	fmt.Println("released twice:", errors.Is(held.Release(ctx), shared.ErrNotOwner))
	// Output:
	// another one has it as well: false
	// released: true
	// released twice: true
}

func ExampleFenced() {
	m, done := open()
	defer done()
	ctx := context.Background()

	lock, _ := shared.OpenLock(m, "ledger")
	sum, _ := shared.OpenFenced[int](m, "sum")
	old, _ := lock.Acquire(ctx)
	_ = old.Release(ctx) // or it was lost, and old does not know it
	held, _ := lock.Acquire(ctx)

	fmt.Println(sum.Write(ctx, held.Token(), 7))
	fmt.Println(errors.Is(sum.Write(ctx, old.Token(), 99), shared.ErrStale))
	v, _, _, _ := sum.Read(ctx)
	fmt.Println(v)
	// Output:
	// <nil>
	// true
	// 7
}

func ExampleSemaphore() {
	m, done := open()
	defer done()
	ctx := context.Background()

	seats, err := shared.OpenSemaphore(m, "seats", 2)
	if err != nil {
		panic(err)
	}
	for range 3 {
		_, ok, err := seats.TryAcquire(ctx)
		fmt.Println(ok, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}

func ExampleEvent() {
	m, done := open()
	defer done()
	ctx := context.Background()

	ready, err := shared.OpenEvent(m, "ready")
	if err != nil {
		panic(err)
	}
	go func() { _ = ready.Set(ctx) }() // anywhere
	fmt.Println(ready.Wait(ctx))
	// Output: <nil>
}

func ExampleBarrier() {
	m, done := open()
	defer done()
	ctx := context.Background()

	barrier, err := shared.OpenBarrier(m, "round", 3)
	if err != nil {
		panic(err)
	}
	var parties sync.WaitGroup
	for range 3 { // anywhere
		parties.Go(func() {
			for range 2 {
				if i, err := barrier.Wait(ctx); err == nil && i == 0 {
					fmt.Println("all have arrived")
				}
			}
		})
	}
	parties.Wait()
	// Output:
	// all have arrived
	// all have arrived
}
