package shared

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
)

// within bounds every wait: it only says how long a hopeless test hangs.
const within = 60 * time.Second

// onBoth runs a test on a redis-server and on miniredis; and on a redis-server to which
// everything is sent twice, as go-redis does when it loses a reply.
func onBoth(t *testing.T, test func(t *testing.T, dial func() redis.UniversalClient)) {
	t.Run("redis", func(t *testing.T) {
		s := redistest.Start(t)
		test(t, func() redis.UniversalClient { return s.Client() })
	})
	t.Run("miniredis", func(t *testing.T) {
		s := redistest.Mini(t)
		test(t, func() redis.UniversalClient { return s.Client() })
	})
	t.Run("twice", func(t *testing.T) {
		s := redistest.Start(t)
		test(t, func() redis.UniversalClient {
			c := s.Client()
			c.AddHook(twice{})
			return c
		})
	})
}

// twice sends scripts twice, and takes the second reply for the only one.
type twice struct{}

func (twice) DialHook(next redis.DialHook) redis.DialHook { return next }
func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" && cmd.Name() != "eval" {
			return next(ctx, cmd)
		}
		if err := next(ctx, redis.NewCmd(ctx, cmd.Args()...)); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok {
				return ne
			}
		}
		return next(ctx, cmd)
	}
}
func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// waitFor waits until f is true of what Redis has.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	limit := time.After(within)
	for !f() {
		select {
		case <-limit:
			t.Fatalf("waited %v for %s", within, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// get waits for what comes from a channel.
func get[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(within):
		t.Fatalf("waited %v for %s", within, what)
	}
	return v
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
