package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// within bounds every wait: it only says how long a hopeless row hangs.
const within = 30 * time.Second

// executor is where rows are run.
type executor struct {
	queue.Executor
	wire queue.Executor // one over which arguments travel as bytes
}

func local(t *testing.T) executor {
	t.Helper()
	p, err := pool.Local(workers, routes()...)
	if err != nil {
		t.Fatal(err)
	}
	strict, err := pool.NewLocal(pool.Config{Workers: workers, Strict: true}, routes()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Terminate)
	t.Cleanup(strict.Terminate)
	return executor{p, strict}
}

func distributed(t *testing.T) executor {
	t.Helper()
	s := redistest.Start(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range fleet {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), workerEnv+"="+s.Addr(), "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("a worker process ended with %v", err)
			}
		})
	}
	c, err := producer.New(s.Client())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return executor{c, c}
}

// bed is what one row works with.
type bed struct {
	*testing.T
	ctx  context.Context
	x    queue.Executor
	wire queue.Executor
}

func newBed(t *testing.T, e executor) *bed {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return &bed{t, ctx, e.Executor, e.wire}
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

// door is a gated task's place.
type door struct {
	b   *bed
	dir string
}

func newDoor(b *bed) *door { return &door{b, b.TempDir()} }

// submit submits a task that waits at the door.
func (d *door) submit() *queue.Future[int] { d.b.Helper(); return submit(d.b, gated, d.dir) }

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
	for range workers {
		d.submit()
	}
	d.await(workers)
	b.Cleanup(d.open)
	return d
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

func (b *bed) wait(c <-chan struct{}) {
	b.Helper()
	select {
	case <-c:
	case <-b.ctx.Done():
		b.Fatalf("waited %v", within)
	}
}
