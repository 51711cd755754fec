package child

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// newPage makes a page, and the file by which a child gets at it; nil if there is none
// to be had. The file has no name any more.
func newPage() (*page, *os.File) {
	for _, dir := range []string{"/dev/shm", os.TempDir()} {
		f, err := os.CreateTemp(dir, "cenote-")
		if err != nil {
			continue
		}
		if os.Remove(f.Name()) == nil && f.Truncate(pageSize) == nil {
			if p := openPage(f.Fd()); p != nil {
				return p, f
			}
		}
		_ = f.Close()
	}
	return nil, nil
}

// openPage maps the page of a file; nil if there is none. It is there as long as
// somebody knows it.
func openPage(fd uintptr) *page {
	var is syscall.Stat_t
	if syscall.Fstat(int(fd), &is) != nil || is.Size != pageSize { //nolint:gosec // a descriptor
		return nil
	}
	mem, err := syscall.Mmap(int(fd), 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED) //nolint:gosec // a descriptor
	if err != nil {
		return nil
	}
	p := &page{mem}
	runtime.AddCleanup(p, func(mem []byte) { _ = syscall.Munmap(mem) }, mem)
	return p
}

// unread reports whether somebody has yet to read what this process has written to the
// pipes that are its standard output and error.
func unread() bool {
	for fd := range uintptr(3) {
		var n int32
		if fd == 0 {
			continue
		}
		_, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))) //nolint:gosec // room for an int
		if e == 0 && n > 0 {
			return true
		}
	}
	return false
}
