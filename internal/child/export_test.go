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
