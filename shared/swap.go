package shared

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var swapScript = store.LoadVerb(luaFiles, "swap")

const (
	// patience is how often others may be faster before a manager wants a turn of its own.
	patience = 6
	// A turn lasts four times as long as the functions took last, and at least and at most:
	minTurn = 250 * time.Millisecond
	maxTurn = 10 * time.Second
	// batchSwaps bounds how many follow each other in one write.
	batchSwaps = 256
)

// unknown is a version that no value has.
const unknown = "?"

// cell is a value and its version, which grows with every change. Version "0" is none.
type cell struct{ version, value string }

// swap is one change to a value. Those of one manager are made one after the other to the
// value that it has seen last, and written together, if it is still that one.
type swap struct {
	seen *atomic.Pointer[cell] // what its object has seen last
	keep int64

	// One of these: what the value becomes, or a question to who asks for the change.
	what string // see swap.lua
	to   []byte
	when string // the version it must have; "" for any
	ask  chan cell

	made chan []byte   // the answer; nil for no change
	gone chan struct{} // closed when nobody waits any more

	done    chan struct{}
	ok      bool   // it was made; else the value has another version than when
	version string // if it was
	err     error
}

// fits reports whether a change can follow others in one write.
func (s *swap) fits(batch []*swap) bool {
	return len(batch) < batchSwaps && s.ask != nil && batch[0].ask != nil && s.keep == batch[0].keep
}

// apply asks all who want to change the value in turn. It returns what it becomes,
// whether that is a change, and who still waits.
func apply(batch []*swap, now cell) (to []byte, changed bool, left []*swap) {
	for _, s := range batch {
		select {
		case <-s.gone:
			continue
		default:
		}
		s.ask <- now // there is room: it is asked once, and answers
		select {
		case v := <-s.made:
			if v != nil {
				to, changed = v, true
				now.value = string(v)
				if now.version == "0" {
					now.version = "" // there is one, which has no version yet
				}
			}
			left = append(left, s)
		case <-s.gone:
		}
	}
	return to, changed, left
}

// serveSwaps makes the changes that wait to one value.
func (m *Manager) serveSwaps(root string, next func(func([]*swap, *swap) bool) []*swap) {
	var seen *cell
	for {
		batch := next(func(batch []*swap, s *swap) bool { return s.fits(batch) })
		if batch == nil {
			return
		}
		if last := batch[0].seen.Load(); last != nil && seen == nil {
			seen = last
		}
		a := &attempt{m: m, root: root, batch: batch, now: seen}
		if batch[0].ask != nil {
			a.turn = minTurn
		}
		err := m.await(m.life, root, a.try)
		if err == nil {
			err = a.err
		}
		if m.life.Err() != nil && err != nil {
			err = errClosed
		}
		if seen = a.now; err != nil {
			seen = nil
		}
		for _, s := range a.batch {
			s.seen.Store(seen)
			s.ok, s.err = a.ok, err
			if seen != nil {
				s.version = seen.version
			}
			close(s.done)
		}
	}
}

// attempt is a batch on its way to be written.
type attempt struct {
	m     *Manager
	root  string
	batch []*swap
	now   *cell // what is there, as far as is known
	ok    bool
	err   error // why it is given up

	lost int           // how often somebody was faster
	turn time.Duration // how long a turn should be; 0 for one that is tried once

	args []any     // what is sent until there is a reply
	to   cell      // what it makes of the value
	sent time.Time // when for the first time
}

// try sends the attempt, and another one while somebody else was faster.
func (a *attempt) try() (done bool, again time.Duration, err error) {
	for {
		if a.args == nil && !a.prepare() {
			return true, 0, nil // nobody waits any more
		}
		r, err := a.m.store.Do(a.m.life, swapScript, a.root, a.args...)
		if err != nil {
			if errors.Is(err, queue.ErrUnavailable) && time.Since(a.sent) > resendFor {
				a.err = err
				return true, 0, nil
			}
			return false, 0, err
		}
		asked := a.args[4] == unknown
		a.args = nil
		if len(r) < 2 || r[0] != "ok" && len(r) < 3 || r[0] == "wait" && len(r) < 4 {
			return false, 0, fmt.Errorf("%w: a reply of %d elements to a swap", queue.ErrMalformed, len(r))
		}
		first := a.batch[0]
		switch r[0] {
		case "ok":
			a.ok = true
			a.now = &cell{version: r[1], value: a.to.value}
			return true, 0, nil
		case "stale":
			a.now = &cell{version: r[1], value: r[2]}
			if first.ask == nil {
				return true, 0, nil
			}
			if !asked {
				a.lost++
			}
		case "wait":
			a.now = &cell{version: r[1], value: r[2]}
			a.lost++
			ms, _ := strconv.ParseInt(r[3], 10, 64)
			return false, time.Duration(max(ms, 1)) * time.Millisecond, nil
		default:
			return false, 0, fmt.Errorf("%w: a swap came to %q", queue.ErrMalformed, r[0])
		}
	}
}

// prepare makes what is to be sent next out of what is known to be there. It reports
// whether anybody waits for it.
func (a *attempt) prepare() bool {
	first := a.batch[0]
	what, when, to := first.what, first.when, first.to
	if first.ask != nil {
		if a.now == nil { // to be told what is there
			what, when, to = "c", unknown, nil
		} else {
			began := time.Now()
			made, changed, left := apply(a.batch, *a.now)
			a.turn = min(max(4*time.Since(began), minTurn), maxTurn)
			if a.batch = left; len(left) == 0 {
				return false
			}
			what, when, to = "c", a.now.version, []byte(a.now.value)
			if changed {
				what, to = "w", made
			}
		}
	}
	wants := 0
	if a.lost >= patience {
		wants = 1
	}
	a.to = cell{value: string(to)}
	a.args = []any{a.m.name, a.m.number.Add(1), first.keep, what, when, to, wants, a.turn.Milliseconds()}
	a.sent = time.Now()
	return true
}

// swap has a change made. f, if it is not nil, is asked what the value becomes, in this
// goroutine, and perhaps more than once.
func (o *object) swap(ctx context.Context, s *swap, f func(cell) []byte) error {
	if err := ctx.Err(); err != nil {
		return o.about(err)
	}
	s.keep = o.keep()
	s.gone, s.done = make(chan struct{}), make(chan struct{})
	if f != nil {
		s.ask, s.made = make(chan cell, 1), make(chan []byte, 1)
	}
	defer close(s.gone) // also if f panics
	if err := o.m.swaps.add(o.root, s); err != nil {
		return o.about(err)
	}
	for {
		select {
		case now := <-s.ask:
			s.made <- f(now)
		case <-s.done:
			return o.about(s.err)
		case <-ctx.Done():
			if o.m.swaps.withdraw(o.root, s) {
				return o.about(fmt.Errorf("%w: it was not sent", ctx.Err()))
			}
			return o.about(fmt.Errorf("%w: it may have happened", ctx.Err()))
		}
	}
}
