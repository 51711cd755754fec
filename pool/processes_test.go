package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

var (
	pidTask   = queue.NewTask[int, int]("child.pid")
	dieTask   = queue.NewTask[string, int]("child.die")
	spinTask  = queue.NewTask[string, int]("child.spin")
	sayTask   = queue.NewTask[int, int]("child.say")
	spawnTask = queue.NewTask[string, int]("child.spawn")
	eatTask   = queue.NewTask[int, int]("child.eat")
	nestTask  = queue.NewTask[int, int]("child.nest")
	idleTask  = queue.NewTask[int, int]("child.noop")
	errDying  = errors.New("dying")
	failTask  = queue.NewTask[int, int]("child.fail", queue.Sentinel("dying", errDying))
)

// readyChild is the Initializer of the children of this package's tests.
func readyChild(context.Context) error {
	if os.Getenv("CHILD_FAILS") != "" {
		return errors.New("no luck today")
	}
	return nil
}

func childRoutes() []queue.Route {
	return append(poolRoutes(),
		pidTask.Handler(func(context.Context, int) (int, error) { return os.Getpid(), nil }),
		idleTask.Handler(func(_ context.Context, n int) (int, error) { return n, nil }),
		dieTask.Handler(die),
		spinTask.Handler(func(_ context.Context, file string) (int, error) {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return 0, err
			}
			for n := 0; ; n++ { //nolint:revive // it has no end
				_ = n
			}
		}),
		sayTask.Handler(func(_ context.Context, lines int) (int, error) {
			for i := range lines {
				fmt.Println("line", i, strings.Repeat("x", 90))
			}
			return lines, nil
		}),
		spawnTask.Handler(func(_ context.Context, _ string) (int, error) {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				return 0, err
			}
			return cmd.Process.Pid, nil
		}),
		eatTask.Handler(func(ctx context.Context, mib int) (int, error) {
			var all [][]byte
			for range mib {
				all = append(all, bytes.Repeat([]byte{1}, 1<<20))
				select {
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
			}
			return len(all), nil
		}),
		nestTask.Handler(func(context.Context, int) (int, error) {
			_, err := pool.Processes(1, childRoutes()...)
			return 0, err
		}),
		failTask.Handler(func(_ context.Context, n int) (int, error) {
			if n == 0 {
				panic("at the disco")
			}
			return 0, fmt.Errorf("while %w", errDying)
		}),
	)
}

// die ends the process in one of the ways in which a process ends.
func die(_ context.Context, how string) (int, error) {
	switch how {
	case "exit":
		fmt.Fprintln(os.Stderr, "these are my last words")
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "segv":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "panic":
		go func() { panic("in a goroutine of its own") }()
	case "stack":
		debug.SetMaxStack(1 << 20) // sooner than after a gigabyte
		var f func(n int) int
		f = func(n int) int { return f(n+1) + 1 }
		return f(0), nil
	}
	select {}
}

func processes(t testing.TB, cfg pool.ProcessConfig) *pool.ProcessPool {
	t.Helper()
	p, err := pool.NewProcesses(cfg, childRoutes()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Terminate()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Join(ctx); err != nil {
			t.Error(err)
		}
		if left := p.PIDs(); len(left) > 0 {
			t.Errorf("children %v are left", left)
		}
	})
	return p
}

func soonOf(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestATaskThatEndsItsProcessIsBuriedAndThePoolGoesOn(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	for how, want := range map[string]string{
		"exit": "these are my last words", "kill": "killed", "segv": "SIGSEGV", "panic": "in a goroutine of its own", "stack": "stack overflow",
	} {
		began := time.Now()
		_, err := dieTask.Call(soon(t), p, how)
		t.Logf("%s: %v", how, time.Since(began))
		if !errors.Is(err, queue.ErrWorkerLost) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "earlier crash 2") {
			t.Errorf("%s: error %v; want the words %q and the crashes before", how, err, want)
		}
	}
	if n, err := idleTask.Call(soon(t), p, 7); n != 7 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestErrorsOfAChildAreThoseOfItsHandler(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	if _, err := failTask.Call(soon(t), p, 1); !errors.Is(err, errDying) || err.Error() != "while dying" {
		t.Errorf("error %v", err)
	}
	_, err := failTask.Call(soon(t), p, 0)
	var e *queue.TaskError
	if !errors.Is(err, queue.ErrPanic) || !errors.As(err, &e) || !strings.Contains(e.Stack, "processes_test.go") {
		t.Errorf("error %v", err)
	}
	if _, err := nestTask.Call(soon(t), p, 0); err == nil || !strings.Contains(err.Error(), "gets none of its own") {
		t.Errorf("a pool in a child: %v", err)
	}
}

func TestAChildIsReplacedAfterSoManyTasks(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1, MaxTasks: 3})
	var pids []int
	for range 4 {
		pid, err := pidTask.Call(soon(t), p, 0)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if pids[0] != pids[1] || pids[1] != pids[2] || pids[2] == pids[3] {
		t.Errorf("the tasks ran in %v", pids)
	}
	if _, err := pool.NewProcesses(pool.ProcessConfig{MaxMemory: 1 << 30, Cgroup: t.TempDir()}, childRoutes()...); !errors.Is(err, queue.ErrOption) {
		t.Errorf("a directory that is no cgroup: %v", err)
	}
	if _, err := pool.NewProcesses(pool.ProcessConfig{MaxTasks: -1}, childRoutes()...); !errors.Is(err, queue.ErrOption) {
		t.Errorf("MaxTasks of -1: %v", err)
	}
}

