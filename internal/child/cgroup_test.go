//go:build linux && cgroup

// These tests need a cgroup v2 hierarchy with memory limits. "make cgroup" runs them in
// a virtual machine, which has one.

package child_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

const (
	cgroupEnv  = "CENOTE_TEST_CGROUP" // the directory to use; without it the root, which is found
	eaterEnv   = "CREW_TEST_EATER"    // it is a program that takes so many MiB; "full" is as much as its group may have
	limitedEnv = "CREW_TEST_LIMITED"  // it is a program that has a child with a limit
)

func init() {
	switch {
	case os.Getenv(eaterEnv) == "full":
		b, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			panic(err)
		}
		dir := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(strings.TrimSpace(string(b)), "0::"))
		for number(filepath.Join(dir, "memory.current")) < number(filepath.Join(dir, "memory.max"))/100*97 {
			eat(1)
		}
		fmt.Println("full")
		select {}
	case os.Getenv(eaterEnv) != "":
		n, _ := strconv.Atoi(os.Getenv(eaterEnv))
		eat(n)
		os.Exit(0)
	case os.Getenv(limitedEnv) != "":
		beLimited()
	}
	words["eat"] = func(arg string) ([]byte, error) {
		n, err := strconv.Atoi(arg)
		eat(n)
		return nil, err
	}
	words["feed"] = func(arg string) ([]byte, error) { return nil, eater(arg).Run() }
	words["fill"] = func(string) ([]byte, error) {
		cmd := eater("full")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return nil, err
		}
		_, err = io.ReadFull(out, make([]byte, 5))
		return fmt.Append(nil, os.Getpid(), " ", cmd.Process.Pid), err
	}
	words["escape"] = func(string) ([]byte, error) {
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err := cmd.Start()
		return fmt.Append(nil, os.Getpid(), " ", cmd.Process.Pid), err
	}
}

var eaten [][]byte

// eat takes n MiB at once.
func eat(n int) {
	b := make([]byte, n<<20)
	eaten = append(eaten, b)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	runtime.KeepAlive(eaten)
}

func eater(how string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), eaterEnv+"="+how)
	return cmd
}

func number(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		panic(err)
	}
	return n
}

// place is where crews make their groups.
func place() string { return cmp.Or(os.Getenv(cgroupEnv), "/sys/fs/cgroup") }

// limited is a crew of n children, each with so many MiB.
func limited(n int, most int64) child.Config {
	cfg := config(n)
	cfg.Cgroup, cfg.MaxMemory = os.Getenv(cgroupEnv), most<<20
	return cfg
}

// groups are those of this process's crews, or of another's.
func groups(t *testing.T, pid int) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(place(), fmt.Sprintf("cenote-%d-*", pid)))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func two(t *testing.T, said string) (a, b int) {
	t.Helper()
	if _, err := fmt.Sscan(said, &a, &b); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	return a, b
}

// starves has a task end its child by what it takes.
func starves(t *testing.T, c *child.Crew, what ...any) *queue.CrashError {
	t.Helper()
	_, err := c.Handle(soon(t), message(what...))
	crash, ok := errors.AsType[*queue.CrashError](err)
	if !ok || !errors.Is(err, queue.ErrOutOfMemory) || crash.Signal != "killed" {
		t.Fatalf("%v: got %v", what, err)
	}
	return crash
}

func TestCgroupEndsAChildBeforeItHasTwiceItsLimit(t *testing.T) {
	c := newCrew(t, limited(1, 64))
	crash := starves(t, c, "eat", 200)
	if crash.MaxRSS > 100<<20 { // what is mapped of the program's file is not its own
		t.Errorf("it had %d MiB", crash.MaxRSS>>20)
	}
	t.Logf("a child that takes 200 MiB at once with a limit of 64: %v", crash)
	if got := do(soon(t), t, c, "echo", "next"); got != "next" {
		t.Errorf("then got %q", got)
	}
	do(soon(t), t, c, "eat", 32) // which it may have
}

func TestCgroupCountsWhatAChildHasStarted(t *testing.T) {
	c := newCrew(t, limited(1, 64))
	do(soon(t), t, c, "feed", 20)
	crash := starves(t, c, "feed", 200)
	if crash.MaxRSS > 64<<20 {
		t.Errorf("the child itself had %d MiB", crash.MaxRSS>>20)
	}
	t.Logf("a child whose own child takes 200 MiB with a limit of 64: %v", crash)
}

func TestCgroupEndsWhatHasLeftTheProcessGroup(t *testing.T) {
	cfg := limited(1, 64)
	cfg.MaxTasks = 1
	c := newCrew(t, cfg)
	kid, grandchild := two(t, do(soon(t), t, c, "escape"))
	until(t, "both are gone", func() bool { return gone(kid) && gone(grandchild) })

	cfg.MaxTasks = 0
	c = newCrew(t, cfg)
	kid, grandchild = two(t, do(soon(t), t, c, "escape"))
	if gone(grandchild) {
		t.Errorf("process %d did not outlive its task", grandchild)
	}
	kill(t, kid, syscall.SIGKILL)
	until(t, "it is gone as well", func() bool { return gone(grandchild) })
}

