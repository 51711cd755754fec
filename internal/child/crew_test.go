//go:build unix

package child_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

func TestChildrenThatComeAndGoLeaveNothingBehind(t *testing.T) {
	live := func(n int) {
		cfg := config(2)
		cfg.MaxTasks = 1
		c := newCrew(t, cfg)
		pids := map[int]bool{}
		for range n {
			pids[pidOf(t, c)] = true
		}
		if len(pids) != n {
			t.Errorf("%d tasks by %d children", n, len(pids))
		}
		c.Close()
		<-c.Done()
	}
	count := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	live(1) // what the runtime opens once is open
	before := count()
	live(50)
	if after := count(); after != before {
		t.Errorf("%d descriptors are open, before it were %d", after, before)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range all {
		b, _ := os.ReadFile(f)
		if part := strings.Fields(string(b[strings.LastIndex(string(b), ")")+1:])); len(part) > 1 && part[0] == "Z" && part[1] == strconv.Itoa(os.Getpid()) {
			t.Errorf("a zombie: %s", b)
		}
	}
}

func TestAChildThatIsKilledWhileIdleCostsNobodyAnything(t *testing.T) {
	cfg := config(1)
	cfg.Broken = func(err error) { t.Error(err) }
	c := newCrew(t, cfg)
	for range 5 {
		pid := pidOf(t, c)
		kill(t, pid, syscall.SIGKILL)
		if next := pidOf(t, c); next == pid {
			t.Errorf("child %d was killed and lives", pid)
		}
	}
}

// Many that are killed at once, before any of them had a task, are no children that do not start.
func TestIdleChildrenThatAreKilledDoNotBreakTheCrew(t *testing.T) {
	cfg := config(4)
	cfg.Broken = func(err error) { t.Error(err) }
	c := newCrew(t, cfg)
	ctx := soon(t)
	until(t, "the children are ready", func() bool { return c.Idle() == 4 })
	ready := time.Now()
	until(t, "they are not young any more", func() bool { return time.Since(ready) > child.Youth })
	for _, pid := range c.PIDs() {
		kill(t, pid, syscall.SIGKILL)
	}
	for range 8 {
		do(ctx, t, c, "pid")
	}
}

func TestACrashInTheMiddleOfALongValueIsACrash(t *testing.T) {
	c := newCrew(t, config(1))
	_, err := c.Handle(soon(t), message("half"))
	if crash, ok := errors.AsType[*queue.CrashError](err); !ok || crash.Signal != "killed" {
		t.Errorf("got %v", err)
	}
	if got := do(soon(t), t, c, "echo", "next"); got != "next" {
		t.Errorf("then got %q", got)
	}
}

func TestAProgramThatForgetsTheHookIsToldAndBreedsNoChildren(t *testing.T) {
	cfg := config(1)
	cfg.Env, cfg.Tries = []string{forgetsEnv + "=1"}, 1
	c := newCrew(t, cfg)
	_, err := c.Handle(soon(t), message("pid"))
	if !child.IsBroken(err) || !errors.Is(err, queue.ErrPoolBroken) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"call pool.Child(routes...) first in main", "starts no children of its own"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestAChildThatIsNotReadyInTimeIsGivenUp(t *testing.T) {
	cfg := config(1)
	cfg.Env, cfg.Tries, cfg.StartTimeout = []string{hangsEnv + "=1"}, 1, 50*time.Millisecond
	c := newCrew(t, cfg)
	_, err := c.Handle(soon(t), message("pid"))
	if !child.IsBroken(err) || !strings.Contains(err.Error(), "not ready within 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestAPersistentCrewIsBrokenOnlyWithoutAnyChildAndMends(t *testing.T) {
	mood := file(t)
	told := make(chan error, 10)
	cfg := config(2)
	cfg.Env, cfg.Tries, cfg.Persist = []string{moodEnv + "=" + mood}, 2, true
	cfg.Broken = func(err error) { told <- err }
	cfg.Mended = func() { told <- nil }
	c := newCrew(t, cfg)
	until(t, "two children are ready", func() bool { return len(c.PIDs()) == 2 })
	pidOf(t, c)
	held, end := file(t), make(chan struct{})
	go func() { // one at each, so that both have done something
		defer close(end)
		_, _ = c.Handle(soon(t), message("hold", held))
	}()
	begun(t, held)
	last := pidOf(t, c)
	appendTo(held, "x")
	<-end

	appendTo(mood, "no\n")
	for _, pid := range c.PIDs() {
		if pid != last {
			kill(t, pid, syscall.SIGKILL)
		}
	}
	until(t, "four starts have failed", func() bool { b, _ := os.ReadFile(mood); return strings.Count(string(b), "\n") > 4 })
	if got := pidOf(t, c); got != last {
		t.Errorf("%d has run a task, %d is left", got, last)
	}
	select {
	case err := <-told:
		t.Errorf("broken with a child: %v", err)
	default:
	}
	kill(t, last, syscall.SIGKILL)
	if err := <-told; !errors.Is(err, queue.ErrPoolBroken) {
		t.Errorf("told %v", err)
	}
	if _, err := c.Handle(soon(t), message("pid")); !child.IsBroken(err) {
		t.Errorf("a broken crew says %v", err)
	}
	if err := os.Truncate(mood, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Errorf("told %v", err)
	}
	pidOf(t, c)
}

func TestResize(t *testing.T) {
	c := newCrew(t, config(1))
	pidOf(t, c)
	c.Resize(3)
	var files []string
	done := make(chan error, 3)
	for range 3 {
		f := file(t)
		files = append(files, f)
		go func() {
			_, err := c.Handle(soon(t), message("hold", f))
			done <- err
		}()
	}
	for _, f := range files {
		begun(t, f)
	}
	c.Resize(1)
	for _, f := range files {
		appendTo(f, "x")
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	until(t, "one child is left", func() bool { return len(c.PIDs()) == 1 })
	pidOf(t, c)
}

func TestAnOldChildIsReplacedAfterItsTask(t *testing.T) {
	cfg := config(1)
	cfg.MaxLifetime = time.Nanosecond
	c := newCrew(t, cfg)
	if a, b := pidOf(t, c), pidOf(t, c); a == b {
		t.Errorf("%d has run two tasks", a)
	}
}

func TestAChildReachesItsHost(t *testing.T) {
	c := newCrew(t, config(1))
	for i := range 3 {
		h := &host{}
		if got := do(hosted(soon(t), h), t, c, "ask", "part"); got != "shared,before" {
			t.Errorf("got %q", got)
		}
		if string(h.record) != "part" || len(h.events) != 1 || h.events[0].Done != 1 || h.events[0].Total != 2 {
			t.Errorf("%d: the host has %+v", i, h)
		}
	}
}

func TestWhatATaskPrintsIsItsOwn(t *testing.T) {
	c := newCrew(t, config(1))
	for i := range 50 {
		h := &host{}
		do(hosted(soon(t), h), t, c, "print", i)
		slices.Sort(h.lines)
		if want := []string{fmt.Sprint(i, " begins"), fmt.Sprint(i, " ends")}; !slices.Equal(h.lines, want) {
			t.Fatalf("the host got %q, want %q", h.lines, want)
		}
	}
}

func TestLimitsOfAChild(t *testing.T) {
	if got, want := do(soon(t), t, newCrew(t, config(1)), "limits"), fmt.Sprint(child.MaxStack, int64(1<<63-1)); got != want && os.Getenv("GOMEMLIMIT") == "" {
		t.Errorf("got %q, want %q", got, want)
	}
	cfg := config(1)
	cfg.MaxMemory = 1 << 30
	if got, want := do(soon(t), t, newCrew(t, cfg), "limits"), fmt.Sprint(child.MaxStack, cfg.MaxMemory/10*9); got != want && os.Getenv("GOMEMLIMIT") == "" {
		t.Errorf("with MaxMemory got %q, want %q", got, want)
	}
	cfg.Env = []string{"GOMEMLIMIT=123MiB"}
	if got, want := do(soon(t), t, newCrew(t, cfg), "limits"), fmt.Sprint(child.MaxStack, 123<<20); got != want {
		t.Errorf("with GOMEMLIMIT got %q, want %q", got, want)
	}
}

func TestTerminateEndsWhatRuns(t *testing.T) {
	c := newCrew(t, config(1))
	f := file(t)
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() {
		_, err := c.Handle(soon(t), message("hold", f))
		ended.Store(true)
		done <- err
	}()
	begun(t, f)
	if ended.Load() {
		t.Error("it has not held")
	}
	c.Terminate()
	if err := <-done; !errors.Is(err, queue.ErrTerminated) {
		t.Errorf("got %v", err)
	}
}
