package proctest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process, even a stopped one, when this
// one is gone, however that ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