func TestCgroupIsRemovedWithItsCrew(t *testing.T) {
	c := newCrew(t, limited(2, 64))
	do(soon(t), t, c, "escape")
	if n := len(groups(t, os.Getpid())); n != 1 {
		t.Fatalf("%d groups of a crew", n)
	}
	for _, pid := range c.PIDs() {
		in, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil || !strings.Contains(string(in), "/cenote-") {
			t.Errorf("child %d is in %q, %v", pid, in, err)
		}
	}
	c.Close()
	<-c.Done()
	if left := groups(t, os.Getpid()); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

func TestCgroupSparesTheInnocent(t *testing.T) {
	c := newCrew(t, limited(2, 64))
	held := file(t)
	end := make(chan error, 1)
	go func() {
		v, err := c.Handle(soon(t), message("hold", held))
		if err == nil && string(v) != "held" {
			err = fmt.Errorf("it said %q", v)
		}
		end <- err
	}()
	begun(t, held)
	for range 5 {
		starves(t, c, "eat", 100)
	}
	appendTo(held, "x")
	if err := <-end; err != nil {
		t.Errorf("the task beside: %v", err)
	}
	until(t, "both children are back", func() bool { return c.Idle() == 2 })
}

func TestCgroupThatIsNearlyFullIsNotForAnotherTask(t *testing.T) {
	c := newCrew(t, limited(1, 200))
	kid, grandchild := two(t, do(soon(t), t, c, "fill"))
	if next := pidOf(t, c); next == kid {
		t.Errorf("the task after it has run in child %d, too", kid)
	}
	until(t, "both are gone", func() bool { return gone(kid) && gone(grandchild) })
	if one, two := pidOf(t, c), pidOf(t, c); one != two {
		t.Errorf("child %d was replaced without need", one)
	}
}

// What a group above it lacks is no fault of the task's.
func TestCgroupBlamesNoTaskForOthers(t *testing.T) {
	tight := filepath.Join(place(), "tight")
	if err := errors.Join(os.WriteFile(filepath.Join(place(), "cgroup.subtree_control"), []byte("+memory"), 0),
		os.Mkdir(tight, 0o755), os.WriteFile(filepath.Join(tight, "memory.max"), []byte("100M"), 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(tight); err != nil {
			t.Error(err)
		}
	})
	cfg := limited(1, 500)
	cfg.Cgroup = tight
	c := newCrew(t, cfg)
	_, err := c.Handle(soon(t), message("eat", 200))
	if crash, ok := errors.AsType[*queue.CrashError](err); !ok || crash.Signal != "killed" || errors.Is(err, queue.ErrOutOfMemory) {
		t.Errorf("got %v", err)
	}
}

func TestCgroupThatIsTooSmallForAChildIsSaid(t *testing.T) {
	cfg := limited(1, 1)
	cfg.Tries = 1
	_, err := newCrew(t, cfg).Handle(soon(t), message("pid"))
	if !child.IsBroken(err) || !strings.Contains(err.Error(), "used more memory than its limit before it was ready") {
		t.Errorf("got %v", err)
	}
}

// beLimited is a program with a child that has a limit and has started something that left it.
func beLimited() {
	c, err := child.New(limited(1, 64))
	if err != nil {
		panic(err)
	}
	v, err := c.Handle(context.Background(), message("escape"))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(v))
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(1)
}

func TestCgroupOfAKilledParentIsSwept(t *testing.T) {
	living := newCrew(t, limited(1, 64))
	held, end := file(t), make(chan error, 1)
	go func() {
		_, err := living.Handle(soon(t), message("hold", held))
		end <- err
	}()
	begun(t, held)

	p, _, lines := program(t, limitedEnv+"=1")
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	kid, grandchild := two(t, line)
	sweeper := newCrew(t, limited(1, 64)) // the owner lives still
	pidOf(t, sweeper)
	sweeper.Close()
	<-sweeper.Done()
	if gone(kid) || gone(grandchild) {
		t.Error("somebody else's crew has ended it")
	}
	p.Kill()
	until(t, "the child is gone", func() bool { return gone(kid) })
	if n := len(groups(t, p.PID())); n != 1 || gone(grandchild) {
		t.Fatalf("the kill has left %d groups, and process %d is gone: %v", n, grandchild, gone(grandchild))
	}
	sweeper = newCrew(t, limited(1, 64))
	until(t, "what it left is gone", func() bool { return gone(grandchild) && len(groups(t, p.PID())) == 0 })
	pidOf(t, sweeper)

	appendTo(held, "x")
	if err := <-end; err != nil {
		t.Errorf("the crew that lives was swept, too: %v", err)
	}
}

// TestUserCgroup is for a user that is not root, in a group below the one to use.
func TestUserCgroup(t *testing.T) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	main := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(strings.TrimSpace(string(own)), "0::"))
	if os.Getuid() == 0 || filepath.Dir(main) != place() {
		t.Fatalf("user %d in %s", os.Getuid(), main)
	}
	do(soon(t), t, newCrew(t, limited(1, 64)), "echo") // so that main has memory
	bare := filepath.Join(place(), "above", "bare")
	if err := os.MkdirAll(bare, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = os.Remove(bare), os.Remove(filepath.Dir(bare)) })
	for dir, want := range map[string]string{
		"/sys/fs/cgroup": "this user must be able to write there",
		main:             "there are processes in it",
		bare:             "it has no memory controller",
	} {
		cfg := limited(1, 64)
		cfg.Cgroup = dir
		for _, err := range []error{cfg.Check(), func() error { _, err := child.New(cfg); return err }()} {
			if !errors.Is(err, queue.ErrOption) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", dir, err, want)
			}
		}
		t.Log(cfg.Check())
	}
	cfg := limited(1, 64)
	cfg.Cgroup = "" // and this process's own is not to be had
	c := newCrew(t, cfg)
	if in, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pidOf(t, c))); err != nil || string(in) != string(own) {
		t.Errorf("its child is in %q, %v", in, err)
	}
}
