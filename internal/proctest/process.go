// Package proctest gives tests other processes, such as the test binary itself in
// another part, that can be killed and stopped and do not outlive the test.
package proctest

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// Process is a process that was started by [Start]. Its methods may be called
// concurrently.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and waited for
}

// Self is the command that runs the test binary once more, with env besides the
// environment of this process.
func Self(t testing.TB, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else a binary built with -race takes a second to end
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// Start starts cmd. The process is killed when this one is gone, if the kernel
// offers that; the caller kills it when the test is over.
func Start(cmd *exec.Cmd) (*Process, error) {
	dieWithParent(cmd)
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that starts it, so the thread is kept
		// until the child is gone.
		runtime.LockOSThread()
		defer close(p.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is looked at by those who want to know
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Gone reports whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// State says how the process has ended. It is nil before that.
func (p *Process) State() *os.ProcessState {
	if !p.Gone() {
		return nil
	}
	return p.cmd.ProcessState
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process without a chance to do anything, and waits until it is
// gone. A process that is gone already stays so.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}
