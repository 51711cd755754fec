//go:build unix

package child

import (
	"os"
	"syscall"
)

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func terminateGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) }

// usage says which signal has ended the process, and the most memory it had.
func usage(s *os.ProcessState) (sig string, maxRSS int64) {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		sig = w.Signal().String()
	}
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		maxRSS = int64(u.Maxrss) * rssUnit //nolint:unconvert // it is narrower on some machines
	}
	return sig, maxRSS
}
