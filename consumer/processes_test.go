package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// What children run.
var (
	whose    = queue.NewTask[int, int]("whose") // the process's number
	leaves   = queue.NewTask[string, int]("leaves", queue.Retries(5))
	spins    = queue.NewTask[string, int]("spins")
	deaf     = queue.NewTask[string, int]("deaf")
	tells    = queue.NewTask[string, string]("tells")
	variable = queue.NewTask[string, string]("variable")
	nested   = queue.NewTask[int, string]("nested")
)

// nobody makes a client that is never used.
func nobody() *redis.Client { return redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) }

func isolated() []queue.Route {
	return []queue.Route{
		whose.Handler(func(_ context.Context, _ int) (int, error) { return os.Getpid(), nil }),
		leaves.Handler(func(_ context.Context, dir string) (int, error) {
			mark(dir)
			fmt.Fprintln(os.Stderr, "so long")
			os.Exit(3)
			return 0, nil
		}),
		spins.Handler(func(_ context.Context, dir string) (int, error) {
			mark(dir)
			for n := 0; ; n++ {
				if n < 0 {
					return n, nil
				}
			}
		}),
		deaf.Handler(func(_ context.Context, dir string) (int, error) {
			mark(dir)
			for {
				if _, err := os.Stat(filepath.Join(dir, "heard")); err == nil {
					return os.Getpid(), nil
				}
				time.Sleep(time.Millisecond)
			}
		}),
		tells.Handler(func(ctx context.Context, name string) (string, error) {
			queue.Progress(ctx, 1, 2)
			queue.Logf(ctx, "hello, %s", name)
			fmt.Println("by printing")
			word, err := queue.Common[string](ctx)
			return fmt.Sprintf("%s %s %d", word, name, queue.FromContext(ctx).Attempt), err
		}),
		variable.Handler(func(_ context.Context, name string) (string, error) { return os.Getenv(name), nil }),
		nested.Handler(func(context.Context, int) (string, error) {
			_, err := consumer.New(nobody(), consumer.Config{Concurrency: 1, Processes: &consumer.Processes{}}, isolated()...)
			return fmt.Sprint(err), nil
		}),
	}
}

// initialize fails while there is a file of the name that the environment gives.
func initialize(context.Context) error {
	if path := os.Getenv("REFUSE"); path != "" {
		if _, err := os.Stat(path); err == nil {
			return errors.New("not today")
		}
	}
	return nil
}

// mark leaves the number of this process in a directory.
func mark(dir string) {
	_ = os.WriteFile(filepath.Join(dir, fmt.Sprint(os.Getpid())), nil, 0o600)
}

func marks(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// children is a worker's configuration.
func children(n int) consumer.Config {
	return consumer.Config{Concurrency: n, Lease: 2 * time.Second, Processes: &consumer.Processes{Initializer: initialize}}
}

func TestHandlersRunInChildren(t *testing.T) {
	onBoth(t, func(_ *testing.T, b *bed) {
		b.work(children(2), isolated()...)
		if pid := value(b, submit(b, whose, 0)); pid == os.Getpid() {
			b.t.Error("the handler ran in this process")
		}
		f := submit(b, tells, "you", queue.Sharing("welcome"))
		if got := value(b, f); got != "welcome you 1" {
			b.t.Errorf("value %q", got)
		}
		b.until("a task to be heard", func() bool { // who listens late has missed something
			var heard []string
			for e := range submit(b, tells, "you", queue.Sharing("welcome")).Events(b.ctx) {
				heard = append(heard, e.Text)
			}
			all := strings.Join(heard, "|")
			return strings.Contains(all, "hello, you") && strings.Contains(all, "by printing")
		})
		if got := value(b, submit(b, nested, 0)); !strings.Contains(got, "child") {
			b.t.Errorf("a worker with children in a child: %s", got)
		}
	})
}

func TestChildrenKnowNoRedis(t *testing.T) {
	t.Setenv("CENOTE_REDIS_URL", "redis://:hush@localhost")
	t.Setenv("REDIS_URL", "redis://:hush@localhost")
	t.Setenv("SOME_TOKEN", "hush")
	b := newBed(t, nil, redistest.Mini(t).Client())
	cfg := children(1)
	cfg.Processes.Env = []string{"GREETING=hello"}
	b.work(cfg, isolated()...)
	for name, want := range map[string]string{"CENOTE_REDIS_URL": "", "REDIS_URL": "", "SOME_TOKEN": "", "GREETING": "hello", "PATH": os.Getenv("PATH")} {
		if got := value(b, submit(b, variable, name)); got != want {
			t.Errorf("a child's %s is %q, want %q", name, got, want)
		}
	}
}

// A task that ends its processes is buried, whatever its retries, and nobody else with it.
func TestATaskThatEndsItsChildrenIsBuried(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		cfg := children(2)
		cfg.Lease = time.Minute // which no load on the machine exceeds
		w := b.work(cfg, isolated()...)
		dir := t.TempDir()
		bad := submit(b, leaves, dir)
		for i := range 50 {
			value(b, submit(b, whose, i))
		}
		_, err := bad.Get(b.ctx)
		if !errors.Is(err, queue.ErrWorkerLost) || !strings.Contains(err.Error(), "status 3") || !strings.Contains(err.Error(), "so long") {
			t.Errorf("error %v", err)
		}
		if n := marks(t, dir); n != 3 {
			t.Errorf("it has ended %d children, want 3", n)
		}
		s := w.Stats()
		if s.Crashed != 3 || s.Dead != 1 || s.Succeeded != 50 || s.Lapsed != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestKillOverRedis(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.work(children(1), isolated()...)
		dir := t.TempDir()
		f := submit(b, spins, dir)
		b.until("the task to begin", func() bool { return marks(t, dir) == 1 })
		if r, err := f.Cancel(b.ctx, queue.Kill(10*time.Millisecond)); r != queue.CancelInterrupted || err != nil {
			t.Fatalf("Cancel says %v, %v", r, err)
		}
		if _, err := f.Get(b.ctx); !errors.Is(err, queue.ErrCancelled) {
			t.Errorf("error %v", err)
		}
		value(b, submit(b, whose, 0))
	})
}

