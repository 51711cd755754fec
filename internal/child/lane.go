package child

import (
	"context"
	"errors"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Errand is a task as it is sent to a child, at most once.
type Errand struct {
	ID      queue.TaskID
	Type    string
	Queue   string
	Message *queue.Message
	Wire    []byte // the wire form of the message; nil if it is to be made
	Attempt int
	Token   uint64
	Timeout time.Duration // for the handler, from its beginning on; 0 is none

	Doomed bool // its child is killed if it goes on for Grace, as the context has ended before Run
	Grace  time.Duration

	kid    *kid // for which it was numbered
	number uint64
	sent   bool // of the lane's goroutine
}

// TakeBack reports whether the child to which e was sent ahead has not begun it, and
// never will. It takes no time, and may be called by any goroutine.
func (e *Errand) TakeBack() bool { return e.kid != nil && e.kid.page.takeBack(e.number) }

const (
	// Ahead is how many tasks a child is sent at most, beside the one that it runs.
	Ahead = 8
	// maxAhead is how large the message of such a task may be. All of them fit into a
	// pipe, however small the system makes it: if the parent had to wait for room there
	// it could not read, and the child that writes a long value would never get to make room.
	maxAhead = 400
)

// Lane is the way of one goroutine to one child at a time. A task needs no way there and
// back through two pipes if the child has the next one already when it ends: those are
// sent ahead. Its methods are for that goroutine.
type Lane struct {
	crew  *Crew
	kid   *kid      // nil until it is needed
	ahead []*Errand // numbered, to be sent with the next task
}

// Lane makes a lane.
func (c *Crew) Lane() *Lane { return &Lane{crew: c} }

// Room is how many tasks may be sent ahead, of those that are not yet; waiting is how many
// were.
func (l *Lane) Room(waiting int) int {
	k := l.kid
	if k == nil || k.page == nil || l.crew.cfg.MaxMemory > 0 {
		return 0 // a child that has too much memory after a task gets no other one
	}
	room := Ahead - waiting
	if most := l.crew.cfg.MaxTasks; most > 0 {
		room = min(room, most-k.tasks-waiting-1)
	}
	if old := l.crew.cfg.MaxLifetime; old > 0 && time.Since(k.born) >= old {
		return 0
	}
	return max(room, 0)
}

// Follows reports whether e was sent to the lane's child, so that Run of it only waits.
// One of which it says no must be made anew.
func (l *Lane) Follows(e *Errand) bool { return l.kid != nil && e.kid == l.kid && !e.back() }

func (e *Errand) back() bool { return e.kid.page.task(e.number).Load() == e.number<<2|stateBack }

// Fits reports whether a task with this message may be sent ahead.
func Fits(queue string, wire []byte) bool { return len(queue)+len(wire) <= maxAhead }

// Number gives e its place in the row of what the lane's child is sent: the next Run sends
// it. Room must have said that there is some, and the task of that Run must be numbered
// before others.
func (l *Lane) Number(e *Errand) {
	l.kid.number(e)
	l.ahead = append(l.ahead, e)
}

func (k *kid) number(e *Errand) {
	e.kid, e.number = k, k.last.Add(1)
	k.page.send(e.number)
}

// Release gives the lane's child back, if it has one. Nothing may be on its way to it.
func (l *Lane) Release() {
	if k := l.kid; k != nil {
		l.kid = nil
		l.crew.put(k, false, false)
	}
}

// drop gives the child back for others to bury. unfit says that it has never begun
// anything.
func (l *Lane) drop(unfit bool) {
	k := l.kid
	l.kid, l.ahead = nil, nil
	l.crew.put(k, true, unfit)
}

// recall takes back what was numbered and not sent.
func (l *Lane) recall() {
	for _, a := range l.ahead {
		a.TakeBack()
	}
	l.ahead = l.ahead[:0]
}

// Run runs e in the lane's child, or in one for which it waits. It is [Crew.Handle]
// otherwise.
func (l *Lane) Run(ctx context.Context, e *Errand) (value []byte, err error) {
	for {
		if l.kid != nil && e.kid != l.kid && l.crew.old(l.kid) {
			l.Release()
		}
		if l.kid == nil {
			if l.kid, err = l.crew.get(ctx); err != nil {
				return nil, err
			}
		}
		if e.kid != l.kid {
			e.sent = false
			l.kid.number(e)
		}
		value, begun, err := l.run(ctx, e)
		if begun {
			return value, err
		} // the child was gone before: another one
	}
}

// run runs e in the lane's child. begun is false if it was never begun there, and is
// to be run elsewhere.
//
//nolint:revive // the error is the task's
func (l *Lane) run(ctx context.Context, e *Errand) (value []byte, begun bool, err error) {
	c, k := l.crew, l.kid
	if ctx.Err() != nil && (!e.sent || e.TakeBack()) {
		l.recall()
		return nil, true, context.Cause(ctx)
	}
	r := &task{number: e.number, kind: e.Type, attempt: e.Attempt, host: queue.HostOf(ctx)}
	k.begin(r)
	if e.Doomed {
		r.keep(time.AfterFunc(e.Grace, func() { k.cut(r, k.kill) }))
	}
	err = l.send(e)
	if errors.Is(err, queue.ErrTooLarge) {
		l.recall()
		k.task.Store(nil)
		r.end()
		return nil, true, err
	}
	// also if the child is gone: it may have begun the task, and even ended it
	var how int
	how, value, err = k.do(ctx, c, r)
	if how == lost {
		k.kill()
		<-k.gone // and its last words have been passed on
		begun = e.sent && k.page.begun(e.number)
		if begun || r.killed.Load() || k.unwanted.Load() {
			begun, err = true, k.why(ctx, r)
		}
	} else {
		begun = true
	}
	k.task.Store(nil)
	r.end()
	if begun {
		k.tasks++
	}
	switch {
	case how == lost:
		l.drop(!begun && k.tasks == 0 && !k.fat.Load())
	case r.killed.Load():
		k.kill() // it is dying: not for the next one
		l.drop(false)
	}
	return value, begun, err
}

// send writes e, if it was not, and what is to be sent ahead.
func (l *Lane) send(e *Errand) error {
	k := l.kid
	b := k.wire[:0]
	var err error
	if !e.sent {
		if b, err = e.append(b); err != nil {
			return err
		}
		e.sent = true
	}
	for _, a := range l.ahead {
		if a.sent {
			continue
		}
		b, _ = a.append(b) // it fits
		a.sent = true
	}
	l.ahead = l.ahead[:0]
	if k.wire = b; cap(b) > 1<<20 {
		k.wire = nil
	}
	if len(b) > 0 {
		_, _ = k.to.Write(b) // a child that is gone shows when it is read from
	}
	return nil
}

// append appends e's frame to b, which is as it was if it is an error.
func (e *Errand) append(b []byte) ([]byte, error) {
	from := len(b)
	wire := e.Wire
	if wire == nil {
		wire = e.Message.AppendWire(nil)
	}
	b = appendUint(append(b, 0, 0, 0, 0, frameTask, 0x90|7), e.number)
	b = appendBin(b, wire)
	b = appendBin(b, e.ID[:])
	b = appendBin(b, e.Queue)
	b = appendUint(appendUint(b, uint64(e.Attempt)), e.Token)                                //nolint:gosec // a count
	b = appendUint(b, uint64(max(e.Timeout, 0)+time.Microsecond-1)/uint64(time.Microsecond)) //nolint:gosec // positive
	if _, err := endFrame(b[from:]); err != nil {
		return b[:from], err
	}
	return b, nil
}
