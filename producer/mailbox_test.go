package producer_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// TestAllWhoWaitForASubscriptionHearThatItFails, not only the first, who has asked for
// it; and the next one has it.
func TestAllWhoWaitForASubscriptionHearThatItFails(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	dialled, release := make(chan struct{}, 100), make(chan struct{})
	opt := redistest.Mini(t).Options()
	addr := opt.Addr
	opt.DialerRetries, opt.MaxRetries = 1, -1
	opt.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if cut.Load() {
			dialled <- struct{}{}
			<-release
			return nil, errors.New("no way")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	x, err := producer.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	// Now all that a submission needs is there, but for the subscription.
	if _, err := double.Submit(t.Context(), x, 1, queue.NoReply()); err != nil {
		t.Fatal(err)
	}
	cut.Store(true)
	const callers = 5
	failed := make(chan error, callers)
	submit := func() {
		_, err := double.Submit(context.Background(), x, 1) // with no deadline of its own
		failed <- err
	}
	go submit()
	<-dialled
	for range callers - 1 {
		go submit()
	}
	time.Sleep(50 * time.Millisecond) // until they wait, too; if not they are told all the same
	close(release)
	for range callers {
		select {
		case err := <-failed:
			if err == nil {
				t.Error("it was submitted without a subscription")
			}
		case <-time.After(within):
			t.Fatal("a submission hangs")
		}
	}
	cut.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		_, err := double.Submit(ctx, x, 1)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
