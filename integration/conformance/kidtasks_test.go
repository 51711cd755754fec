package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
	"weak"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// death is how a task ends its process.
type death struct {
	How  string // exit, kill, abort or panic
	Dir  string // where the file "ran" gets a byte for each run
	Runs int    // how many runs do it; further ones return their attempt's number
	Data []byte
}

// big is a value that is looked for after its task.
type big [1 << 16]byte

var (
	dies  = queue.NewTask[death, int]("dies")
	dying = queue.NewTask[int, []byte]("dying") // while it hands over so many bytes
	pid   = queue.NewTask[int, int]("pid")
	spins = queue.NewTask[string, int]("spins")
	begun = queue.NewTask[int, int]("begun") // how often its process was initialized
	pass  = queue.NewTask[*big, *big]("pass")
	held  = queue.NewTask[int, int]("held") // how many of pass's values its process holds
	selfs = queue.NewTask[string, int]("selfs", queue.Sentinel("would-deadlock", queue.ErrWouldDeadlock))
)

// kidRoutes are the tasks of children: those of everybody, and some that end processes
// or are about them.
func kidRoutes() []queue.Route {
	return append(routes(),
		dies.Handler(die),
		dying.Handler(func(_ context.Context, n int) ([]byte, error) {
			go dieWhileWriting()
			return make([]byte, n), nil
		}),
		pid.Handler(func(context.Context, int) (int, error) { return os.Getpid(), nil }),
		spins.Handler(func(_ context.Context, file string) (int, error) {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return 0, err
			}
			for n := 0; ; n++ { //nolint:revive // it has no end
				_ = n
			}
		}),
		begun.Handler(func(context.Context, int) (int, error) { return int(initialized.Load()), nil }),
		pass.Handler(func(_ context.Context, in *big) (*big, error) {
			out := new(big)
			passed = append(passed, weak.Make(in), weak.Make(out))
			return out, nil
		}),
		held.Handler(func(context.Context, int) (int, error) {
			runtime.GC()
			return len(slices.DeleteFunc(slices.Clone(passed), func(p weak.Pointer[big]) bool { return p.Value() == nil })), nil
		}),
		selfs.Handler(askOwnPool),
	)
}

// passed are the values of the pass tasks of this process, which run one after the other.
var passed []weak.Pointer[big]

// die ends the process, as often as it is asked to.
func die(ctx context.Context, d death) (int, error) {
	f, err := os.OpenFile(filepath.Join(d.Dir, "ran"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Write([]byte{'.'}); err != nil {
		return 0, err
	}
	if about, err := f.Stat(); err != nil || about.Size() > int64(d.Runs) {
		return queue.FromContext(ctx).Attempt, err
	}
	switch d.How {
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "abort":
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	case "panic":
		go func() { panic("in a goroutine of its own") }()
	}
	select {} // until that is so
}

// dieWhileWriting ends the process when the pipe to its parent has bytes in it that the
// parent has not read.
func dieWhileWriting() {
	const pipe, bytesThere = 4, 0x541b // FIONREAD
	for {
		var n int32
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, pipe, bytesThere, uintptr(unsafe.Pointer(&n))) //nolint:gosec // what ioctl takes
		if n > 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
}

// ownPool is the pool of the row C100. It is never set in a child.
var ownPool *pool.ProcessPool

// askOwnPool waits for its own pool, or makes another one.
func askOwnPool(ctx context.Context, how string) (int, error) {
	switch how {
	case "call":
		return double.Call(ctx, ownPool, 1)
	case "map":
		_, err := double.MapAll(ctx, ownPool, numbers(3), queue.Sharing(7))
		return 0, err
	case "open":
		f, err := double.Open(ctx, ownPool, queue.NewTaskID(0))
		if err != nil {
			return 0, err
		}
		return f.Get(ctx)
	default:
		_, err := pool.Processes(1, kidRoutes()...)
		return 0, err
	}
}

// initEnv tells the Initializer of a child what to do: a word, a space, and a directory in
// which it says so, by a file for each process.
const initEnv = "CENOTE_CONFORMANCE_INIT"

var initialized atomic.Int64

func initialize(context.Context) error {
	initialized.Add(1)
	word, dir, ok := strings.Cut(os.Getenv(initEnv), " ")
	if !ok {
		return nil
	}
	if word == "litter" || word == "hang" {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		if err := note(dir, cmd.Process.Pid); err != nil {
			return err
		}
	}
	if err := note(dir, os.Getpid()); err != nil {
		return err
	}
	switch word {
	case "hang":
		select {}
	case "litter":
		return errors.New("no luck today")
	}
	return nil
}

func note(dir string, pid int) error {
	return os.WriteFile(filepath.Join(dir, strconv.Itoa(pid)), nil, 0o600)
}

// noted are the processes that were noted.
func noted(b *bed, dir string) (pids []int) {
	b.Helper()
	for _, e := range must[[]os.DirEntry](b)(os.ReadDir(dir)) {
		pids = append(pids, must[int](b)(strconv.Atoi(e.Name())))
	}
	return pids
}

// lives reports whether the process is there, and not as a zombie.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// allGone waits until no process of these is left.
func allGone(b *bed, pids []int) {
	b.Helper()
	for _, pid := range pids {
		b.until(fmt.Sprintf("process %d to be gone", pid), func() bool { return !lives(pid) })
	}
}

// haveKids is a program that has a process pool with a busy loop and a gated task, and
// says by a file which processes there are. It is stopped by an interrupt: at once, or,
// if it is polite, when its tasks have ended.
func haveKids(sc script) error {
	if err := syscall.Setpgid(0, 0); err != nil { // what is sent to its group is for its own
		return err
	}
	ctx, stop := untilInterrupt(sc.Polite)
	defer stop()
	p, err := pool.NewProcesses(pool.ProcessConfig{Workers: 2, KillAfter: 10 * time.Millisecond}, kidRoutes()...)
	if err != nil {
		return err
	}
	f, err := gated.Submit(ctx, p, sc.Dir)
	if err != nil {
		return err
	}
	if !sc.Polite {
		if _, err := spins.Submit(ctx, p, filepath.Join(sc.Dir, "spins")); err != nil {
			return err
		}
	}
	for len(p.PIDs()) < 3 {
		time.Sleep(time.Millisecond)
	}
	text := strings.Trim(fmt.Sprint(p.PIDs()), "[]")
	if err := os.WriteFile(filepath.Join(sc.Dir, "pids.new"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(sc.Dir, "pids.new"), filepath.Join(sc.Dir, "pids")); err != nil {
		return err
	}
	<-ctx.Done()
	if err := os.WriteFile(filepath.Join(sc.Dir, "stopping"), nil, 0o600); err != nil {
		return err
	}
	down, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := p.Shutdown(down); err != nil {
		return err
	}
	if v, err := f.Result(); err != nil || v != 7 {
		return fmt.Errorf("the task that ran: %d, %w", v, err)
	}
	return nil
}
