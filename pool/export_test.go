package pool

// Unfinished is how many tasks the session keeps books of.
func (p *DistributedPool) Unfinished() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tasks)
}

// UnderWay is how many submissions are.
func (p *DistributedPool) UnderWay() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.under
}

// Closed reports whether it takes no more tasks.
func (p *DistributedPool) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