func TestAGoroutineIsNotKilledOverRedis(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		dir := t.TempDir()
		b.work(consumer.Config{Concurrency: 1}, isolated()...)
		f := submit(b, deaf, dir)
		b.until("the task to begin", func() bool { return marks(t, dir) == 1 })
		if r, err := f.Cancel(b.ctx, queue.Kill(0)); r != queue.CancelTooLate || !errors.Is(err, queue.ErrNotKillable) {
			t.Errorf("Cancel says %v, %v", r, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "heard"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		value(b, f) // nothing has happened to it
	})
}

// A timeout ends a handler that does not listen, with its process.
func TestATimeoutKills(t *testing.T) {
	b := newBed(t, nil, redistest.Mini(t).Client())
	cfg := children(1)
	cfg.Processes.KillAfter = 10 * time.Millisecond
	b.work(cfg, isolated()...)
	_, err := submit(b, spins, t.TempDir(), queue.Timeout(50*time.Millisecond)).Get(b.ctx)
	if !errors.Is(err, queue.ErrTimeout) || errors.Is(err, queue.ErrWorkerLost) {
		t.Errorf("error %v", err)
	}
}

// A worker whose children do not start costs no task anything.
func TestAWorkerWithoutChildrenIsUnwell(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		refuse := filepath.Join(t.TempDir(), "refuse")
		if err := os.WriteFile(refuse, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := children(2)
		cfg.Processes.Env = []string{"REFUSE=" + refuse}
		w := b.work(cfg, isolated()...)
		var all []*queue.Future[int]
		for i := range 20 {
			all = append(all, submit(b, whose, i))
		}
		b.until("the worker to be unwell", func() bool { return w.Err() != nil })
		if err := w.Err(); !errors.Is(err, queue.ErrPoolBroken) || !strings.Contains(err.Error(), "not today") {
			t.Errorf("it is unwell with %v", err)
		}
		if err := os.Remove(refuse); err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			value(b, f)
		}
		if err := w.Err(); err != nil {
			t.Errorf("it is still unwell: %v", err)
		}
		if s := w.Stats(); s.Dead != 0 || s.Retried != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A worker that is stopped leaves no child behind, and hands back what does not heed it.
func TestAWorkerThatStopsKillsItsChildren(t *testing.T) {
	b := newBed(t, nil, redistest.Mini(t).Client())
	cfg := children(1)
	cfg.Grace = -1
	w := b.work(cfg, isolated()...)
	dir := t.TempDir()
	f := submit(b, deaf, dir)
	b.until("the task to begin", func() bool { return marks(t, dir) == 1 })
	w.stop()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	pid := 0
	if _, err := fmt.Sscan(entries[0].Name(), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "heard"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.work(children(1), isolated()...)
	value(b, f)
}

func TestBadProcesses(t *testing.T) {
	rdb := nobody()
	defer rdb.Close()
	for _, p := range []consumer.Processes{{MaxTasks: -1}, {MaxLifetime: -1}, {MaxMemory: -1}, {MaxMemory: 1 << 30, Cgroup: t.TempDir()}, {Cgroup: "/sys/fs/cgroup"}, {KillAfter: -1}, {StartTimeout: -1}, {Env: []string{"X"}}, {Env: []string{"REDIS_URL=x"}}} {
		if _, err := consumer.New(rdb, consumer.Config{Concurrency: 1, Processes: &p}, isolated()...); !errors.Is(err, queue.ErrOption) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
