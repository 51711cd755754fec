package child

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// kid is one child, as the parent sees it. Between start and the end of the process it
// is either idle or its task's, whose goroutine alone reads from it.
type kid struct {
	cmd  *exec.Cmd
	pid  int
	born time.Time
	in   *bufio.Reader // what the child writes
	from *os.File
	to   *os.File // tasks
	ctl  *os.File // what there is to say beside them
	page *page    // nil if there is none
	out  *output
	errs *output
	stat *os.File // its memory; nil if that is not known
	cell *cell    // its group in the kernel's eyes; nil if it has none

	buf   []byte // of the task's goroutine, as is
	tasks int
	wire  []byte        // for what it writes
	last  atomic.Uint64 // the number that was given away last

	ready   bool // under crew.mu: it has said hello
	dead    bool // under crew.mu: it was waited for
	busy    bool // under crew.mu: somebody reads from it, who closes from if it is dead
	retired bool // under crew.mu

	cmu   sync.Mutex // around a write to ctl
	frame []byte     // under cmu

	kmu      sync.Mutex // around signals, so that none is sent to a stranger
	reaped   bool       // under kmu
	gone     chan struct{}
	task     atomic.Pointer[task]
	fat      atomic.Bool // killed for its memory; set before gone is closed
	unwanted atomic.Bool // killed by Terminate
}

// start starts a child and waits until it is ready. An error says that there is none.
func (c *Crew) start() (*kid, error) {
	k := &kid{gone: make(chan struct{}), busy: true}
	if err := c.spawn(k); err != nil {
		return nil, fmt.Errorf("start a child process: %w", err)
	}
	go k.reap(c)
	err := k.hello(c.cfg.StartTimeout)
	if err == nil {
		c.mu.Lock()
		k.ready = true
		c.mu.Unlock()
		return k, nil
	}
	k.kill()
	<-k.gone
	_ = k.from.Close()
	return nil, err
}

// spawn starts the process.
func (c *Crew) spawn(k *kid) (err error) {
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}()
	pipe := func() (r, w *os.File) {
		if err != nil {
			return nil, nil
		}
		if r, w, err = os.Pipe(); err == nil {
			opened = append(opened, r, w)
		}
		return r, w
	}
	childIn, to := pipe()
	from, childOut := pipe()
	childCtl, ctl := pipe()
	outR, outW := pipe()
	errR, errW := pipe()
	if err != nil {
		return err
	}
	shared, file := newPage()
	if file == nil {
		if file, err = os.Open(os.DevNull); err != nil { // so that it is nothing else there
			return err
		}
	}
	opened = append(opened, file)
	self, err := executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self) //nolint:gosec // this program
	cmd.Args = os.Args
	cmd.Env = c.cfg.environ()
	cmd.Stdout, cmd.Stderr = outW, errW
	cmd.ExtraFiles = []*os.File{childIn, childOut, childCtl, file} // fdTasks, fdOut, fdControl, fdPage
	cmd.SysProcAttr = attributes()
	cell, err := c.cgroup.cell()
	if err != nil {
		return err
	}
	defer func() {
		if k.cmd == nil {
			cell.remove()
		}
	}()
	birthplace, err := cell.bear(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	if birthplace != nil {
		defer func() { _ = birthplace.Close() }()
	}
	started := make(chan error, 1)
	select {
	case c.starts <- func() { started <- cmd.Start() }:
	case <-c.done:
		return errClosed
	}
	if err := <-started; err != nil {
		return err
	}
	k.cmd, k.pid, k.born = cmd, cmd.Process.Pid, time.Now()
	k.page = shared
	k.to, k.ctl, k.from, k.in = to, ctl, from, bufio.NewReaderSize(from, 32<<10)
	k.out, k.errs = newOutput(k, outR, false), newOutput(k, errR, true)
	k.stat, k.cell = openMemory(k.pid), cell
	opened = []*os.File{childIn, childOut, childCtl, file, outW, errW} // the child's ends
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[k] = struct{}{}
	if c.closed {
		k.unwanted.Store(true)
		k.kill()
	}
	return nil
}

