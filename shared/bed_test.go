package shared

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
)

// within bounds every wait: it only says how long a hopeless test hangs.
const within = 2 * time.Minute

// bed is a Redis and managers of several programs.
type bed struct {
	t    testing.TB
	ctx  context.Context
	rdb  *redis.Client
	real *redistest.Server     // nil on miniredis
	mini *redistest.MiniServer // nil on a real server
}

func newBed(t testing.TB, rdb *redis.Client) *bed {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return &bed{t: t, ctx: ctx, rdb: rdb}
}

func newMini(t testing.TB) *bed {
	t.Helper()
	m := redistest.Mini(t)
	b := newBed(t, m.Client())
	b.mini = m
	return b
}

func newReal(t testing.TB, args ...string) *bed {
	t.Helper()
	s := redistest.Start(t, args...)
	b := newBed(t, s.Client())
	b.real = s
	return b
}

// everywhere runs the test on miniredis and on a real server: nobody must be able to
// tell them apart.
func everywhere(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("mini", func(t *testing.T) { t.Parallel(); test(t, newMini(t)) })
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, newReal(t)) })
}

// options are those of a client of the server.
func (b *bed) options() *redis.Options {
	if b.mini != nil {
		return b.mini.Options()
	}
	return b.real.Options()
}

// manager is one of another program.
func (b *bed) manager(opts ...Option) *Manager {
	b.t.Helper()
	return b.managerOver(b.options(), opts...)
}

func (b *bed) managerOver(o *redis.Options, opts ...Option) *Manager {
	b.t.Helper()
	rdb := redis.NewClient(o)
	m, err := New(rdb, opts...)
	b.ok(err)
	b.t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			b.t.Error(err)
		}
		_ = rdb.Close()
	})
	return m
}

func (b *bed) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// must returns a function, so that what returns several values can be its argument.
func must[T any](b *bed) func(v T, err error) T {
	return func(v T, err error) T {
		b.t.Helper()
		b.ok(err)
		return v
	}
}

func wants[T comparable](b *bed, what string, got, want T) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// forgetful is a program whose replies get lost: every other script is sent again, as
// go-redis does when a connection breaks before the reply has come.
func (b *bed) forgetful(opts ...Option) *Manager {
	b.t.Helper()
	rdb := redis.NewClient(b.options())
	rdb.AddHook(&resending{})
	m, err := New(rdb, opts...)
	b.ok(err)
	b.t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			b.t.Error(err)
		}
		_ = rdb.Close()
	})
	return m
}

type resending struct{ n atomic.Int64 }

func (*resending) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*resending) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *resending) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && cmd.Name() == "evalsha" && r.n.Add(1)%2 == 0 {
			err = next(ctx, cmd)
		}
		return err
	}
}
