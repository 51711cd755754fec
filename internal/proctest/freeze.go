//go:build unix

package proctest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// freezeWithin is how long a process may take to stand still. It only bounds how
// long a hopeless test hangs.
const freezeWithin = time.Minute

// Freeze stops the process and returns when it stands still.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pid := p.cmd.Process.Pid
	for deadline := time.Now().Add(freezeWithin); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil // no /proc here: the signal is on its way, which must do
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not stand still: %s", pid, stat)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("process %d is gone", pid)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
