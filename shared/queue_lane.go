package shared

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

const (
	// laneBatch is how many calls travel together at most.
	laneBatch = 256
	// laneBytes is how many bytes of items travel together at most, unless one is longer;
	// lookBytes while it is not known whether there is room for any.
	laneBytes, lookBytes = 256 << 10, 16 << 10
	// lastWord is how long a caller whose context ends waits for what is on its way, so as
	// to know what has become of it.
	lastWord = time.Second
	// tellFor bounds how long one script is sent again. Redis remembers a lane's last one
	// for twice as long.
	tellFor = 30 * time.Minute
)

// errUnknown is for a call whose context has ended while it was on its way.
var errUnknown = errors.New("its reply has not come, and it may have happened")

// call is one of those that a lane carries.
type call struct {
	verb rune   // one of the verbs below
	data string // the item, or a ticket
	try  bool   // it does not wait
	none error  // what it gets if there is no room or no item, besides what has ended it

	done chan landed // gets one

	// Guarded by the lane's lock.
	flying bool
	over   bool  // done has got it
	left   error // what has ended its context
	alone  bool  // nobody waits for it any more
}

// The verbs of calls.
const (
	callPut    = 'p'
	callGet    = 'g' // data is the ticket of the reservation, "" for none
	callDone   = 'd'
	callAck    = 'a'
	callReturn = 'b'
	callUnget  = 'k' // an item goes back that came for a Get which nobody waits for
)

// waits reports whether it may have to wait for room or an item.
func (c *call) waits() bool { return c.verb == callPut || c.verb == callGet }

// landed is what has become of a call.
type landed struct {
	item  string
	sent  time.Time     // when it was first asked for
	lapse time.Duration // see holding.renewed
	err   error
}

// settle tells the caller. The lane's lock is held.
func (c *call) settle(r landed) {
	if !c.over {
		c.over = true
		c.done <- r
	}
}

// late is the error of a call that nothing came of before cause ended it.
func (c *call) late(cause error) error {
	if c.none == nil {
		return cause
	}
	return fmt.Errorf("%w: %w", c.none, cause)
}

// way is what a lane of Puts and a lane of Gets do differently.
type way interface {
	// args appends what a script is told that carries the calls.
	args(to []any, calls []*call) []any
	// read says what has become of each call by what follows the first two parts of the
	// script's reply; a call that is to wait gets nil. closed: there is nothing to wait
	// for. all: others may succeed at once. again: how long to wait for a ring at most, 0
	// for the usual time.
	read(reply []string, closed bool, calls []*call) (out []*landed, all bool, again time.Duration, err error)
}

// tubeLane carries the calls of this process to one end of a queue: many in one script, one
// script at a time, so that what comes while one is on its way travels together in the
// next. Calls that have to wait wait here, in their order, and in Redis the lane waits for
// them all. It has a goroutine while it has calls.
type tubeLane struct {
	t    *tube
	verb store.Verb
	way  way
	line string // of the tube's, where the lane waits

	mu     sync.Mutex
	queue  []*call // those that may have to wait, in order
	calm   int     // how many of them have not left
	urgent []*call // the others
	active bool
	closed bool
	idle   chan struct{} // closed when the lane is not active
	kick   chan struct{} // something is there that does not wait, or nobody waits any more

	// Owned by run.
	number uint64
	since  string // when it got in the line, by the server's clock; "0" if it is not
	tight  bool   // there was no room at the last look
}

func newTubeLane(t *tube, verb store.Verb, w way, line string) *tubeLane {
	idle := make(chan struct{})
	close(idle)
	return &tubeLane{t: t, verb: verb, way: w, line: line, idle: idle, kick: make(chan struct{}, 1), since: "0"}
}

