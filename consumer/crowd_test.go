package consumer_test

import "sync"

// crowd counts who is in it.
type crowd struct {
	mu   sync.Mutex
	here int
	most int
}

func (c *crowd) enter() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here++
	c.most = max(c.most, c.here)
	return c.here
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here--
}

func (c *crowd) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here
}
