package child

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"unsafe"
)

// rssUnit is what the kernel counts a process's largest size in.
const rssUnit = 1 << 10

// executable is this very program, also if its file was replaced meanwhile.
func executable() (string, error) { return "/proc/self/exe", nil }

// attributes puts the child into a group of its own and makes the kernel tell it when
// its parent is gone. It is told and not killed, so that it can take its group along:
// what it has started would outlive it otherwise.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: parentDeath}
}

// awaitExit waits until the process has ended, and leaves it to be waited for.
func awaitExit(cmd *exec.Cmd) {
	const byPID, exited, noWait = 1, 4, 0x01000000
	var info [128]byte
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(cmd.Process.Pid), uintptr(unsafe.Pointer(&info)), exited|noWait, 0, 0) //nolint:gosec // room for a siginfo
		if e != syscall.EINTR {
			return
		}
	}
}

func openMemory(pid int) *os.File {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return nil
	}
	return f
}

var memoryPage = int64(os.Getpagesize())

// memory is how much the child has in memory; 0 if that is not known.
func (k *kid) memory() int64 {
	if k.stat == nil {
		return 0
	}
	var buf [128]byte
	n, _ := k.stat.ReadAt(buf[:], 0)
	f := bytes.Fields(buf[:max(n, 0)])
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
	return pages * memoryPage
}
