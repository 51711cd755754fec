package conformance

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// within bounds every wait: it only says how long a hopeless row hangs.
const within = 30 * time.Second

// executor is where rows are run.
type executor struct {
	queue.Executor
	name   string                               // its column in the table
	wire   queue.Executor                       // one over which arguments travel as bytes
	pool   func(b *bed, maxQueued int) lifePool // makes a pool for one row
	rounds int                                  // how often a row that makes pools in a row does that
	site   *site                                // where the workers are; nil if they are goroutines
}

// lifePool is an executor that comes to an end.
type lifePool interface {
	queue.Executor
	Close()
	Join(ctx context.Context) error
	Terminate()
	Shutdown(ctx context.Context, opts ...pool.ShutdownOption) error
}

func local(t *testing.T) executor {
	return executor{
		name:     "L",
		rounds:   20,
		Executor: localPool(t, pool.Config{Workers: workers}, routes()...),
		wire:     localPool(t, pool.Config{Workers: workers, Strict: true}, routes()...),
		pool: func(b *bed, maxQueued int) lifePool {
			return localPool(b.T, pool.Config{Workers: workers, MaxQueued: maxQueued}, routes()...)
		},
	}
}

func localPool(t *testing.T, cfg pool.Config, routes ...queue.Route) *pool.LocalPool {
	t.Helper()
	p, err := pool.NewLocal(cfg, routes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Terminate)
	return p
}

// kids are the children of most rows: they need not be quick to be replaced.
var kids = pool.ProcessConfig{Workers: workers, Spare: -1}

func processes(t *testing.T) executor {
	p := processPool(t, kids)
	return executor{name: "P", rounds: 3, Executor: p, wire: p, pool: func(b *bed, maxQueued int) lifePool {
		cfg := kids
		cfg.MaxQueued = maxQueued
		return processPool(b.T, cfg)
	}}
}

// processPool makes a pool of children. None is left at the end of the test.
func processPool(t *testing.T, cfg pool.ProcessConfig) *pool.ProcessPool {
	t.Helper()
	cfg.Env = append(cfg.Env, "GORACE=atexit_sleep_ms=0") // else one built with -race takes a second to exit
	p, err := pool.NewProcesses(cfg, kidRoutes()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Terminate()
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := p.Join(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func distributed(t *testing.T) executor {
	t.Helper()
	s := newSite(t)
	for range fleet {
		s.worker(workersEach, 0)
	}
	c := s.client()
	return executor{Executor: c, name: "D", rounds: 20, wire: c, site: s, pool: func(b *bed, _ int) lifePool {
		p, err := pool.Distributed(c)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(p.Terminate)
		return p
	}}
}

// bed is what one row works with.
type bed struct {
	*testing.T
	ctx context.Context
	x   queue.Executor
	e   executor
}

func newBed(t *testing.T, e executor) *bed {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return &bed{t, ctx, e.Executor, e}
}

// pool makes a pool of as many workers for this row alone, and lets the row go on
// with it. maxQueued bounds what may wait, if the executor has such a bound; 0 is
// none.
func (b *bed) pool(maxQueued int) lifePool {
	b.Helper()
	p := b.e.pool(b, maxQueued)
	b.x = p
	return p
}

func must[T any](b *bed) func(v T, err error) T {
	return func(v T, err error) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func submit[In, Out any](b *bed, task queue.Task[In, Out], in In, opts ...queue.Option) *queue.Future[Out] {
	b.Helper()
	return must[*queue.Future[Out]](b)(task.Submit(b.ctx, b.x, in, opts...))
}

func value[Out any](b *bed, f *queue.Future[Out]) Out {
	b.Helper()
	return must[Out](b)(f.Get(b.ctx))
}

// fails checks that a task ends with the error want.
func fails[Out any](b *bed, f *queue.Future[Out], want error) {
	b.Helper()
	_, err := f.Get(b.ctx)
	is(b, err, want)
}

func is(b *bed, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("error %v, want %v", err, want)
	}
}

// ended checks that the future is done by now.
func ended(b *bed, f queue.Waitable) {
	b.Helper()
	select {
	case <-f.Done():
	default:
		b.Error("a future is not done")
	}
}

// canceller is what every future can.
type canceller interface {
	Cancel(context.Context, ...queue.CancelOption) (queue.CancelResult, error)
}

func cancels(b *bed, f canceller, want queue.CancelResult, opts ...queue.CancelOption) {
	b.Helper()
	got, err := f.Cancel(b.ctx, opts...)
	if err != nil || got != want {
		b.Errorf("Cancel says %v, %v; want %v", got, err, want)
	}
}

// door is a gated task's place.
type door struct {
	b   *bed
	dir string
}

func newDoor(b *bed) *door { return &door{b, b.TempDir()} }

// submit submits a task that waits at the door.
func (d *door) submit() *queue.Future[int] { d.b.Helper(); return submit(d.b, gated, d.dir) }

// submitN submits n of them.
func (d *door) submitN(n int) []*queue.Future[int] {
	d.b.Helper()
	return must[[]*queue.Future[int]](d.b)(gated.SubmitAll(d.b.ctx, d.b.x, slices.Repeat([]string{d.dir}, n)))
}

func (d *door) has(file string) bool {
	_, err := os.Stat(filepath.Join(d.dir, file))
	return err == nil
}

// runs is how many tasks have begun at the door.
func (d *door) runs() int {
	data, _ := os.ReadFile(filepath.Join(d.dir, "ran"))
	return len(data)
}

// await waits until n tasks have begun at the door.
func (d *door) await(n int) {
	d.b.Helper()
	d.b.until("tasks to begin", func() bool { return d.runs() >= n })
}

func (d *door) open() {
	d.b.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, "open"), nil, 0o600); err != nil {
		d.b.Fatal(err)
	}
}

func (b *bed) until(what string, ok func() bool) {
	b.Helper()
	for !ok() {
		if b.ctx.Err() != nil {
			b.Fatalf("waited %v for %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// occupy fills every slot with tasks at a door.
func (b *bed) occupy() *door {
	b.Helper()
	d := newDoor(b)
	d.submitN(workers)
	d.await(workers)
	b.Cleanup(d.open)
	return d
}

// occupyOnce fills every slot with tasks at the door, and returns one that waits.
func (b *bed) occupyOnce(d *door) *queue.Future[int] {
	b.Helper()
	d.submitN(workers)
	d.await(workers)
	b.Cleanup(d.open)
	return submit(b, double, 1)
}

// fine checks that the pool still works.
func (b *bed) fine() {
	b.Helper()
	for i := range 2 * workers {
		if got := value(b, submit(b, double, i)); got != 2*i {
			b.Errorf("double(%d) = %d afterwards", i, got)
		}
	}
}

// wait waits for what comes from a channel, or its end.
func wait[T any](b *bed, c <-chan T) (v T) {
	b.Helper()
	select {
	case v = <-c:
	case <-b.ctx.Done():
		b.Fatalf("waited %v", within)
	}
	return v
}

// run runs f beside the row; what it returns comes from the channel.
func run(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

// gone is a context that has ended.
func gone(b *bed) context.Context {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	return ctx
}

// captureLog keeps what is logged by default, until the row is over.
func (b *bed) captureLog() (logged func() string) {
	var mu sync.Mutex
	var text bytes.Buffer
	was, out, flags := slog.Default(), log.Writer(), log.Flags() // SetDefault changes all three
	b.Cleanup(func() { slog.SetDefault(was); log.SetOutput(out); log.SetFlags(flags) })
	slog.SetDefault(slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}), nil)))
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
