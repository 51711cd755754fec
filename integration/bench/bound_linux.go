package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts cmd in a process group of its own, so that Ctrl-C leaves it to
// the run to end it, and bound to this process, so that it does not outlive a run
// that was killed.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal follows the thread that forked, not the process (golang
		// issue 27505): this one stays for good.
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}
