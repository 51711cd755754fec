//go:build unix && !linux

package child

import (
	"os"
	"os/exec"
	"syscall"
)

// rssUnit is what the kernel counts a process's largest size in.
const rssUnit = 1

func executable() (string, error) { return os.Executable() }

// attributes puts the child into a group of its own. That its parent is gone it sees
// at the pipe.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit waits for the process: what it leaves behind is killed by a number that could
// in theory be another's by then.
func awaitExit(cmd *exec.Cmd) { _ = cmd.Wait() }

func openMemory(int) *os.File { return nil }

func (k *kid) memory() int64 { return 0 }
