package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
)

func pidIn(file string) int {
	data, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// lives reports whether the process runs: a zombie that nobody waits for does not.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestInterruptedMapEndsItsCommands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	cmd, stderr := start(t, "1\n2\n", "map", "--jobs", "1", "--", "sh", "-c", "sleep 1000 & echo $! >"+file+"; wait; echo {}")
	until(t, "the command has started", func() bool { return pidIn(file) > 0 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := wait(t, cmd); code != exitInterrupted {
		t.Errorf("the exit code is %d; want %d\n%s", code, exitInterrupted, stderr)
	}
	until(t, "what the command had started has ended", func() bool { return !lives(pidIn(file)) })
}

func TestKilledMapTakesItsCommandsAlong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	cmd, _ := start(t, "1\n", "map", "--", "sh", "-c", "echo $$ >"+file+"; exec sleep 1000")
	until(t, "the command has started", func() bool { return pidIn(file) > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	until(t, "the command has ended", func() bool { return !lives(pidIn(file)) })
}

func TestWorkerTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		signals int
		grace   string
		ends    bool // the running command comes to its end
	}{
		{"once lets the running task end", 1, "10m", true},
		{"twice hands the running task back", 2, "10m", false},
		{"once hands it back after the grace", 1, "100ms", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			url := "redis://" + server.Addr()
			dir := t.TempDir()
			began, release, done := filepath.Join(dir, "began"), filepath.Join(dir, "release"), filepath.Join(dir, "done")
			worker, log := start(t, "", "worker", "--redis", url, "--queue", "exec", "--allow-exec", "--grace", c.grace, "--concurrency", "1")
			submitter, _ := start(t, "1\n", "map", "--redis", url, "--", "sh", "-c",
				"echo $$ >"+began+"; while ! test -e "+release+"; do sleep 0.02; done; touch "+done)
			until(t, "the task runs", func() bool { return pidIn(began) > 0 })
			for i := range c.signals {
				if i > 0 { // or the two would be one
					time.Sleep(100 * time.Millisecond)
				}
				if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			if c.ends {
				time.Sleep(200 * time.Millisecond) // it must not end by itself meanwhile
				if !lives(pidIn(began)) {
					t.Fatalf("the running command was ended by the first signal\n%s", log)
				}
				if err := os.WriteFile(release, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if code := wait(t, worker); code != exitOK {
				t.Errorf("the worker's exit code is %d\n%s", code, log)
			}
			if lives(pidIn(began)) {
				t.Error("the command outlives the worker")
			}
			if _, err := os.Stat(done); (err == nil) != c.ends {
				t.Errorf("the command came to its end: %v; want %v", err == nil, c.ends)
			}
			if c.ends {
				if code := wait(t, submitter); code != exitOK {
					t.Errorf("the submitter's exit code is %d", code)
				}
				return
			}
			ready, err := server.Client().LLen(t.Context(), "cenote:{exec}:ready:1").Result()
			if err != nil || ready != 1 {
				t.Errorf("%d tasks are ready, %v; want the one that was handed back", ready, err)
			}
		})
	}
}

// children returns the processes that the process has started.
func children(pid int) []int {
	var pids []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		for s := range strings.FieldsSeq(string(data)) {
			n, _ := strconv.Atoi(s)
			pids = append(pids, n)
		}
	}
	return pids
}

func TestDemoLeavesNoWorkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		code   int
	}{
		{"interrupted", syscall.SIGINT, exitInterrupted},
		{"killed", syscall.SIGKILL, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd, stderr := start(t, "", "demo", "--dir", dir, "--for", "1m", "--json")
			var workers []int
			until(t, "three workers run", func() bool {
				workers = children(cmd.Process.Pid)
				return len(workers) == demoWorkers
			})
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			if code := wait(t, cmd); code != c.code {
				t.Errorf("the exit code is %d; want %d\n%s", code, c.code, stderr)
			}
			for _, pid := range workers {
				until(t, "the demo's worker has ended", func() bool { return !lives(pid) })
			}
		})
	}
}
