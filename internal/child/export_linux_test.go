package child

import (
	"os"
	"syscall"
)

// What is made of what the kernel says.
var (
	FindPlace    = findPlace
	OwnGroup     = ownGroup
	MayHaveBelow = mayHaveBelow
	Usable       = usable
	Above        = above
	Sweep        = sweep
)

// Starved reports whether the cell of this directory is one in which the kernel has killed.
func Starved(dir string) bool { return (&cell{dir: dir}).starved() }

// Full reports whether the cell of this directory is nearly full.
func Full(dir string, limit int64) bool { return (&cell{of: &cgroup{limit: limit}, dir: dir}).full() }

// Own makes a crew's directory below the place. It is the process's until free is called.
func Own(place string) (dir string, free func(), err error) {
	dir, lock, err := own(place)
	return dir, func() { _ = lock.Close() }, err
}

// LockDir waits for the directory, and locks it.
func LockDir(dir string) (*os.File, error) { return lockDir(dir, 0) }

// Locked reports whether somebody has the directory.
func Locked(dir string) bool {
	f, err := lockDir(dir, syscall.LOCK_NB)
	if err == nil {
		_ = f.Close()
	}
	return err != nil
}
