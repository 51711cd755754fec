package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/child"
)

// childConfig is the part of consumer.Processes that tests choose.
type childConfig struct {
	Spare     int
	MaxTasks  int
	MaxMemory int64
	KillAfter time.Duration
}

// processes is what a worker with children is told. The children get all of c, so that
// they write the history of their worker; and by it they are known, see kin.
func (c workerConfig) processes() (*consumer.Processes, error) {
	if c.Children == nil {
		return nil, nil //nolint:nilnil // a worker without children
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	k := c.Children
	return &consumer.Processes{
		Spare: k.Spare, MaxTasks: k.MaxTasks, MaxMemory: k.MaxMemory, KillAfter: k.KillAfter,
		Env: []string{configEnv + "=" + string(text)},
	}, nil
}

// serveIfChild is the part of a child process of a worker or a pool.
func serveIfChild() {
	if !child.Is() {
		return
	}
	r := &runner{}
	consumer.NewChild(consumer.Processes{Initializer: r.initialize}, r.routes()...)
}

// initialize makes r the runner of a child.
func (r *runner) initialize(context.Context) error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &cfg); err != nil {
		return fmt.Errorf("%s: %w", configEnv, err)
	}
	var err error
	if r.rec, err = newRecorder(cfg.Dir, cfg.Proc); err != nil {
		return err
	}
	// Numbers of processes come again.
	r.proc = fmt.Sprintf("%s.%d.%x", cfg.Proc, os.Getpid(), time.Now().UnixMicro()&0xffffffff)
	r.ready = filepath.Join(nursery(cfg.Dir, cfg.Proc), strconv.Itoa(os.Getpid()))
	return os.WriteFile(r.ready, nil, 0o600)
}

// childOf is the child that made the run, as worker and number.
func childOf(run string) string {
	parts := strings.SplitN(run, ".", 3)
	return parts[0] + "." + parts[1]
}

// nursery is the directory in which the children of proc say that they are ready.
func nursery(dir, proc string) string {
	path := filepath.Join(dir, "children-"+proc)
	_ = os.MkdirAll(path, 0o700) // who cannot write into it says so
	return path
}

// herd is the children of one process.
type herd struct {
	t         testing.TB
	dir, proc string
	parent    int // the process's number
	full      int // how many there are to be
}

func (p *process) herd() *herd {
	spare := p.cfg.Children.Spare
	if spare == 0 {
		spare = 1
	}
	return &herd{t: p.t, dir: p.cfg.Dir, proc: p.name, parent: p.PID(), full: p.cfg.Concurrency + max(spare, 0)}
}

// ready are the children that have said so and live.
func (h *herd) ready() []int {
	h.t.Helper()
	path := nursery(h.dir, h.proc)
	entries, err := os.ReadDir(path)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			h.t.Fatal(err)
		}
		if state, parent := stateOf(pid); parent == h.parent && state != 'Z' && state != 'X' {
			out = append(out, pid)
		} else {
			_ = os.Remove(filepath.Join(path, e.Name())) // its number may come again
		}
	}
	return out
}

// whole waits until all children are ready that there are to be, without some.
func (h *herd) whole(without ...int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d children of %s to be ready", h.full, h.proc), func() bool {
		pids := h.ready()
		return len(pids) == h.full && !slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(without, pid) })
	})
}

// stateOf is a process's state, as one letter, and its parent. A process that is not
// there has no parent.
func stateOf(pid int) (state byte, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 'X', -1
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, '('):]), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 'X', -1
	}
	if parent, err = strconv.Atoi(fields[1]); err != nil {
		return 'X', -1
	}
	return fields[0][0], parent
}

// kin are the processes that live and have the history's directory in their
// environment: the workers there, their children, and all that those have started.
func kin(t testing.TB, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(env, []byte(strconv.Quote(dir))) {
			out = append(out, pid)
		}
	}
	return out
}

// zombies are those of the processes that have ended and that nobody has waited for.
func zombies(pids []int) []int {
	var out []int
	for _, pid := range pids {
		if state, _ := stateOf(pid); state == 'Z' {
			out = append(out, pid)
		}
	}
	return out
}

// brood are the children of a process, zombies among them.
func brood(t testing.TB, parent int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if _, p := stateOf(pid); p == parent {
				out = append(out, pid)
			}
		}
	}
	return out
}
