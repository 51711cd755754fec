package producer_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// within bounds every wait of a test. It is generous: it only says how long a
// hopeless test hangs.
const within = time.Minute

// root is what the keys of the default queue begin with.
const root = "cenote:{default}:"

// bed is what a test runs on: a Redis of its own, a client of it, and a producer.
type bed struct {
	t      *testing.T
	ctx    context.Context
	server *redistest.Server // nil on miniredis
	rdb    *redis.Client
	x      *producer.Client
}

// onBoth runs a test on miniredis and on a real server.
func onBoth(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Parallel()
	t.Run("mini", func(t *testing.T) {
		t.Parallel()
		test(t, newBed(t, nil, redistest.Mini(t).Client()))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, onRedis(t))
	})
}

func onRedis(t *testing.T, args ...string) *bed {
	t.Helper()
	s := redistest.Start(t, args...)
	return newBed(t, s, s.Client())
}

func newBed(t *testing.T, s *redistest.Server, rdb *redis.Client) *bed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	b := &bed{t: t, ctx: ctx, server: s, rdb: rdb}
	b.x = b.producer()
	return b
}

func (b *bed) producer() *producer.Client {
	b.t.Helper()
	x, err := producer.New(b.rdb)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = x.Close() })
	return x
}

// hand is a worker that runs.
type hand struct {
	*consumer.Worker
	b      *bed
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // what it returned
}

// work starts a worker, which is stopped when the test is over.
func (b *bed) work(cfg consumer.Config, routes ...queue.Route) *hand {
	b.t.Helper()
	return b.start(context.Background(), cfg, routes...)
}

// start is work with a context that may end before the test does.
func (b *bed) start(ctx context.Context, cfg consumer.Config, routes ...queue.Route) *hand {
	b.t.Helper()
	w, err := consumer.New(b.rdb, cfg, routes...)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &hand{Worker: w, b: b, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.err = w.Run(ctx)
	}()
	b.t.Cleanup(func() { h.stop() })
	return h
}

// stop stops the worker and fails the test unless Run returned nil.
func (h *hand) stop() {
	h.b.t.Helper()
	h.cancel()
	h.ended()
}

// ended waits for Run to return nil.
func (h *hand) ended() {
	h.b.t.Helper()
	select {
	case <-h.done:
		if h.err != nil {
			h.b.t.Errorf("Run returned %v", h.err)
		}
	case <-time.After(within):
		h.b.t.Fatal("Run does not return")
	}
}

// until waits until ok says so.
func (b *bed) until(what string, ok func() bool) {
	b.t.Helper()
	for !ok() {
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("waited %v for: %s", within, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// wait waits for an event.
func (b *bed) wait(what string, c <-chan struct{}) {
	b.t.Helper()
	select {
	case <-c:
	case <-b.ctx.Done():
		b.t.Fatalf("waited %v for: %s", within, what)
	}
}

func must[T any](b *bed) func(v T, err error) T {
	return func(v T, err error) T {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
		return v
	}
}

// submit submits one task.
func submit[In, Out any](b *bed, task queue.Task[In, Out], in In, opts ...queue.Option) *queue.Future[Out] {
	b.t.Helper()
	return must[*queue.Future[Out]](b)(task.Submit(b.ctx, b.x, in, opts...))
}

// value waits for a task's value.
func value[Out any](b *bed, f *queue.Future[Out]) Out {
	b.t.Helper()
	return must[Out](b)(f.Get(b.ctx))
}

// now is the server's clock.
func (b *bed) now() time.Time {
	b.t.Helper()
	return must[time.Time](b)(b.rdb.Time(b.ctx).Result())
}

// info reads a number out of INFO, for example "commandstats",
// "cmdstat_evalsha:calls=".
func (b *bed) info(section, before string) int {
	b.t.Helper()
	text := must[string](b)(b.rdb.Info(b.ctx, section).Result())
	_, rest, found := strings.Cut(text, before)
	if !found {
		return 0
	}
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	return must[int](b)(strconv.Atoi(digits))
}

var double = queue.NewTask[int, int]("double")

func twice(_ context.Context, n int) (int, error) { return 2 * n, nil }

// gate is a task whose handler reports that it runs and then waits to be let go.
type gate struct {
	entered chan struct{} // one for each run
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

var gated = queue.NewTask[int, int]("gated")

// handle ends when the gate opens or its context does.
func (g *gate) handle(ctx context.Context, n int) (int, error) {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return n, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
