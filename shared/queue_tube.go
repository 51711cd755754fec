package shared

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// The scripts of queues and pipes, and the lines in which lanes and joiners wait.
var (
	putVerb   = store.LoadVerb(luaFiles, "queue_put")
	takeVerb  = store.LoadVerb(luaFiles, "queue_take")
	closeVerb = store.LoadVerb(luaFiles, "queue_close")
	joinVerb  = store.LoadVerb(luaFiles, "queue_join")
	lookVerb  = store.LoadVerb(luaFiles, "queue_look")
	openVerb  = store.LoadVerb(luaFiles, "pipe_open")
	passVerb  = store.LoadVerb(luaFiles, "pipe_release")
	wipeVerb  = store.LoadVerb(luaFiles, "queue_wipe")

	// tubeLeases are those of reservations and of the ends of pipes.
	tubeLeases = &leaseKind{renew: store.LoadVerb(luaFiles, "queue_renew"), free: store.LoadVerb(luaFiles, "queue_free")}
)

const (
	getters = "getters"
	putters = "putters"
	joiners = "joiners"
)

// tube is a queue of bytes, or one direction of a pipe, as one handle sees it.
type tube struct {
	object
	dir  string // see _queue.lua
	size int
	me   string // no other handle's
	end  *grip  // nil for a queue

	puts, gets *tubeLane
}

func newTube(o object, dir string, size int, e *grip) *tube {
	t := &tube{object: o, dir: dir, size: size, end: e}
	t.me = o.m.name + "." + strconv.FormatUint(o.m.handles.Add(1), 36)
	t.puts = newTubeLane(t, putVerb, putWay{}, putters)
	t.gets = newTubeLane(t, takeVerb, takeWay{t}, getters)
	return t
}

// common is what scripts are told first.
func (t *tube) common() []any { return []any{t.dir, t.size, t.keep()} }

// channel is where this handle is rung that waits in the line.
func (t *tube) channel(line string) string { return t.root + t.dir + ":" + line + ":" + t.me }

// ticket is that of the end of the pipe, if it is one.
func (t *tube) ticket() string {
	if t.end == nil {
		return ""
	}
	return t.end.h.ticket
}

func (t *tube) missized(size string) error {
	return fmt.Errorf("%w: it was opened first with room for %s items, and now for %d (0 is any number); open it with the same maxsize everywhere, or delete it", ErrMismatch, size, t.size)
}

func (t *tube) lost() error {
	if t.end != nil {
		return t.end.lost()
	}
	return ErrLost
}

// errShut is for whoever puts into a queue that is closed, or gets from one that is empty besides.
var errShut = fmt.Errorf("%w: the queue, by CloseSend", queue.ErrClosed)

// putWay is how Puts travel.
type putWay struct{}

func (putWay) args(to []any, calls []*call) []any {
	for _, c := range calls {
		to = append(to, c.data)
	}
	return to
}

func (putWay) read(reply []string, closed bool, calls []*call) ([]*landed, bool, time.Duration, error) {
	out := make([]*landed, len(calls))
	n := count(reply[0])
	for i := range out {
		switch {
		case i < n:
			out[i] = &landed{}
		case closed:
			out[i] = &landed{err: errShut}
		}
	}
	return out, closed || n == len(calls), 0, nil
}

// takeWay is how all else travels.
type takeWay struct{ t *tube }

func (w takeWay) args(to []any, calls []*call) []any {
	var dones int
	var acks, returns, ungets, wants []any
	for _, c := range calls {
		switch c.verb {
		case callDone:
			dones++
		case callAck:
			acks = append(acks, c.data)
		case callReturn:
			returns = append(returns, c.data)
		case callUnget:
			ungets = append(ungets, c.data)
		case callGet:
			wants = append(wants, c.data)
		}
	}
	to = append(to, dones)
	for _, list := range [...][]any{acks, returns, ungets} {
		to = append(append(to, len(list)), list...)
	}
	return append(to, wants...)
}

func (w takeWay) read(reply []string, closed bool, calls []*call) ([]*landed, bool, time.Duration, error) {
	malformed := fmt.Errorf("%w: a reply of %d parts to %d calls", queue.ErrMalformed, len(reply), len(calls))
	if len(reply) < 3 {
		return nil, false, 0, malformed
	}
	lapse := time.Duration(count(reply[0])) * time.Millisecond
	dones, settled := count(reply[1]), count(reply[2])
	if settled < 0 || len(reply) < 3+settled {
		return nil, false, 0, malformed
	}
	mine, items := reply[3:3+settled], reply[3+settled:]
	out := make([]*landed, len(calls))
	all := true
	// Acks come before returns, in the reply as in the request.
	for _, verb := range [...]rune{callAck, callReturn} {
		for i, c := range calls {
			if c.verb != verb {
				continue
			}
			if len(mine) == 0 {
				return nil, false, 0, malformed
			}
			out[i] = &landed{}
			if mine[0] != "1" {
				out[i].err = ErrLost
			}
			mine = mine[1:]
		}
	}
	for i, c := range calls {
		switch c.verb {
		case callDone:
			out[i] = &landed{}
			if dones--; dones < 0 {
				out[i].err = ErrDone
			}
		case callUnget:
			out[i] = &landed{}
		case callGet:
			switch {
			case len(items) > 0:
				out[i] = &landed{item: items[0], lapse: lapse}
				items = items[1:]
			case closed:
				out[i] = &landed{err: errShut}
			default:
				all = false
			}
		}
	}
	return out, all, lapse, nil
}
