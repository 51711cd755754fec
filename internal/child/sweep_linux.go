package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// prefix is what the groups of crews begin with, followed by the owner's process id, for
// those who look.
const prefix = "cenote-"

// own makes a directory below the place that is this process's as long as it lives and
// has not closed the file: it holds the lock on it, which ends with the process however that
// ends, and says so to containers, too, that see other process ids.
func own(place string) (dir string, lock *os.File, err error) {
	for {
		if dir, err = os.MkdirTemp(place, fmt.Sprint(prefix, os.Getpid(), "-")); err != nil {
			return "", nil, err
		}
		if lock, err = lockDir(dir, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(dir)
			return "", nil, err
		}
		if err == nil {
			return dir, lock, nil
		} // a sweep has come in between
	}
}

// lockDir locks the directory. It is an fs.ErrNotExist if it is not there any more when it is
// locked, and with noWait an error if somebody else has locked it.
func lockDir(dir string, noWait int) (*os.File, error) {
	f, err := os.Open(dir) //nolint:gosec // where we were told to
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|noWait) //nolint:gosec // a descriptor
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		_, err = os.Stat(dir) // no name is used twice
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes what is below the place of owners that are gone, and kills what is left in
// it. What it cannot remove, somebody else may.
func sweep(place string) {
	all, _ := os.ReadDir(place)
	for _, e := range all {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		dir := filepath.Join(place, e.Name())
		lock, err := lockDir(dir, syscall.LOCK_NB)
		if err != nil {
			continue // the owner lives
		}
		_ = killAll(dir)
		_ = removeGroup(dir)
		_ = lock.Close()
	}
}

// patience is how long a process that was killed may take to be gone. One that hangs in the
// kernel takes for ever; its group is left to a later sweep then.
const patience = 10 * time.Second

// removeGroup removes a group in which all was killed, and those below it, as soon as
// all are dead.
func removeGroup(dir string) error {
	below, _ := os.ReadDir(dir)
	for _, e := range below {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for deadline := time.Now().Add(patience); ; {
		err := syscall.Rmdir(dir) // the files in it are the kernel's, and no obstacle
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline):
			return err
		}
		awaitEmpty(dir, time.Until(deadline))
	}
}

// awaitEmpty waits until no process is left in the group.
func awaitEmpty(dir string, within time.Duration) {
	f, err := os.Open(filepath.Join(dir, "cgroup.events")) //nolint:gosec // ours
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		var buf [256]byte
		n, _ := f.ReadAt(buf[:], 0)
		if !strings.Contains(string(buf[:max(n, 0)]), "populated 1") {
			// The last one is on its way out: the kernel may take a moment to see that.
			time.Sleep(time.Millisecond) //nolint:forbidigo // there is no event for it
			return
		}
		const urgent = 2 // POLLPRI: the file has changed since it was read
		fds := struct {
			fd              int32
			events, revents int16
		}{fd: int32(f.Fd()), events: urgent} //nolint:gosec // a descriptor
		left := syscall.NsecToTimespec(int64(time.Until(deadline)))
		_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), 1, uintptr(unsafe.Pointer(&left)), 0, 0, 0) //nolint:gosec // as it says
	}
}
