package child

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Crew is a number of children that run tasks, one each at a time. It is the
// [queue.Handler] of those who run tasks in this process: the context that Handle
// gets is a handler's, and its host serves the child. Its methods may be called
// concurrently.
type Crew struct {
	cfg    Config
	starts chan func() // run by one locked thread
	done   chan struct{}
	cgroup *cgroup // has the children; nil if their memory is looked at

	mu       sync.Mutex
	size     int
	all      map[*kid]struct{} // that are starting, ready or not yet waited for
	idle     []*kid
	starting int
	busy     int
	waiting  []chan *kid // tasks without a child; closed if there will be none
	failed   int         // starts in a row
	pause    *time.Timer // until the next start, after one that failed
	broken   error
	told     bool // Broken was called
	closed   bool
	over     bool
}

// New makes a crew, which begins to start its children. Close ends it.
func New(cfg Config) (*Crew, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Crew{cfg: cfg, size: cfg.Children, starts: make(chan func()), done: make(chan struct{}), all: map[*kid]struct{}{}}
	if cfg.place != "" {
		var err error
		if c.cgroup, err = newCgroup(cfg.place, cfg.MaxMemory); err != nil && cfg.Cgroup != "" {
			return nil, fmt.Errorf("%w: the Cgroup %s cannot be used: %w", queue.ErrOption, cfg.Cgroup, err)
		}
	}
	go c.starter()
	if cfg.MaxMemory > 0 && c.cgroup == nil {
		go c.watch()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.balance()
	return c, nil
}

// starter starts processes. Children are told when the thread ends that has started
// them, so it is one that lives as long as the crew.
func (c *Crew) starter() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case start := <-c.starts:
			start()
		case <-c.done:
			return
		}
	}
}

// balance starts the children that are missing. c.mu is held.
func (c *Crew) balance() {
	if c.closed {
		if len(c.all) == 0 && c.starting == 0 && !c.over {
			c.over = true
			if c.cgroup == nil {
				close(c.done)
				return
			}
			go func() { // the last groups may take a moment
				c.cgroup.close()
				close(c.done)
			}()
		}
		return
	}
	if c.pause != nil || c.broken != nil && !c.cfg.Persist {
		return
	}
	for c.starting+len(c.idle)+c.busy < c.size+c.cfg.Spare {
		if c.failed > 0 && c.starting > 0 {
			return // one at a time is enough to see whether it goes better
		}
		c.starting++
		go c.raise()
	}
}

// raise starts a child.
func (c *Crew) raise() {
	k, err := c.start()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting--
	switch {
	case err == nil && !c.closed && len(c.idle)+c.busy < c.size+c.cfg.Spare: // Resize may have asked for fewer
		c.failed, c.broken = 0, nil
		if c.told {
			c.told = false
			if c.cfg.Mended != nil {
				c.mu.Unlock()
				c.cfg.Mended()
				c.mu.Lock()
			}
		}
		c.give(k)
	case err == nil:
		k.busy = false
		if k.dead {
			_ = k.from.Close()
		}
		k.retire()
	case !c.closed:
		c.failure(err)
	}
	c.balance()
}

// failure notes that a start has failed. c.mu is held.
func (c *Crew) failure(err error) {
	c.failed++
	if c.pause != nil {
		c.pause.Stop()
	}
	c.pause = time.AfterFunc(min(10*time.Millisecond<<min(c.failed-1, 12), 30*time.Second), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pause = nil
		c.balance()
	})
	if c.failed < c.cfg.Tries || c.cfg.Persist && len(c.idle)+c.busy > 0 { // a few are better than none
		return
	}
	c.broken = &brokenError{fmt.Errorf("%w: %d child processes in a row did not start: %w", queue.ErrPoolBroken, c.failed, err)}
	if !c.told && c.cfg.Broken != nil {
		c.told = true
		broken := c.broken
		c.mu.Unlock()
		c.cfg.Broken(broken) // before those hear it that wait: whoever learns it from them must find it so
		c.mu.Lock()
		if c.broken == nil { // a start has succeeded meanwhile
			return
		}
	}
	c.nobody()
	if !c.cfg.Persist {
		for _, k := range c.idle {
			k.retire()
		}
		c.idle = nil
	}
}

// brokenError is why the crew runs no tasks. It tells that from the error of a handler.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// IsBroken reports whether err is a crew's own, as children do not start: no handler ran.
func IsBroken(err error) bool {
	_, ok := errors.AsType[*brokenError](err)
	return ok
}

// nobody tells the waiting tasks that no child will come. c.mu is held.
func (c *Crew) nobody() {
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
}

// give gives a child that is ready to the next task. c.mu is held.
func (c *Crew) give(k *kid) {
	k.busy = false
	if k.dead {
		_ = k.from.Close()
		return
	}
	c.idle = slices.Insert(c.idle, 0, k) // a cold one: those that have worked go first
	c.serve()
}

// serve gives idle children to tasks that wait. c.mu is held.
func (c *Crew) serve() {
	for len(c.waiting) > 0 && len(c.idle) > 0 && c.busy < c.size {
		w := c.waiting[0]
		c.waiting = c.waiting[1:]
		w <- c.pick()
	}
}

