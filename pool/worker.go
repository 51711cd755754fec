package pool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/queue"
)

// worker is one goroutine of a pool. Its fields are its own, except that who wakes
// it sets slot and handed under pool.mu.
type worker struct {
	pool   *LocalPool
	wake   chan bool // true: it was handed a slot; false: it is not needed any more
	slot   bool      // it may run a task
	handed bool      // the slot was handed to it, and it has not looked for a task yet
	ready  bool      // the Initializer has run
	failed int       // how often in a row the Initializer has failed
	begun  *task     // it has begun this one together with the end of the last
	spare  *turn     // for the next task
	lane   *lane     // to a child; nil if tasks run here
}

// initTries is how often the Initializer may fail in a row, and initPause how
// long a worker waits after the first time.
const (
	initTries = 3
	initPause = 10 * time.Millisecond
)

func (w *worker) loop() {
	gone := true // the goroutine is being ended by a handler
	defer func() {
		if gone {
			w.ready = false // the one that takes its place is a new goroutine
			go w.loop()
		}
	}()
	for w.init() {
		t := w.next()
		if t == nil {
			break
		}
		w.run(t)
	}
	gone = false
}

// init runs the Initializer if it has not. It returns false if it cannot.
func (w *worker) init() bool {
	p := w.pool
	if w.ready || p.cfg.Initializer == nil {
		return true
	}
	h := queue.HandlerFunc(func(ctx context.Context, _ *queue.Message) ([]byte, error) { return nil, p.cfg.Initializer(ctx) })
	var last error
	for w.failed < initTries {
		if w.failed > 0 {
			pause := time.NewTimer(initPause << (w.failed - 1))
			select {
			case <-pause.C:
			case <-p.life.Done():
				pause.Stop()
			}
		}
		if p.life.Err() != nil {
			break
		}
		w.failed++ // first, as the Initializer may end the goroutine
		run.Call(p.life, h, nil, func(_ []byte, err error) { last = err })
		if last == nil {
			w.ready, w.failed = true, 0
			return true
		}
	}
	if last == nil {
		last = queue.ErrExited
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(fmt.Errorf("%w: the Initializer failed %d times in a row: %w", queue.ErrPoolBroken, w.failed, last))
	if w.handed {
		p.handed--
	}
	if w.slot {
		p.held--
	}
	p.spread()
	p.leave()
	return false
}

// run runs t, and begins the next task if there is one at once: to end the one and
// to begin the other takes the pool's lock once.
func (w *worker) run(t *task) {
	p, u := w.pool, t.turn
	t.run(w.lane, func(m *queue.Message, value []byte, err error) {
		w.prepare()
		w.lane.done()
		w.slot = u.end(m, value, err)
		defer p.mu.Unlock()
		if errors.Is(err, queue.ErrExited) {
			return // the goroutine may be ending
		}
		if w.begun = w.take(); w.begun == nil && p.mayStart() {
			p.hand(w) // on its way to next it counts, else another worker may be made in its place
		}
	})
}

// prepare makes the worker's next turn, while nobody waits for it.
func (w *worker) prepare() {
	if w.spare == nil {
		w.spare = &turn{}
	}
}

// take begins the next task, if there is one that w may run. p.mu is held.
func (w *worker) take() *task {
	p := w.pool
	if w.handed {
		w.handed = false
		p.handed--
	}
	if w.slot {
		w.slot = false
		p.held--
		p.welcome()
	}
	t := w.lane.take(w.spare)
	if t == nil {
		t = p.take(w.spare)
	}
	if t != nil {
		w.slot, w.spare = true, nil
		w.lane.prepare(t)
	}
	return t
}

// looks is how often a worker that finds no task lets other goroutines go on, and looks
// again, before it sleeps: to wake it costs more than a short task.
const looks = 2

// next waits for a task for w. It returns nil if w is not needed any more.
func (w *worker) next() *task {
	if t := w.begun; t != nil {
		w.begun = nil
		return t
	}
	p := w.pool
	w.prepare()
	p.mu.Lock()
	defer p.mu.Unlock()
	for looked := 0; ; looked++ {
		if t := w.take(); t != nil {
			return t
		}
		if p.closed && p.unfinished() == 0 || len(p.idle)+p.held >= p.size {
			w.lane.leave()
			p.leave()
			return nil
		}
		if looked < looks && p.mayStart() {
			p.hand(w) // so that nobody is woken for what it will find
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
			continue
		}
		w.lane.release()
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		wanted := <-w.wake
		p.mu.Lock()
		if !wanted {
			w.lane.leave()
			p.leave()
			return nil
		}
	}
}