// hello waits until the child says that it is ready.
func (k *kid) hello(within time.Duration) error {
	_ = k.from.SetReadDeadline(time.Now().Add(within))
	kind, body, _, err := readFrame(k.in, nil)
	_ = k.from.SetReadDeadline(time.Time{})
	switch f := open(body); {
	case err == nil && kind == frameHello && f.uint() == version:
		paged := f.uint()
		if f.end() == nil && (paged > 0 || k.page == nil) {
			return nil
		}
		err = fmt.Errorf("it has no memory in common with its parent")
	case err == nil && kind == frameFailed:
		return fmt.Errorf("the Initializer failed: %s", f.bin())
	}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	k.kill()
	<-k.gone
	text := k.errs.tail()
	if text != "" {
		text = "; it said: " + text
	}
	if k.fat.Load() {
		return fmt.Errorf("child process %d used more memory than its limit before it was ready%s", k.pid, text)
	}
	if late {
		return fmt.Errorf("child process %d was not ready within %v; call pool.Child(routes...) first in main%s", k.pid, within, text)
	}
	return fmt.Errorf("child process %d ended before it was ready (%v); call pool.Child(routes...) first in main%s",
		k.pid, k.cmd.ProcessState, text)
}

// reap waits for the process, and ends what it leaves behind.
func (k *kid) reap(c *Crew) {
	awaitExit(k.cmd)
	if k.cell.starved() {
		k.fat.Store(true)
	}
	k.kmu.Lock()
	killGroup(k.pid) // the process is still there, if only as a zombie, so the number is its own
	_ = k.cell.kill()
	_ = k.cmd.Wait() // no error that its state does not say
	k.reaped = true
	k.kmu.Unlock()
	k.out.finish()
	k.errs.finish()
	k.close()
	close(k.gone)
	c.lose(k)
	k.cell.remove() // which nobody waits for but the crew's end
}

// large reports whether the child is left with more memory than it may have.
func (k *kid) large(most int64) bool {
	if k.cell != nil {
		return k.cell.full()
	}
	return k.memory() > most
}

// close closes the pipes to the child. What it has written can still be read.
func (k *kid) close() {
	_ = k.to.Close()
	_ = k.ctl.Close()
	if k.stat != nil {
		_ = k.stat.Close()
	}
}

// retire ends a child that has no task. crew.mu is held.
func (k *kid) retire() {
	k.retired = true
	_ = k.to.Close()
	_ = k.ctl.Close()
}

// kill ends the child and its group at once.
func (k *kid) kill() {
	k.kmu.Lock()
	defer k.kmu.Unlock()
	if !k.reaped {
		killGroup(k.pid)
	}
}

// terminate asks the child and its group to end.
func (k *kid) terminate() {
	k.kmu.Lock()
	defer k.kmu.Unlock()
	if !k.reaped {
		terminateGroup(k.pid)
	}
}

// write writes a frame to the child's control pipe. An error other than
// queue.ErrTooLarge says that the child is gone.
func (k *kid) write(fill func(b []byte) []byte) error {
	k.cmu.Lock()
	defer k.cmu.Unlock()
	b := fill(k.frame)
	full, err := endFrame(b)
	if err == nil {
		_, err = k.ctl.Write(full)
	}
	if k.frame = b[:0]; cap(b) > 1<<20 {
		k.frame = nil
	}
	return err
}

// begin makes r the child's task.
func (k *kid) begin(r *task) {
	k.task.Store(r)
	for _, o := range []*output{k.out, k.errs} {
		if o.pending() {
			o.begin(r.number)
		}
	}
}

// wrote passes on what task n, which has ended, has written to its standard output and
// error. all says that some of it has not been read yet, and that the child waits for that.
func (k *kid) wrote(n uint64, all bool) {
	if !all {
		for _, o := range []*output{k.out, k.errs} {
			if o.pending() {
				o.cut(n)
			}
		}
		return
	}
	k.out.drain()
	k.errs.drain()
	if k.page != nil {
		_ = k.write(func(b []byte) []byte { return appendUint(beginFrame(b, frameGoOn, 1), n) })
	}
}

// crash says how the process has ended, which it has.
func (k *kid) crash() error {
	e := &queue.CrashError{PID: k.pid, Exit: -1, Memory: k.fat.Load(), Stderr: k.errs.tail()}
	if s := k.cmd.ProcessState; s != nil {
		e.Exit, e.User, e.System = s.ExitCode(), s.UserTime(), s.SystemTime()
		e.Signal, e.MaxRSS = usage(s)
	}
	return e
}
