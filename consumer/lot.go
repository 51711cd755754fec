package consumer

import (
	"slices"
	"time"

	"github.com/cenote-go/cenote/internal/store"
)

// lot is a claim that Redis keeps as a whole, as long as its tasks do nothing but
// succeed, and soon. w.slots.mu guards it.
type lot struct {
	store.LotEnd
	size  int         // how many tasks it has
	ends  []store.End // of those that are over
	open  bool        // it is neither over nor broken
	timer *time.Timer
}

const (
	// lotFor is how long a lot's ends are kept back until the last one comes.
	lotFor = 5 * time.Millisecond
	// steady is how many tasks in a row must have ended in the plain way before what
	// is claimed may be a lot: to break one costs more than not to have made it.
	steady = 256
)

// newLot makes the lot that the turn t has claimed. w.slots.mu is held.
func (p *port) newLot(t *store.Turn, size int) *lot {
	l := &lot{size: size, open: true, ends: make([]store.End, 0, size)}
	l.Lot = store.Lot{Lane: t.Lane, Number: t.Number}
	p.lots++
	life := p.life
	l.timer = time.AfterFunc(lotFor, func() {
		s := &p.w.slots
		s.mu.Lock()
		defer s.mu.Unlock()
		if life == p.life {
			p.breakLot(l)
		}
	})
	return l
}

// lotted takes the end of one of l's tasks, and reports whether that is all to do.
// w.slots.mu is held.
func (p *port) lotted(l *lot, e *store.End) bool {
	if l == nil || !l.open {
		return false
	}
	if !e.Unwanted() {
		p.breakLot(l)
		return false
	}
	l.ends = append(l.ends, *e)
	if len(l.ends) == l.size {
		p.closeLot(l)
		p.over = append(p.over, l)
	}
	return true
}

// breakLot has all ends of l's tasks told by themselves. w.slots.mu is held.
func (p *port) breakLot(l *lot) {
	if !l.open {
		return
	}
	p.streak = 0
	l.Broken = true
	p.closeLot(l)
	p.broken = append(p.broken, l)
	p.ends = append(p.ends, l.ends...)
	p.lanes.Signal()
}

// closeLot takes l off the books. w.slots.mu is held.
func (p *port) closeLot(l *lot) {
	l.open = false
	l.timer.Stop()
	p.lots--
}

// tellLots fills in the lots of t. That a lot is broken goes with every turn until one is
// answered: no end of its tasks may come before that. w.slots.mu is held.
func (p *port) tellLots(t *store.Turn) (told []*lot) {
	t.Lots = t.Lots[:0]
	if len(p.over)+len(p.broken) == 0 {
		return nil
	}
	told = slices.Concat(p.over, p.broken)
	p.over = nil
	for _, l := range told {
		t.Lots = append(t.Lots, l.LotEnd)
	}
	return told
}

// reviewLots books that a turn that told of lots was answered. w.slots.mu is held.
func (p *port) reviewLots(told []*lot, unknown []int) {
	for _, i := range unknown { // somebody has to do with one of its tasks
		if i < len(told) {
			p.ends = append(p.ends, told[i].ends...)
		}
	}
	p.broken = slices.DeleteFunc(p.broken, func(l *lot) bool { return slices.Contains(told, l) })
}

// dropLots forgets all lots: they are another worker's now. w.slots.mu is held.
func (p *port) dropLots() { p.over, p.broken, p.lots, p.streak = nil, nil, 0, 0 }

// untold is how many tasks there are to tell of. w.slots.mu is held.
func (p *port) untold() int {
	n := len(p.ends)
	for _, l := range p.over {
		n += l.size
	}
	return n
}
