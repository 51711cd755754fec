//go:build unix

package child

import (
	"os"
	"os/signal"
	"syscall"
)

// settle makes the child what the rest relies on. What it asks of the kernel beyond
// that is a courtesy, so its errors are not looked at.
func settle() {
	for _, fd := range []int{fdTasks, fdOut, fdControl} {
		_ = syscall.SetNonblock(fd, false)
	}
	for _, fd := range []int{fdTasks, fdOut, fdControl, fdPage} {
		syscall.CloseOnExec(fd)
	}
	syscall.Umask(0o077)
	limit()
	// The kernel sends it when the parent is gone, in case nobody reads the pipe.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGHUP)
	go func() {
		<-gone
		end(0)
	}()
}

// end ends the process and, if it leads its group as a child does, all that it has
// started.
func end(status int) {
	if pid := os.Getpid(); syscall.Getpgrp() == pid {
		_ = killRest(pid)
	}
	os.Exit(status)
}

func writeOut(b []byte) (int, error) {
	n, err := syscall.Write(fdOut, b)
	if err == syscall.EINTR || err == syscall.EAGAIN { //nolint:errorlint // what syscall returns
		return max(n, 0), nil
	}
	return n, err
}

// killRest kills the group, this process included.
func killRest(group int) error { return syscall.Kill(-group, syscall.SIGKILL) }
