package faults

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// troubles are errors with which Redis refuses for a while what it will do later.
var troubles = []string{
	"READONLY You can't write against a read only replica.",
	"LOADING Redis is loading the dataset in memory",
	"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
	"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
	"OOM command not allowed when used memory > 'maxmemory'.",
	"NOGROUP No such key or consumer group",
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
	"CLUSTERDOWN The cluster is down",
	"TRYAGAIN Multiple keys request during rehashing of slot",
	"NOREPLICAS Not enough good replicas to write.",
}

// trouble refuses commands of one kind, a few in a row.
type trouble struct {
	mu   sync.Mutex
	verb string
	text string
	left int
}

func (x *trouble) fail(e exchange) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.verb != x.verb || x.left == 0 {
		return ""
	}
	x.left--
	return x.text
}

func (x *trouble) begin(text string, times int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.text, x.left = text, times
}

func (x *trouble) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.left == 0
}

// TestErrorsInEveryLoop refuses what each loop of producers and workers does over and
// over, more often in a row than the Redis client tries by itself. Every loop must
// be there when that is over.
func TestErrorsInEveryLoop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verb, loop string
		inRow      int            // how often: two calls of a Redis client that tries four times, and one more
		each       func(b *bench) // what is done besides submitting, until the errors are used up
	}{
		{verb: "submit", loop: "submissions", inRow: 9},
		{verb: "turn", loop: "turns", inRow: 9},
		{verb: "beat", loop: "heartbeats", inRow: 9},
		{verb: "blmove", loop: "the wait at the bell", inRow: 3}, // each is tried once
		{verb: "xrange", loop: "reading the reply log", inRow: 9, each: func(b *bench) { cutSubscriptions(b, nil) }},
		{verb: "subscribe", loop: "subscriptions", inRow: 3, each: func(b *bench) { cutSubscriptions(b, nil) }},
	} {
		t.Run(c.verb, func(t *testing.T) {
			t.Parallel()
			reached := inTable(t, "T17", "READONLY, LOADING, OOM and seven others refuse "+c.loop)
			cfg := steady
			if c.verb == "beat" {
				cfg.Lease = time.Second // for heartbeats to come often
			}
			var p *proxy
			b := newBench(t, setup{worker: cfg, reached: func(addr string) string {
				p = newProxy(t, addr)
				return p.addr()
			}})
			b.fleet.startMany(2)
			for _, w := range b.fleet.alive() {
				eventually(t, "worker "+w.name+" to start", w.started)
			}
			x := &trouble{verb: c.verb}
			p.refuse(x.fail)
			rounds := size(1, 10)
			for range rounds {
				for _, text := range troubles {
					x.begin(text, c.inRow)
					name, _, _ := strings.Cut(text, " ")
					eventually(t, name+" to be used up on "+c.verb, func() bool {
						b.load.spread(4, upTo(4), func() error { return b.load.insist(job{}) })
						if c.each != nil {
							c.each(b)
						}
						return x.over()
					})
					if !b.load.wait() {
						b.giveUp("after " + name + " a future is silent")
					}
				}
			}
			for _, w := range b.fleet.procs {
				if w.Gone() {
					t.Errorf("worker %s has ended; it said:\n%s", w.name, w.log())
				}
			}
			lapsed := int(b.fleet.lapsed())
			rep := b.finish(rules{Dups: lapsed * b.fleet.inFlight(), Crashes: lapsed})
			reached("%d errors in all: loops that ended 0, lost %d, run again %d", rounds*len(troubles)*c.inRow, rep.Lost, rep.Dups)
			if c.verb != "beat" && (rep.Lapsed > 0 || rep.Recovered > 0) {
				t.Errorf("%d tasks were taken over and %d leases lost: nothing was the matter with a worker", rep.Recovered, rep.Lapsed)
			}
		})
	}
}