// pick takes the idle child that worked last, which is the warmest. c.mu is held.
func (c *Crew) pick() *kid {
	n := len(c.idle) - 1
	k := c.idle[n]
	c.idle[n] = nil
	c.idle = c.idle[:n]
	k.busy = true
	c.busy++
	return k
}

// get waits for a child.
func (c *Crew) get(ctx context.Context) (*kid, error) {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return nil, errClosed
	case c.broken != nil:
		err := c.broken
		c.mu.Unlock()
		return nil, err
	case len(c.idle) > 0 && c.busy < c.size:
		k := c.pick()
		c.mu.Unlock()
		return k, nil
	}
	w := make(chan *kid, 1)
	c.waiting = append(c.waiting, w)
	c.mu.Unlock()
	select {
	case k := <-w:
		if k != nil {
			return k, nil
		}
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.waiting {
		if other == w {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			return nil, context.Cause(ctx)
		}
	}
	select {
	case k := <-w: // it came at the same time
		if k != nil {
			c.busy--
			c.give(k)
			c.balance()
			return nil, context.Cause(ctx)
		}
	default:
	}
	if c.broken != nil {
		return nil, c.broken
	}
	return nil, errClosed
}

var errClosed = fmt.Errorf("%w: the child processes are gone", queue.ErrTerminated)

// old reports whether the child has had its time.
func (c *Crew) old(k *kid) bool {
	return c.cfg.MaxTasks > 0 && k.tasks >= c.cfg.MaxTasks ||
		c.cfg.MaxLifetime > 0 && time.Since(k.born) >= c.cfg.MaxLifetime ||
		c.cfg.MaxMemory > 0 && k.large(c.cfg.MaxMemory)
}

// put takes a child back after its tasks. It is not to be used again if it is doomed, and as
// good as one that did not start if it is unfit and young.
func (c *Crew) put(k *kid, doomed, unfit bool) {
	old := c.old(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	k.busy = false
	if k.dead {
		_ = k.from.Close()
	}
	if unfit && time.Since(k.born) < youth && !c.closed {
		c.failure(k.crash())
	}
	if old || doomed || k.dead || k.fat.Load() || c.closed || c.broken != nil && !c.cfg.Persist || len(c.idle)+c.busy >= c.size+c.cfg.Spare {
		k.retire()
	} else {
		c.idle = append(c.idle, k)
	}
	c.serve()
	c.balance()
}

// youth is how old a child without a task gets whose end is that of a bad start. Later it was
// somebody else who has ended it, as the kernel does that has no memory left.
const youth = time.Second

// lose notes that a child has been waited for. It is of no use any more.
func (c *Crew) lose(k *kid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.dead = true
	delete(c.all, k)
	if !k.busy {
		_ = k.from.Close()
		if k.tasks == 0 && time.Since(k.born) < youth && !k.retired && !c.closed { // it would go on like this
			c.failure(k.crash())
		}
	}
	for i, other := range c.idle {
		if other == k {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			break
		}
	}
	c.balance()
}

// Resize sets how many tasks run at once, at least 1. Children that work are not
// disturbed.
func (c *Crew) Resize(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = max(n, 1)
	for len(c.idle) > 0 && len(c.idle)+c.busy > c.size+c.cfg.Spare {
		k := c.idle[0]
		c.idle = c.idle[1:]
		k.retire()
	}
	c.serve()
	c.balance()
}

// Kill kills the child that runs the task with this host, once its handler has gone on
// for grace. It reports whether there is one. The task ends with what its context was
// cancelled with.
func (c *Crew) Kill(h queue.Host, grace time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.all {
		if r := k.task.Load(); r != nil && r.host == h {
			if grace <= 0 {
				k.cut(r, k.kill)
			} else {
				r.keep(time.AfterFunc(grace, func() { k.cut(r, k.kill) }))
			}
			return true
		}
	}
	return false
}

// Close ends the children that have nothing to do, and the others after their tasks,
// and makes the crew refuse further ones. Done is closed when they have been waited for.
func (c *Crew) Close() { c.stop(false) }

// Terminate kills all children, with all they have started, and is Close otherwise.
// What they work on ends with what its context was cancelled with, or
// queue.ErrTerminated.
func (c *Crew) Terminate() { c.stop(true) }

func (c *Crew) stop(kill bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.pause != nil {
		c.pause.Stop()
		c.pause = nil
	}
	c.nobody()
	for _, k := range c.idle {
		k.retire()
	}
	c.idle = nil
	for k := range c.all {
		if kill || !k.ready {
			k.unwanted.Store(true)
			k.kill()
		}
	}
	c.balance()
}

// Done is closed when the crew was closed and no child is left.
func (c *Crew) Done() <-chan struct{} { return c.done }

// PIDs returns the process ids of the children that live, for those who look.
func (c *Crew) PIDs() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pids []int
	for k := range c.all {
		pids = append(pids, k.pid)
	}
	return pids
}

// watch kills children that use far too much memory.
func (c *Crew) watch() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.done:
			return
		}
		c.mu.Lock()
		for k := range c.all {
			if k.memory() > 2*c.cfg.MaxMemory {
				k.fat.Store(true)
				k.kill()
			}
		}
		c.mu.Unlock()
	}
}