func TestKillEndsABusyLoop(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1, KillAfter: time.Hour}) // nothing but Kill ends a handler
	file := t.TempDir() + "/spins"
	f, err := spinTask.Submit(soon(t), p, file)
	if err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); ; {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("it does not begin")
		}
		time.Sleep(time.Millisecond)
	}
	if r, err := f.Cancel(soon(t), queue.Kill(10*time.Millisecond)); r != queue.CancelInterrupted || err != nil {
		t.Errorf("Cancel: %v, %v", r, err)
	}
	if _, err := f.Get(soon(t)); !errors.Is(err, queue.ErrCancelled) || errors.Is(err, queue.ErrWorkerLost) {
		t.Errorf("error %v", err)
	}
	if _, err := spinTask.Call(soon(t), processes(t, pool.ProcessConfig{Workers: 1, KillAfter: time.Millisecond}), file, queue.Timeout(50*time.Millisecond)); !errors.Is(err, queue.ErrTimeout) {
		t.Errorf("error %v", err)
	}
}

func TestWhatAChildPrintsIsItsTasksLog(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	f, err := sayTask.Submit(soon(t), p, 3, queue.Delay(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for e := range f.Events(soon(t)) {
		said = append(said, e.Text)
	}
	if len(said) != 3 || !strings.HasPrefix(said[2], "line 2 ") {
		t.Errorf("it said %q", said)
	}
	if n, err := sayTask.Call(soon(t), p, 1_000_000); n != 1_000_000 || err != nil { // 100 MB
		t.Errorf("a flood: %d, %v", n, err)
	}
}

func TestWhatAChildHasStartedDiesWithIt(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	pid, err := spawnTask.Call(soon(t), p, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := p.Join(soon(t)); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); running(pid); {
		if ctx.Err() != nil {
			t.Fatalf("process %d lives", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// running reports whether the process is there, and not as a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestChildrenThatDoNotStartBreakThePool(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2, Env: []string{"CHILD_FAILS=1"}})
	_, err := idleTask.Call(soon(t), p, 1)
	if !errors.Is(err, queue.ErrPoolBroken) || !strings.Contains(err.Error(), "no luck today") {
		t.Errorf("error %v", err)
	}
	for ctx := soon(t); len(p.PIDs()) > 0; {
		if ctx.Err() != nil {
			t.Fatalf("children %v are left", p.PIDs())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestATaskThatEatsTheMemoryIsKilled(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1, MaxMemory: 200 << 20, MaxCrashes: 1})
	_, err := eatTask.Call(soon(t), p, 8<<10)
	if !errors.Is(err, queue.ErrOutOfMemory) || !errors.Is(err, queue.ErrWorkerLost) {
		t.Errorf("error %v", err)
	}
	if n, err := idleTask.Call(soon(t), p, 7); n != 7 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestMapOnChildren(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	var in []int
	for i := range 1000 {
		in = append(in, i)
	}
	out, err := idleTask.MapAll(soon(t), p, slices.Values(in))
	if err != nil || !slices.Equal(in, out) {
		t.Errorf("MapAll: %d values, %v", len(out), err)
	}
}

func BenchmarkProcesses(b *testing.B) {
	p := processes(b, pool.ProcessConfig{Workers: 2})
	ctx := context.Background()
	b.Run("one at a time", func(b *testing.B) {
		for b.Loop() {
			if _, err := idleTask.Call(ctx, p, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("chunks of one", func(b *testing.B) {
		fs, err := idleTask.SubmitAll(ctx, p, make([]int, b.N))
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range fs {
			if _, err := f.Get(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
