package shared

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
)

// tubeWithin bounds every wait: it only says how long a hopeless test hangs.
const tubeWithin = 90 * time.Second

// tubeBed is a Redis and managers of several programs.
type tubeBed struct {
	*testing.T
	ctx     context.Context
	options func() *redis.Options
	rdb     *redis.Client
	real    *redistest.Server // nil on miniredis
	hook    redis.Hook        // of every manager's client, if it is not nil
}

func newTubeBed(t *testing.T, options func() *redis.Options) *tubeBed {
	ctx, cancel := context.WithTimeout(context.Background(), tubeWithin)
	t.Cleanup(cancel)
	b := &tubeBed{T: t, ctx: ctx, options: options, rdb: redis.NewClient(options())}
	t.Cleanup(func() { _ = b.rdb.Close() })
	return b
}

func tubesOnRedis(t *testing.T, args ...string) *tubeBed {
	s := redistest.Start(t, args...)
	b := newTubeBed(t, s.Options)
	b.real = s
	return b
}

// onTubes runs a test on a redis-server, on miniredis, and on a redis-server to which
// every script is sent twice, as go-redis does when it loses a reply.
func onTubes(t *testing.T, test func(b *tubeBed)) {
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(tubesOnRedis(t)) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(newTubeBed(t, redistest.Mini(t).Options)) })
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		b := tubesOnRedis(t)
		b.hook = tubeTwice{}
		test(b)
	})
}

// tubeTwice sends scripts twice, and takes the second reply for the only one.
type tubeTwice struct{}

func (tubeTwice) DialHook(next redis.DialHook) redis.DialHook { return next }
func (tubeTwice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" || cmd.Name() == "eval" {
			err := next(ctx, redis.NewCmd(ctx, cmd.Args()...))
			if ne, ok := errors.AsType[net.Error](err); ok {
				return ne
			}
		}
		return next(ctx, cmd)
	}
}
func (tubeTwice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// manager is one of another program.
func (b *tubeBed) manager() *Manager {
	b.Helper()
	rdb := redis.NewClient(b.options())
	if b.hook != nil {
		rdb.AddHook(b.hook)
	}
	m, err := New(rdb)
	b.ok(err)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tubeWithin)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			b.Error(err)
		}
		_ = rdb.Close()
	})
	return m
}

// tubeQueue opens a queue of ints in another program.
func (b *tubeBed) queue(size int, opts ...Option) *Queue[int] {
	b.Helper()
	q, err := OpenQueue[int](b.manager(), "q", size, opts...)
	b.ok(err)
	return q
}

func (b *tubeBed) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// is checks that err is each of want.
func (b *tubeBed) is(err error, want ...error) {
	b.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			b.Errorf("error %v, want %v", err, w)
		}
	}
}

// gets checks what Get returns.
func (b *tubeBed) gets(q *Queue[int], want ...int) {
	b.Helper()
	for _, w := range want {
		if v, err := q.Get(b.ctx); err != nil || v != w {
			b.Fatalf("Get: %d, %v; want %d", v, err, w)
		}
	}
}

func (b *tubeBed) puts(q *Queue[int], vs ...int) {
	b.Helper()
	for _, v := range vs {
		b.ok(q.Put(b.ctx, v))
	}
}

// soon is a context that ends while the call waits.
func (b *tubeBed) soon() context.Context {
	ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	b.Cleanup(cancel)
	return ctx
}

// lined waits until n handles wait in a line of the queue.
func (b *tubeBed) lined(line string, n int64) {
	b.Helper()
	b.until(fmt.Sprintf("%d %s to wait", n, line), func() bool {
		return b.rdb.ZCard(b.ctx, "cenote:shared:queue:{q}:"+line).Val() == n
	})
}

// until waits until f is true of what Redis has, which tells nobody.
func (b *tubeBed) until(what string, f func() bool) {
	b.Helper()
	for !f() {
		select {
		case <-b.ctx.Done():
			b.Fatalf("waited %v for %s", tubeWithin, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// tubeRun runs f beside the test; what it returns comes from the channel.
func tubeRun[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// tubeWait waits for what comes from a channel.
func tubeWait[T any](b *tubeBed, c <-chan T) (v T) {
	b.Helper()
	select {
	case v = <-c:
	case <-b.ctx.Done():
		b.Fatalf("waited %v", tubeWithin)
	}
	return v
}

// tubeCounter counts scripts.
type tubeCounter struct {
	tubeTwice
	mu sync.Mutex
	n  int
}

func (c *tubeCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			c.mu.Lock()
			c.n++
			c.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (c *tubeCounter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
