package shared

import (
	"slices"
	"sync"
)

// lanes have what a manager does to an object take turns: one round trip an object is
// under way, and what is asked for meanwhile leaves together in the next. There is no
// timer: what is alone leaves at once. O is a pointer.
//
// Since only one is under way, Redis need remember no more of a manager than the number
// of its last one, to do nothing twice.
type lanes[O comparable] struct {
	m     *Manager
	serve func(root string, next func(fits func(batch []O, o O) bool) []O)

	mu      sync.Mutex
	waiting map[string][]O // by root; there while somebody serves it
}

// add lines o up. It is served once the manager's life allows, or fails at its end.
func (ls *lanes[O]) add(root string, o O) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	queue, served := ls.waiting[root]
	if !served {
		err := ls.m.start(func() {
			ls.serve(root, func(fits func([]O, O) bool) []O { return ls.next(root, fits) })
		})
		if err != nil {
			return err
		}
		if ls.waiting == nil {
			ls.waiting = map[string][]O{}
		}
	}
	ls.waiting[root] = append(queue, o)
	return nil
}

// withdraw takes back what was not taken yet, and reports whether it was not.
func (ls *lanes[O]) withdraw(root string, o O) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	i := slices.Index(ls.waiting[root], o)
	if i >= 0 {
		ls.waiting[root] = slices.Delete(ls.waiting[root], i, i+1)
	}
	return i >= 0
}

// next takes the first that wait and fit together. None is the end of the serving.
func (ls *lanes[O]) next(root string, fits func(batch []O, o O) bool) []O {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	queue := ls.waiting[root]
	if len(queue) == 0 {
		delete(ls.waiting, root)
		return nil
	}
	n := 1
	for n < len(queue) && fits(queue[:n], queue[n]) {
		n++
	}
	batch := slices.Clone(queue[:n])
	ls.waiting[root] = slices.Delete(queue, 0, n)
	return batch
}
