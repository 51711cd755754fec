package consumer

import (
	"sync"
	"time"
)

// slots shares a worker's room for tasks among its ports. All of a worker's
// books are under its one mutex: they are touched a few times a task, for
// nanoseconds.
type slots struct {
	mu    sync.Mutex
	ports []*port

	size      int  // tasks that may run at once
	mostAhead int  // tasks that may be held beyond those
	strict    bool // serve the first hungry port, instead of sharing
	stopped   bool // claim nothing more
	shut      bool // claim nothing for now: no child process can be started

	held      int   // tasks here: running or waiting in the crew
	lent      int   // slots of those whose handlers let others have them, see host.Aside
	asked     int   // tasks asked for by turns that are under way
	listening int   // ports that wait at their bells
	emptying  *port // a task waits, in this port's line, for the worker to be empty
	alone     bool  // that task is running

	ahead pace
}

// free is how many more tasks the worker has room for. Nothing is kept for what
// may come over the bells: a worker with few slots and many lines could serve
// only those that it listens to, and one with a single busy line would leave
// slots empty. What comes when there is no room goes back.
func (s *slots) free() int {
	if s.shut {
		return 0
	}
	return s.size + s.lent + s.ahead.want - s.held - s.asked
}

// spare is how many slots stand empty.
func (s *slots) spare() int {
	if s.shut {
		return 0
	}
	return s.size + s.lent - s.held - s.asked
}

// grant says how many tasks p may claim now. s.mu is held.
func (s *slots) grant(p *port) int {
	free := min(s.free(), claimMost)
	if s.stopped || s.alone || free <= 0 {
		return 0
	}
	if s.emptying != nil {
		if s.emptying == p && s.empty() {
			return 1
		}
		return 0
	}
	for _, q := range s.ports {
		if q == p || q.dry || q.stuck || !q.signed {
			continue
		}
		if s.strict && q.rank < p.rank || !s.strict && !p.dry && q.served < p.served || !s.strict && p.dry {
			q.lanes.Signal()
			return 0
		}
	}
	return free
}

// empty reports whether nothing runs here nor may come.
func (s *slots) empty() bool { return s.held == 0 && s.asked == 0 && s.listening == 0 }

// charge books what p claimed on its share.
func (s *slots) charge(p *port, n int) { p.served += float64(n) / p.weight }

// hungry notes that p's line has something, or may have. A port that had nothing
// for a while must not make up for it at the cost of the others.
func (s *slots) hungry(p *port) {
	if !p.dry {
		return
	}
	p.dry = false
	least, any := 0.0, false
	for _, q := range s.ports {
		if q != p && !q.dry && (!any || q.served < least) {
			least, any = q.served, true
		}
	}
	if any && p.served < least {
		p.served = least
	}
	p.lanes.Signal()
}

// pace measures how many tasks a worker has to hold beyond those that run, so
// that none of its slots waits for a round trip: as many as are run during two of
// them. For tasks that take much longer than a round trip that is none, so that
// nothing waits here behind a slow task while another worker is idle.
type pace struct {
	want int

	runs  int           // since the last turn
	spent time.Duration // by those runs
	bytes int           // of those tasks' messages

	each time.Duration // what a task takes, smoothed
	size float64       // bytes of a message, smoothed
	trip time.Duration // what a round trip takes, smoothed
}

// mostAheadBytes bounds what is held ahead.
const mostAheadBytes = 8 << 20

// ran books a task.
func (a *pace) ran(took time.Duration, bytes int) {
	a.runs++
	a.spent += took
	a.bytes += bytes
}

// short reports whether tasks take so little time that some end before long.
func (a *pace) short() bool { return a.trip > 0 && a.each < soon }

// turned books a round trip and sets want.
func (a *pace) turned(trip time.Duration, size, most int) {
	if a.trip == 0 {
		a.trip = trip
	}
	a.trip += (trip - a.trip) / 8
	if a.runs == 0 {
		return
	}
	each := a.spent / time.Duration(a.runs)
	bytes := float64(a.bytes) / float64(a.runs)
	a.runs, a.spent, a.bytes = 0, 0, 0
	if a.size == 0 {
		a.each, a.size = each, bytes
	}
	a.each += (each - a.each) / 4
	a.size += (bytes - a.size) / 4
	want := float64(size) * 2 * float64(a.trip) / float64(max(a.each, 200*time.Nanosecond))
	a.want = int(min(want, float64(most), mostAheadBytes/max(a.size, 1)))
}