// do carries the call and waits until it has landed, or ctx ends.
func (l *tubeLane) do(ctx context.Context, c *call) (landed, error) {
	if err := ctx.Err(); err != nil {
		return landed{}, c.late(err)
	}
	if err := l.send(c); err != nil {
		return landed{}, err
	}
	select {
	case r := <-c.done:
		return r, r.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	if c.left = ctx.Err(); !c.flying && !c.over {
		c.settle(landed{err: c.late(c.left)})
		if c.waits() {
			l.leftOne()
		}
	}
	l.mu.Unlock()
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case r := <-c.done:
		return r, r.err
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over {
		r := <-c.done
		return r, r.err
	}
	c.alone = true
	return landed{}, fmt.Errorf("%w: %w", c.left, errUnknown)
}

// leftOne notes that one of those that wait has left.
func (l *tubeLane) leftOne() {
	if l.calm--; l.calm == 0 {
		l.nudge()
	}
}

// send puts the call into the lane.
func (l *tubeLane) send(c *call) error {
	c.done = make(chan landed, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.active && !l.t.m.laneIn(l) {
		return errClosed
	}
	if c.waits() {
		l.queue = append(l.queue, c)
		l.calm++
	} else {
		l.urgent = append(l.urgent, c)
	}
	if c.try || !c.waits() {
		l.nudge()
	}
	if !l.active {
		l.active = true
		l.idle = make(chan struct{})
		go l.run()
	}
	return nil
}

func (l *tubeLane) nudge() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// next takes what the next script carries. If there is nothing to do, ok is false and the
// lane is no longer active.
func (l *tubeLane) next() (calls []*call, waits, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := func(c *call) bool { return c.over }
	l.urgent = slices.DeleteFunc(l.urgent, left)
	n := min(len(l.urgent), laneBatch)
	calls = append(calls, l.urgent[:n]...)
	l.urgent = slices.Delete(l.urgent, 0, n)

	l.queue = slices.DeleteFunc(l.queue, left)
	most, bytes := laneBytes, 0
	if l.tight {
		most = lookBytes
	}
	n = 0
	for n < min(len(l.queue), laneBatch) {
		if bytes += len(l.queue[n].data); n > 0 && bytes > most {
			break
		}
		waits = waits || !l.queue[n].try
		n++
	}
	calls = append(calls, l.queue[:n]...)
	l.queue = slices.Delete(l.queue, 0, n)
	l.calm -= n
	for _, c := range calls {
		c.flying = true
	}
	if len(calls) == 0 && l.since == "0" {
		l.active = false
		l.t.m.laneOut(l)
		close(l.idle)
		return nil, false, false
	}
	return calls, waits, true
}

// run carries calls until there are none.
func (l *tubeLane) run() {
	m := l.t.m
	var e *ear
	defer func() {
		if e != nil {
			m.ears.leave(e)
		}
	}()
	for {
		select { // what it tells of is seen by next
		case <-l.kick:
		default:
		}
		calls, waits, ok := l.next()
		if !ok {
			return
		}
		var rung <-chan struct{}
		if e != nil {
			rung = m.ears.rung(e) // before the look: what changes after it is heard
		}
		all, again, err := l.carry(calls, waits)
		l.tight = !all
		if all || err != nil || !l.blocked() {
			continue
		}
		if e == nil { // now it is worth listening
			if e, err = m.ears.open(m.life, l.t.channel(l.line)); err == nil {
				continue
			}
		}
		if again <= 0 || again > slowTick {
			again = slowTick
		}
		timer := time.NewTimer(again)
		select {
		case <-rung:
		case <-timer.C:
		case <-l.kick:
		case <-m.life.Done():
		}
		timer.Stop()
	}
}

// blocked reports whether there is nothing to do but to wait. A call that does not wait
// has no place behind others that do.
func (l *tubeLane) blocked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.queue {
		if c.try && !c.over {
			c.settle(landed{err: c.none})
			l.calm--
		}
	}
	return l.calm > 0 && len(l.urgent) == 0
}

// carry sends one script, again and again until it is known what has become of it.
func (l *tubeLane) carry(calls []*call, waits bool) (all bool, again time.Duration, err error) {
	l.number++
	m := l.t.m
	args := append(l.t.common(), l.t.me, l.number, l.since, digit(waits), l.t.ticket())
	args = l.way.args(args, calls)
	sent := time.Now()
	var reply []string
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		reply, err = m.store.Do(m.life, l.verb, l.t.root, args...)
		if !errors.Is(err, queue.ErrUnavailable) || m.life.Err() != nil || time.Since(sent) > tellFor {
			break
		}
		store.Pause(m.life, wait)
	}
	var out []*landed
	if err == nil {
		l.since, out, all, again, err = l.read(reply, calls)
	}
	if err != nil {
		l.since = "0"
		if m.life.Err() != nil {
			err = fmt.Errorf("%w; %w", errClosed, errUnknown)
		}
	}
	for _, r := range out {
		if r != nil {
			r.sent = sent
		}
	}
	l.settle(calls, out, all, err)
	return all, again, err
}

