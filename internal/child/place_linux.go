package child

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cenote-go/cenote/queue"
)

// findPlace returns the directory of the cgroup v2 hierarchy below which a crew may make
// groups. named is what it was told to use, which is an error if it cannot be used. If it is
// "" the group of this process is looked at, and "" says that there is none.
func findPlace(named string) (string, error) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	groups, _ := os.ReadFile("/proc/self/cgroup")
	own := ownGroup(string(mounts), string(groups))
	if named == "" {
		if own == "" || !mayHaveBelow(own) || errors.Join(usable(own, own), mayClone()) != nil {
			return "", nil
		}
		return own, nil
	}
	dir, err := filepath.Abs(named)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	var is syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(dir, &is)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w; make it, or name another", err)
	case is.Type != cgroup2Magic:
		err = errors.New("it is not in a cgroup v2 hierarchy, which is at /sys/fs/cgroup on most systems; with version 1 there is no such limit")
	default:
		if err = usable(dir, own); err == nil {
			err = mayClone()
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: the Cgroup %s cannot be used: %w", queue.ErrOption, named, err)
	}
	return dir, nil
}

const cgroup2Magic = 0x63677270

// ownGroup is the directory of this process's group, by what /proc/self/mountinfo and
// /proc/self/cgroup say; "" if there is none in sight.
func ownGroup(mounts, groups string) string {
	var path string
	for line := range strings.Lines(groups) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSuffix(p, "\n")
		}
	}
	if !filepath.IsAbs(path) || strings.HasPrefix(path, "/..") { // outside what is mounted here
		return ""
	}
	for in := bufio.NewScanner(strings.NewReader(mounts)); in.Scan(); {
		// 26 23 0:23 root mountpoint options [more ...] - type source options
		before, after, _ := strings.Cut(in.Text(), " - ")
		f := strings.Fields(before)
		if len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		root, at := unescape.Replace(f[3]), unescape.Replace(f[4])
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			return filepath.Join(at, rel)
		}
	}
	return ""
}

// unescape undoes what the kernel does to names in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mayHaveBelow reports whether nobody is surprised by groups below that of this process:
// it has some with memory limits, or is the root, which has no type.
func mayHaveBelow(own string) bool {
	return !exists(filepath.Join(own, "cgroup.type")) || has(own, "cgroup.subtree_control", "memory")
}

// usable says why a crew of this process, which is in the group own, cannot make groups
// with a memory limit below dir, and what is to be done about it.
func usable(dir, own string) error {
	if !has(dir, "cgroup.controllers", "memory") {
		return fmt.Errorf("it has no memory controller; hand it one, by Delegate=yes of a systemd unit or by: echo +memory > %s",
			filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"))
	}
	if !has(dir, "cgroup.subtree_control", "memory") {
		inside, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))      //nolint:gosec // where we were told to
		if len(inside) > 0 && exists(filepath.Join(dir, "cgroup.type")) { // the root alone may have both
			return errors.New("there are processes in it, and such a group can give none below it a limit; " +
				"run them in a group below it, by DelegateSubgroup=main of a systemd unit or by moving them there before the start")
		}
	}
	needed := []string{filepath.Join(dir, "cgroup.subtree_control"), filepath.Join(dir, "cgroup.procs")}
	if own != "" { // a child is born elsewhere if this user may write to what is above both
		if common := filepath.Join(above(own, dir), "cgroup.procs"); exists(common) {
			needed = append(needed, common)
		}
	}
	for _, name := range needed {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // where we were told to
		if err != nil {
			return fmt.Errorf("%w; this user must be able to write there: hand the group over, by Delegate=yes of a systemd unit, "+
				"and start this process in it or below it", err)
		}
		_ = f.Close()
	}
	return nil
}

// mayClone says why no process can be born into another group, if that is so.
func mayClone() error {
	const clone3 = 435
	if _, _, e := syscall.RawSyscall(clone3, 0, 0, 0); e != syscall.EINVAL { // which too short an argument is
		return fmt.Errorf("clone3: %w; the kernel must be 5.14 or newer, and a container's seccomp profile must allow clone3", e)
	}
	return nil
}

// above is the innermost directory that has both a and b in it, or is one of them.
func above(a, b string) string {
	for {
		if rel, err := filepath.Rel(a, b); a == "/" || err == nil && filepath.IsLocal(rel) {
			return a
		}
		a = filepath.Dir(a)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// has reports whether the group's file has the word.
func has(dir, file, word string) bool {
	b, _ := os.ReadFile(filepath.Join(dir, file)) //nolint:gosec // where we were told to
	return slices.Contains(strings.Fields(string(b)), word)
}
