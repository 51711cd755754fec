//go:build unix

package child

// Sent reports whether a child of the crew was given a task that has not ended.
func (c *Crew) Sent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.all {
		if k.task.Load() != nil {
			return true
		}
	}
	return false
}

// MaxStack is what children are started with.
const MaxStack = maxStack

// Youth is how old a child gets whose end is that of a bad start.
const Youth = youth

// Idle is how many children are ready and have nothing to do.
func (c *Crew) Idle() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle)
}