// read reads what all replies begin with, and leaves the rest to the way.
func (l *tubeLane) read(reply []string, calls []*call) (since string, out []*landed, all bool, again time.Duration, err error) {
	if len(reply) < 3 {
		return "0", nil, false, 0, fmt.Errorf("%w: a reply of %d parts", queue.ErrMalformed, len(reply))
	}
	switch reply[0] {
	case "size":
		return "0", nil, false, 0, l.t.missized(reply[1])
	case "lost":
		return "0", nil, false, 0, l.t.lost()
	case "stale":
		return "0", nil, false, 0, errUnknown
	}
	out, all, again, err = l.way.read(reply[2:], reply[0] == "closed", calls)
	return reply[1], out, all || reply[0] == "more", again, err
}

// settle tells the calls what has become of them, and has the others wait on, first in
// line.
func (l *tubeLane) settle(calls []*call, out []*landed, all bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait []*call
	for i, c := range calls {
		c.flying = false
		switch {
		case err != nil:
			c.settle(landed{err: err})
		case out[i] != nil:
			if c.alone && out[i].err == nil && c.verb == callGet {
				l.urgent = append(l.urgent, c.giveBack(out[i].item))
			}
			c.settle(*out[i])
		case c.left != nil:
			c.settle(landed{err: c.late(c.left)})
		case c.try && !all:
			c.settle(landed{err: c.none})
		case l.closed:
			c.settle(landed{err: errClosed})
		default:
			wait = append(wait, c)
		}
	}
	if len(wait) > 0 {
		l.calm += len(wait)
		l.queue = slices.Insert(l.queue, 0, wait...)
	}
}

// giveBack makes the call that gives back an item which came for a Get that nobody waits
// for any more.
func (c *call) giveBack(item string) *call {
	b := &call{verb: callUnget, data: item, done: make(chan landed, 1)}
	if c.data != "" {
		b.verb, b.data = callReturn, c.data
	}
	return b
}

// close ends every wait, and lets what is on its way land. ctx bounds it.
func (l *tubeLane) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	for _, c := range l.queue {
		if !c.over {
			c.settle(landed{err: errClosed})
			l.calm--
		}
	}
	idle := l.idle
	l.nudge()
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// laneIn notes that the lane has a goroutine from now on, which Close waits for. It says
// no once the manager is closed.
func (m *Manager) laneIn(l *tubeLane) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if m.lanes == nil {
		m.lanes = map[*tubeLane]struct{}{}
	}
	m.lanes[l] = struct{}{}
	m.work.Add(1)
	return true
}

func (m *Manager) laneOut(l *tubeLane) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lanes, l)
	m.work.Done()
}

// closeLanes closes the lanes that have calls. ctx bounds it.
func (m *Manager) closeLanes(ctx context.Context) error {
	m.mu.Lock()
	all := slices.Collect(maps.Keys(m.lanes))
	m.mu.Unlock()
	var errs []error
	for _, l := range all {
		errs = append(errs, l.close(ctx))
	}
	return errors.Join(errs...)
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// count reads a number that a script has written.
func count(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
