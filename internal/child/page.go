package child

import (
	"sync/atomic"
	"unsafe"
)

// page is memory that a parent shares with one child: where the child is in what it was
// sent, which can be read there also when it is dead. It has a word a task, found by
// the lowest bits of its number: the number and what became of it. A child that begins
// a task says so there, and does not begin one that was taken back: whoever is first wins.
//
// There is none where a system has no such memory. Then a child counts as having
// begun all that it was sent, and is sent one task at a time.
type page struct{ mem []byte }

const (
	pageSize = 4 << 10
	places   = 64 // for tasks; there are never so many between a parent and its child

	stateSent  = 0
	stateBegun = 1
	stateBack  = 2
)

func (p *page) word(at uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&p.mem[8*at])) //nolint:gosec // aligned, as a mapping begins with a page
}

func (p *page) task(n uint64) *atomic.Uint64 { return p.word(n % places) }

// current is where the child says which task it has begun last, and reading where the parent
// says how many of its readers have read something of the child's output that they have not passed
// on yet.
func (p *page) current() *atomic.Uint64 { return p.word(places) }
func (p *page) reading() *atomic.Uint64 { return p.word(places + 1) }

// send notes that task n is on its way.
func (p *page) send(n uint64) {
	if p != nil {
		p.task(n).Store(n<<2 | stateSent)
	}
}

// begin reports whether the child may begin task n.
func (p *page) begin(n uint64) bool {
	if p == nil {
		return true
	}
	if !p.task(n).CompareAndSwap(n<<2|stateSent, n<<2|stateBegun) {
		return false
	}
	p.current().Store(n)
	return true
}

// takeBack reports whether the child has not begun task n, and never will.
func (p *page) takeBack(n uint64) bool {
	if p == nil {
		return false
	}
	w := p.task(n)
	return w.CompareAndSwap(n<<2|stateSent, n<<2|stateBack) || w.Load() == n<<2|stateBack
}

// begun reports whether the child has begun task n.
func (p *page) begun(n uint64) bool { return p == nil || p.task(n).Load() == n<<2|stateBegun }
