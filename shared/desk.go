package shared

import (
	"context"
	"sync"
)

// desk lets one at a time through, by key.
type desk struct {
	mu   sync.Mutex
	busy map[string]*turnstile
}

type turnstile struct {
	free  chan struct{} // holds one when nobody is inside
	users int
}

// enter waits until nobody else is inside. Who is let in calls leave.
func (d *desk) enter(ctx context.Context, key string) (leave func(), err error) {
	d.mu.Lock()
	t := d.busy[key]
	if t == nil {
		t = &turnstile{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		if d.busy == nil {
			d.busy = map[string]*turnstile{}
		}
		d.busy[key] = t
	}
	t.users++
	d.mu.Unlock()
	out := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(d.busy, key)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; out() }, nil
	case <-ctx.Done():
		out()
		return nil, ctx.Err()
	}
}
