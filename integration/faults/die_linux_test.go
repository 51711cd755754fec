package faults

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process, even a stopped one, when the
// test binary is gone, however that ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
