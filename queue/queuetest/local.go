package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// patience bounds how long the end of a test waits for handlers. In a bubble it is
// virtual.
const patience = 10 * time.Second

// Local makes a pool of n goroutines that runs tasks as workers do, concurrently and in
// their own time, and ends with the test. What goes through it goes as bytes, as over
// Redis. In a bubble of testing/synctest it is the cheapest way to have delays, retries
// and timeouts come to pass.
func Local(t testing.TB, n int, routes ...queue.Route) *pool.LocalPool {
	t.Helper()
	p, err := pool.NewLocal(pool.Config{Workers: n, Strict: true}, routes...)
	if err != nil {
		t.Fatalf("queuetest: %v", err)
	}
	t.Cleanup(func() {
		p.Terminate()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.Join(ctx); err != nil {
			t.Errorf("queuetest: a handler does not heed its context, which is cancelled: %v", err)
		}
	})
	return p
}
