package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// cgroup is a crew's group in the kernel's cgroup v2 hierarchy. It has no processes itself:
// each child is born into a cell below it. The kernel holds a cell to its limit, whatever
// the child has started included. A nil cgroup makes nil cells, which do nothing.
type cgroup struct {
	dir   string
	lock  *os.File // says that the owner lives; see own
	limit int64
	cells atomic.Uint64
	busy  sync.WaitGroup // cells that are not removed yet, and the sweep
}

// newCgroup makes a crew's group below the place, where it also removes what owners that
// are gone have left.
func newCgroup(place string, limit int64) (*cgroup, error) {
	dir, lock, err := own(place)
	if err != nil {
		return nil, err
	}
	g := &cgroup{dir: dir, lock: lock, limit: limit}
	g.busy.Go(func() { sweep(place) })
	for _, d := range []string{place, dir} {
		if err == nil {
			err = write(d, "cgroup.subtree_control", "+memory")
		}
	}
	if err == nil { // what the kernel cannot do shows now
		var c *cell
		if c, err = g.cell(); err == nil {
			err = c.kill()
			c.remove()
		}
	}
	if err != nil {
		g.close()
		return nil, fmt.Errorf("make a cgroup that limits memory (which takes Linux 5.14): %w", err)
	}
	return g, nil
}

// close waits until all cells are removed and removes the group.
func (g *cgroup) close() {
	if g == nil {
		return
	}
	g.busy.Wait()
	_ = removeGroup(g.dir) // or the next sweep will
	_ = g.lock.Close()
}

// cell is the group of one child.
type cell struct {
	of  *cgroup
	dir string
}

// cell makes the group of one child. Its remove must be called.
func (g *cgroup) cell() (*cell, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // one that does nothing
	}
	c := &cell{of: g, dir: filepath.Join(g.dir, strconv.FormatUint(g.cells.Add(1), 10))}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, err
	}
	g.busy.Add(1)
	err := write(c.dir, "memory.max", strconv.FormatInt(g.limit, 10))
	if err == nil { // all of it or nothing: a child without what it has started is of no use, nor that without it
		err = write(c.dir, "memory.oom.group", "1")
	}
	if err == nil { // a kernel without swap does not have this file
		if err = write(c.dir, "memory.swap.max", "0"); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// bear makes the process that is started with attr be born into the cell. The file must be
// open until then; it is nil if the cell is.
func (c *cell) bear(attr *syscall.SysProcAttr) (*os.File, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // none is needed
	}
	f, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd()) //nolint:gosec // a descriptor
	return f, nil
}

// starved reports whether the kernel has killed in the cell as it was at its limit. A kill for
// want of memory elsewhere, in a group above or the whole machine, is nobody's fault here.
func (c *cell) starved() bool {
	if c == nil {
		return false
	}
	e := c.read("memory.events")
	return e["oom"] > 0 && e["oom_kill"] > 0
}

// full reports whether the cell is so near to its limit that the next task might die for what
// this one has left. What the kernel can take back at any time, cached files, does not count.
func (c *cell) full() bool {
	mark := c.of.limit / 20 * 19
	b, _ := os.ReadFile(filepath.Join(c.dir, "memory.current"))
	now, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if now <= mark {
		return false
	}
	s := c.read("memory.stat")
	return now-s["active_file"]-s["inactive_file"]-s["slab_reclaimable"] > mark
}

// read reads a file of names and numbers.
func (c *cell) read(file string) map[string]int64 {
	b, _ := os.ReadFile(filepath.Join(c.dir, file)) //nolint:gosec // ours
	values := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		name, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[name], _ = strconv.ParseInt(v, 10, 64)
	}
	return values
}

// kill kills all that is in the cell.
func (c *cell) kill() error {
	if c == nil {
		return nil
	}
	return killAll(c.dir)
}

// remove removes the cell, and kills what is in it. It takes as long as that takes to die.
func (c *cell) remove() {
	if c == nil {
		return
	}
	defer c.of.busy.Done()
	_ = c.kill()
	_ = removeGroup(c.dir) // or the next sweep will
}

// killAll kills all that is in the group and below it.
func killAll(dir string) error { return write(dir, "cgroup.kill", "1") }

// write writes to a file of a group, which must be there.
func write(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0) //nolint:gosec // ours
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
