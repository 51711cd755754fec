package pool

// mayStart reports whether there is a slot for one more. Workers that all wait for
// tasks of the pool, as they may after Resize, do not count. p.mu is held.
func (p *LocalPool) mayStart() bool { return p.held < p.size || p.held == p.blocked }

// dispatch hands slots to workers while there are tasks for them. p.mu is held.
func (p *LocalPool) dispatch() {
	for p.ready() > p.handed && p.mayStart() {
		if n := len(p.idle) - 1; n >= 0 {
			w := p.idle[n]
			p.idle[n] = nil
			p.idle = p.idle[:n]
			p.hand(w)
			w.wake <- true
			continue
		}
		p.workers++
		w := &worker{pool: p, wake: make(chan bool, 1), lane: p.newLane()}
		p.hand(w)
		go w.loop()
	}
}

// hand gives w, which waits, a slot. p.mu is held.
func (p *LocalPool) hand(w *worker) {
	p.held++
	p.handed++
	w.slot, w.handed = true, true
}

// welcome gives free slots to the handlers that come back from Aside. p.mu is held.
func (p *LocalPool) welcome() {
	for len(p.returning) > 0 && (p.mayStart() || p.life.Err() != nil) {
		p.held++
		close(p.returning[0])
		p.returning = p.returning[1:]
	}
}

// spread gives away slots that have become free. p.mu is held.
func (p *LocalPool) spread() {
	p.welcome()
	p.dispatch()
}

// backFromAside returns when u has a slot again.
func (p *LocalPool) backFromAside(u *turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.asides == 1 && !u.over {
		slot := make(chan struct{})
		p.returning = append(p.returning, slot)
		p.welcome()
		p.mu.Unlock()
		<-slot
		p.mu.Lock()
		if u.over { // its handler has not waited for it
			p.held--
			p.spread()
		}
	}
	p.change(u, func() { u.asides-- })
}

// change does what may make u stuck or not. p.mu is held.
func (p *LocalPool) change(u *turn, do func()) {
	was := u.stuck()
	do()
	switch is := u.stuck(); {
	case is && !was:
		p.blocked++
		p.spread()
	case was && !is:
		p.blocked--
	}
}
