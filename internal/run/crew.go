// Package run is the loop that runs tasks on a bounded number of goroutines. It
// knows nothing of where tasks come from.
package run

import "sync"

// Job is one task to run.
type Job interface {
	// Run runs the job. It may panic or end its goroutine; the crew survives both,
	// and telling about it is the job's own affair.
	Run()
}

// Crew runs jobs on at most a fixed number of goroutines, in the order in which
// they were added. Its methods may be called concurrently.
//
// Goroutines are started when there is work for them, and a running one takes the
// next job without being woken, so a row of very short jobs costs no switches.
type Crew struct {
	size int

	mu        sync.Mutex
	jobs      []Job
	head      int  // jobs[:head] are taken
	active    int  // places that are taken: by runners, but for those that have lent theirs
	coming    bool // one of them was hired and has not taken a job yet
	lent      int
	returning []chan struct{} // those that want theirs back
	taken     uint64
	drained   *sync.Cond // active and lent have become 0
}

// NewCrew makes a crew of at most size goroutines.
func NewCrew(size int) *Crew {
	c := &Crew{size: size}
	c.drained = sync.NewCond(&c.mu)
	return c
}

// Add adds jobs behind those that wait. It reports whether some will have to wait
// until a goroutine is free.
func (c *Crew) Add(jobs ...Job) (wait bool) {
	if len(jobs) == 0 {
		return false
	}
	c.mu.Lock()
	if c.head > 0 && c.head == len(c.jobs) {
		c.jobs, c.head = c.jobs[:0], 0
	}
	c.jobs = append(c.jobs, jobs...)
	wait = len(c.jobs)-c.head > c.size-c.active
	start := c.hire()
	c.mu.Unlock()
	if start {
		go c.run()
	}
	return wait
}

// hire makes room for one more runner if there is a job for it. c.mu is held.
// Each runner that takes a job hires the next, so that many jobs spread out over
// the crew without one call starting all of it. While one is on its way no other is
// hired: where jobs are short, those who are there have done them before it comes.
func (c *Crew) hire() bool {
	if c.coming || c.head == len(c.jobs) || c.active == c.size {
		return false
	}
	c.coming = true
	c.active++
	return true
}

func (c *Crew) run() {
	gone := true // the goroutine is being ended by a job
	defer func() {
		if gone {
			_ = recover()
			go c.run()
		}
	}()
	for first := true; ; first = false {
		j := c.next(first)
		if j == nil {
			gone = false
			return
		}
		j.Run()
	}
}

// Lend gives the place of the job that calls it to another job, until Return.
func (c *Crew) Lend() {
	c.mu.Lock()
	c.lent++
	start := false
	if !c.handOver() {
		c.active--
		start = c.hire()
	}
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

// Return waits until there is a place for the job again that has lent its own.
func (c *Crew) Return() {
	c.mu.Lock()
	c.lent--
	if c.active < c.size {
		c.active++
		c.mu.Unlock()
		return
	}
	place := make(chan struct{})
	c.returning = append(c.returning, place)
	c.mu.Unlock()
	<-place
}

// handOver gives a place to who wants one back, if anybody does: it goes before
// those jobs that nobody has begun. c.mu is held.
func (c *Crew) handOver() bool {
	if len(c.returning) == 0 {
		return false
	}
	close(c.returning[0])
	c.returning = c.returning[1:]
	return true
}

// next takes a job. first says that the runner may be the one that was coming.
func (c *Crew) next(first bool) Job {
	c.mu.Lock()
	if first {
		c.coming = false
	}
	if c.handOver() {
		c.mu.Unlock()
		return nil
	}
	if c.head == len(c.jobs) {
		c.active--
		if c.active == 0 && c.lent == 0 {
			c.drained.Broadcast()
		}
		c.mu.Unlock()
		return nil
	}
	j := c.jobs[c.head]
	c.jobs[c.head] = nil
	c.head++
	c.taken++
	if c.head >= 1024 && c.head*2 >= len(c.jobs) { // keep the queue's front from growing
		n := copy(c.jobs, c.jobs[c.head:])
		clear(c.jobs[n:])
		c.jobs, c.head = c.jobs[:n], 0
	}
	start := c.hire()
	c.mu.Unlock()
	if start {
		go c.run()
	}
	return j
}

// Waiting returns how many jobs no goroutine has begun, and how many were begun
// so far.
func (c *Crew) Waiting() (jobs int, begun uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jobs) - c.head, c.taken
}

// TakeBack removes and returns the jobs that no goroutine has begun.
func (c *Crew) TakeBack() []Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	jobs := append([]Job(nil), c.jobs[c.head:]...)
	clear(c.jobs)
	c.jobs, c.head = c.jobs[:0], 0
	return jobs
}

// Pick removes and returns the jobs that no goroutine has begun and that match says
// yes to.
func (c *Crew) Pick(match func(Job) bool) []Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	var picked []Job
	rest := c.jobs[:c.head]
	for _, j := range c.jobs[c.head:] {
		if match(j) {
			picked = append(picked, j)
		} else {
			rest = append(rest, j)
		}
	}
	clear(c.jobs[len(rest):])
	c.jobs = rest
	return picked
}

// Wait waits until no job runs or waits.
func (c *Crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.active > 0 || c.lent > 0 || c.head < len(c.jobs) {
		c.drained.Wait()
	}
}
