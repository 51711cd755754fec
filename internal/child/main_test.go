//go:build unix

package child_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/internal/proctest"
	"github.com/cenote-go/cenote/queue"
)

// What makes the test binary something else than a good child.
const (
	forgetsEnv = "CREW_TEST_FORGETS" // it does not call the hook, and makes a crew
	hangsEnv   = "CREW_TEST_HANGS"   // it never gets that far
	moodEnv    = "CREW_TEST_MOOD"    // it ends at once, with a line there, if the file is not empty
	parentEnv  = "CREW_TEST_PARENT"  // it is a program that has children
)

// No test leaves a goroutine behind: a crew that is done is gone.
func TestMain(m *testing.M) {
	switch {
	case child.Is() && os.Getenv(forgetsEnv) != "":
		_, err := child.New(config(1))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case child.Is() && os.Getenv(hangsEnv) != "":
		time.Sleep(time.Hour)
	case child.Is() && os.Getenv(moodEnv) != "":
		if said, _ := os.ReadFile(os.Getenv(moodEnv)); len(said) > 0 {
			appendTo(os.Getenv(moodEnv), "no\n")
			os.Exit(1)
		}
	case os.Getenv(parentEnv) != "":
		beParent()
	}
	child.ServeIfChild("the test", nil, routes())
	goleak.VerifyTestMain(m)
}

func appendTo(file, text string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic(err)
	}
}

// routes has one that does what its payload says: a word, and an argument.
func routes() []queue.Route {
	return []queue.Route{{Type: "act", Handler: queue.HandlerFunc(act)}}
}

func act(ctx context.Context, m *queue.Message) ([]byte, error) {
	word, arg, _ := strings.Cut(string(m.Payload), " ")
	switch word {
	case "pid":
		return fmt.Append(nil, os.Getpid()), nil
	case "echo":
		return []byte(arg), nil
	case "note": // that it has run
		appendTo(arg, "x")
	case "hold": // until the file has a second letter, or for ever
		appendTo(arg, "x")
		for {
			if b, _ := os.ReadFile(arg); len(b) > 1 {
				return []byte("held"), nil
			}
			time.Sleep(time.Millisecond)
		}
	case "wait": // for the end of the context
		appendTo(arg, "x")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "exit":
		os.Exit(3)
	case "half": // of a long frame, and the end
		_, _ = syscall.Write(4, append([]byte{4, 0, 0, 0, 'V'}, make([]byte, 1<<20)...))
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "print":
		fmt.Println(arg, "begins")
		fmt.Fprint(os.Stderr, arg, " ends")
	case "spawn":
		cmd := exec.Command("sleep", "1000")
		err := cmd.Start()
		return fmt.Append(nil, cmd.Process.Pid), err
	case "limits":
		return fmt.Append(nil, debug.SetMaxStack(child.MaxStack), debug.SetMemoryLimit(-1)), nil
	case "ask":
		queue.Progress(ctx, 1, 2)
		h := queue.HostOf(ctx)
		v, err := h.Common(ctx, func(data []byte) (any, error) { return string(data), nil })
		if err != nil {
			return nil, err
		}
		before, err := h.Recall(ctx)
		if err != nil {
			return nil, err
		}
		err = h.Record(ctx, []byte(arg))
		return fmt.Append(nil, v, ",", string(before)), err
	}
	if f := words[word]; f != nil {
		return f(arg)
	}
	return nil, nil
}

// words are what else act can do.
var words = map[string]func(arg string) ([]byte, error){}

func config(n int) child.Config {
	mux, err := queue.NewMux(routes())
	if err != nil {
		panic(err)
	}
	return child.Config{Mux: mux, Children: n, Spare: -1}
}

func newCrew(t testing.TB, cfg child.Config) *child.Crew {
	t.Helper()
	c, err := child.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Terminate(); <-c.Done() })
	return c
}

func message(what ...any) *queue.Message {
	return &queue.Message{Type: "act", ID: queue.NewTaskID(0), Queue: "q", Payload: bytes.TrimSuffix(fmt.Appendln(nil, what...), []byte("\n"))}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func do(ctx context.Context, t testing.TB, c *child.Crew, what ...any) string {
	t.Helper()
	v, err := c.Handle(ctx, message(what...))
	if err != nil {
		t.Fatalf("%v: %v", what, err)
	}
	return string(v)
}

func pidOf(t testing.TB, c *child.Crew) int {
	t.Helper()
	pid, err := strconv.Atoi(do(soon(t), t, c, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for ctx := soon(t); !is(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("not so: %s", what)
		}
	}
}

// begun waits until a task that holds or waits has begun.
func begun(t testing.TB, file string) {
	t.Helper()
	until(t, "a task has begun", func() bool { b, _ := os.ReadFile(file); return len(b) > 0 })
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "file") }

// stateOf is the state of a process, as the kernel says; 0 if there is none.
func stateOf(pid int) byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 || i+2 >= len(b) {
		return 0
	}
	return b[i+2]
}

func gone(pid int) bool { s := stateOf(pid); return s == 0 || s == 'Z' || s == 'X' }

func kill(t testing.TB, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// host is that of a task.
type host struct {
	mu     sync.Mutex
	lines  []string
	events []queue.Event
	record []byte
}

func (h *host) Emit(e queue.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Text != "" {
		h.lines = append(h.lines, e.Text)
	} else {
		h.events = append(h.events, e)
	}
}

func (h *host) Common(_ context.Context, load func([]byte) (any, error)) (any, error) {
	return load([]byte("shared"))
}
func (h *host) Recall(context.Context) ([]byte, error) { return []byte("before"), nil }
func (h *host) Record(_ context.Context, part []byte) error {
	h.record = append(h.record, part...)
	return nil
}
func (h *host) Wait(*queue.Promise) (func(), error) { return func() {}, nil }
func (h *host) Aside(f func())                      { f() }

func hosted(ctx context.Context, h *host) context.Context {
	return queue.WithRunning(ctx, queue.Running{Attempt: 1}, h)
}

// program starts this test program once more, as what env makes of it, until the test ends.
// in is what it reads, and lines are what it says.
func program(t *testing.T, env string) (p *proctest.Process, in io.Writer, lines *bufio.Reader) {
	t.Helper()
	cmd := proctest.Self(t, env)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = proctest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, in, bufio.NewReader(out)
}
