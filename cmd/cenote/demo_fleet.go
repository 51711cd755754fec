package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// fleet is the worker processes of a demo: this program, run as "cenote worker".
type fleet struct {
	workers []*fleetWorker
	stopped chan struct{} // closed to let the thread that started them go
}

type fleetWorker struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	meant  atomic.Bool   // it is meant to end
	gone   chan struct{} // closed when it has ended and all it told is booked
}

// startFleet starts the workers on a queue. fail is called if one ends by itself.
func startFleet(env []string, name, dir string, l *ledger, fail context.CancelCauseFunc) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fleet{stopped: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends the workers when the thread that started them ends, be it
		// before the process does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := range demoWorkers {
			w, events, err := startWorker(self, env, name, dir)
			if err != nil {
				started <- fmt.Errorf("start worker %d: %w", i+1, err)
				return
			}
			f.workers = append(f.workers, w)
			go w.follow(i, events, l, fail)
		}
		close(started)
		<-f.stopped
	}()
	if err := <-started; err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func startWorker(self string, env []string, name, dir string) (*fleetWorker, io.Reader, error) {
	cmd := exec.Command(self, "worker", "--demo", "--queue", name, "--files", dir,
		"--concurrency", strconv.Itoa(demoSlots), "--lease", demoLease.String(), "--sweep", "200ms", "--log-level", "error")
	cmd.Args[0] = os.Args[0] // the name that it was started by
	// Not in the arguments, which any user of the machine can read.
	cmd.Env = append(os.Environ(), env...)
	ownGroup(cmd) // Ctrl-C is for the demo
	w := &fleetWorker{cmd: cmd, stderr: &tail{}, gone: make(chan struct{})}
	cmd.Stderr = w.stderr
	var err error
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return w, events, cmd.Start()
}

// follow books what the worker tells and notices its end.
func (w *fleetWorker) follow(number int, events io.Reader, l *ledger, fail context.CancelCauseFunc) {
	defer close(w.gone)
	l.follow(number, events)
	err := w.cmd.Wait()
	if !w.meant.Load() {
		fail(fmt.Errorf("worker %d ended by itself: %v\n%s", number+1, err, w.stderr))
	}
}

// kill kills a worker and returns its pid and when that was. On return all that
// it told is booked.
func (f *fleet) kill(number int) (pid int, at time.Time) {
	w := f.workers[number]
	w.meant.Store(true)
	at = time.Now()
	_ = w.cmd.Process.Kill() // an error says that it has ended
	<-w.gone
	return w.cmd.Process.Pid, at
}

// release lets the workers go on with the tasks that they hold.
func (f *fleet) release() {
	for _, w := range f.workers {
		_, _ = io.WriteString(w.stdin, "go\n") // the killed one does not listen
	}
}

// stop ends the workers.
func (f *fleet) stop() {
	for _, w := range f.workers {
		w.meant.Store(true)
		_ = w.stdin.Close()
	}
	for _, w := range f.workers {
		select {
		case <-w.gone:
		case <-time.After(10 * time.Second):
			_ = w.cmd.Process.Kill()
			<-w.gone
		}
	}
	close(f.stopped)
}

// tail keeps the last of what is written to it. It may be used concurrently.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
