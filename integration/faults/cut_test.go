package faults

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// cutter cuts every second connection over which a reply of the given kind comes,
// until it has done so often enough.
type cutter struct {
	verb   string
	wanted int64
	before func() // what must happen first
	held   atomic.Bool
	seen   atomic.Int64
	cuts   atomic.Int64
}

func (c *cutter) cut(x exchange) bool {
	if x.verb != c.verb || x.none() || c.held.Load() || c.done() || c.seen.Add(1)%2 == 0 {
		return false
	}
	if c.before != nil {
		c.before()
	}
	c.cuts.Add(1)
	return true
}

func (c *cutter) done() bool { return c.cuts.Load() >= c.wanted }

// TestReplyCut cuts connections after Redis has carried a command out and before
// its reply arrives: what is sent again must not happen again. No lease can lapse
// meanwhile, so nothing may need that.
func TestReplyCut(t *testing.T) {
	t.Parallel()
	stream := steady
	stream.Queues = []consumer.Queue{{Name: "events", Group: "g"}}
	often := stream // trims with its heartbeats
	often.Lease = 3 * time.Second
	for _, c := range []struct {
		verb string
		cuts int
		cfg  workerConfig
		// each is what is done besides submitting, until the cuts are made
		each func(b *bench, knife *cutter)
	}{
		{verb: "submit", cuts: 30, cfg: steady},
		{verb: "rpushx", cuts: 30, cfg: steady, each: pileUp},
		{verb: "turn", cuts: 30, cfg: steady},
		{verb: "leave", cuts: 8, cfg: steady, each: replaceWorker},
		{verb: "blmove", cuts: 30, cfg: steady},
		{verb: "xrange", cuts: 30, cfg: steady, each: cutSubscriptions},
		{verb: "push:subscribe", cuts: 30, cfg: steady, each: cutSubscriptions},
		{verb: "push:message", cuts: 30, cfg: steady},
		{verb: "cancel", cuts: 30, cfg: steady, each: cancelOne},
		{verb: "open", cuts: 30, cfg: steady, each: cancelOne},
		{verb: "declare", cuts: 30, cfg: steady, each: declareOne},
		{verb: "say", cuts: 30, cfg: steady},
		{verb: "record", cuts: 4, cfg: steady, each: mapSlowly},
		{verb: "join", cuts: 8, cfg: stream, each: replaceWorker},
		{verb: "trim", cuts: 4, cfg: often},
	} {
		t.Run(c.verb, func(t *testing.T) {
			t.Parallel()
			reached := inTable(t, "T9", "replies lost of "+c.verb)
			knife := &cutter{verb: c.verb, wanted: int64(size(c.cuts, 100))}
			b := newCutBench(t, c.cfg, knife)
			if len(c.cfg.Queues) > 0 {
				b.onStream("events", "g")
			} else {
				b.load.chains = true
			}
			b.fleet.startMany(2)
			for _, p := range b.fleet.alive() {
				eventually(t, "worker "+p.name+" to be ready", p.started)
			}
			b.untilCut(knife, c.each)
			may := rules{Others: c.each != nil}
			if c.cfg.Lease < steady.Lease { // see TestHeartbeatCut
				b.load.wait()
				may.Crashes = int(b.fleet.lapsed())
				may.Dups = may.Crashes * b.fleet.inFlight()
			}
			rep := b.finish(may)
			reached("%d lost, %d tasks: lost %d, completed twice %d, run again %d", knife.cuts.Load(), rep.Accepted, rep.Lost, rep.Twice, rep.Dups)
			if may.Crashes == 0 && (rep.Recovered > 0 || rep.Lapsed > 0) {
				t.Errorf("%d tasks were taken over and %d leases lost: nothing was the matter with a worker", rep.Recovered, rep.Lapsed)
			}
		})
	}
}

// TestHeartbeatCut cuts the replies of heartbeats. Their leases are short, for
// heartbeats to come often, so on a machine that is too slow one may be lost; what
// runs again must be explained by that.
func TestHeartbeatCut(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T9", "replies lost of beat")
	knife := &cutter{verb: "beat", wanted: int64(size(30, 100))}
	cfg := steady
	cfg.Lease = 3 * time.Second
	knife.held.Store(true) // a worker that cannot sign on says so and ends, as it should
	b := newCutBench(t, cfg, knife)
	b.fleet.startMany(4)
	for _, p := range b.fleet.alive() {
		eventually(t, "worker "+p.name+" to start", p.started)
	}
	knife.held.Store(false)
	b.untilCut(knife, func(_ *bench, knife *cutter) {
		before := knife.cuts.Load()
		eventually(t, "another heartbeat to be cut", func() bool { return knife.cuts.Load() > before || knife.done() })
	})
	b.load.wait()
	lost := int(b.fleet.lapsed())
	rep := b.finish(rules{Dups: lost * b.fleet.inFlight(), Crashes: lost})
	reached("%d lost, %d tasks: lost %d, completed twice %d, run again %d", knife.cuts.Load(), rep.Accepted, rep.Lost, rep.Twice, rep.Dups)
}

// newCutBench makes a bench whose producer and workers meet the knife.
func newCutBench(t *testing.T, cfg workerConfig, knife *cutter) *bench {
	t.Helper()
	var p *proxy
	b := newBench(t, setup{worker: cfg, reached: func(addr string) string {
		p = newProxy(t, addr)
		return p.addr()
	}})
	if knife.verb == "submit" {
		// The task is to be done and forgotten before it is submitted again.
		knife.before = b.drained
	}
	p.on(knife.cut, nil)
	return b
}

// untilCut submits a few tasks at a time, of all kinds, until the knife has done
// its work.
func (b *bench) untilCut(knife *cutter, each func(*bench, *cutter)) {
	b.t.Helper()
	began := time.Now()
	for round := 1; !knife.done(); round++ {
		if time.Since(began) > patience {
			b.t.Fatalf("only %d of %d replies of %s were there to be cut within %v", knife.cuts.Load(), knife.wanted, knife.verb, patience)
		}
		before := b.load.heard.Load()
		few := 1 + round%4
		b.load.spread(few, upTo(few), func() error {
			j := job{Micros: 200 * (round % 3), N: int(b.load.last.Add(1)), Says: knife.verb == "say"}
			var opts []queue.Option
			switch {
			case b.stream != "":
				opts = append(opts, queue.OnStream("events"), queue.ReplyFrom("g"))
			case j.N%4 == 1:
				opts = append(opts, queue.ID(fmt.Sprintf("job-%d", j.N)))
			case j.N%4 == 2:
				opts = append(opts, queue.Prioritized(queue.High))
			}
			_, err := b.load.resubmit(j, opts...)
			return err
		})
		if !within(func() bool { return b.load.heard.Load() >= before+int64(few) }) {
			b.giveUp(fmt.Sprintf("after %d cuts of %s a future is silent", knife.cuts.Load(), knife.verb))
		}
		if each != nil {
			each(b, knife)
		}
	}
}

// replaceWorker makes a worker drain and end, and starts another one.
func replaceWorker(b *bench, _ *cutter) {
	old := b.fleet.alive()[0]
	b.fleet.start()
	old.stop()
	old.endsWell()
}

// pileUp submits task by task, at first with others and then alone, faster than the workers
// work: where a backlog is long tasks come without a script.
func pileUp(b *bench, knife *cutter) {
	b.t.Helper()
	submit := func(n int) {
		for i := 0; i < n && !knife.done(); i++ {
			if _, err := b.load.submit(job{Micros: 100_000}); err != nil {
				b.t.Error(err)
			}
		}
	}
	var callers sync.WaitGroup
	for range 5 { // together they are faster than the workers, however slow the machine
		callers.Go(func() { submit(50) })
	}
	callers.Wait()
	submit(250)
	if !b.load.wait() {
		b.giveUp("a task that came without a script has no outcome")
	}
}

// cancelOne submits a task that is not to start yet, asks for it by its id, and
// cancels it.
func cancelOne(b *bench, _ *cutter) {
	b.t.Helper()
	ctx := b.t.Context()
	fut, err := work.Submit(ctx, b.load.client, job{}, queue.Delay(time.Hour))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := work.Open(ctx, b.load.client, fut.ID()); err != nil {
		b.t.Errorf("open a task that waits: %v", err)
	}
	if r, err := fut.Cancel(ctx); r != queue.CancelBeforeStart || err != nil {
		b.t.Errorf("cancelling a task that waits: %v, %v", r, err)
	}
}

// declareOne declares a queue, twice.
func declareOne(b *bench, _ *cutter) {
	b.t.Helper()
	name := fmt.Sprintf("queue-%d", b.load.last.Load())
	want := queue.Layout{Kind: queue.KindList, Partitions: 3}
	for range 2 {
		if got, err := b.load.client.Declare(b.t.Context(), name, want); err != nil || got.Partitions != 3 {
			b.t.Errorf("declare %s: %+v, %v", name, got, err)
		}
	}
}

// mapSlowly runs a chunk that takes long enough to put on record what it has come to.
func mapSlowly(b *bench, _ *cutter) {
	b.t.Helper()
	n := 0
	for i, err := range slowly.Map(b.t.Context(), b.load.client, slices.Values([]int{0, 1, 2, 3, 4, 5, 6, 7}), queue.Chunk(8)) {
		if err != nil || i != n {
			b.t.Fatalf("item %d of a Map is %d, %v", n, i, err)
		}
		n++
	}
	if n != 8 {
		b.t.Errorf("a Map of 8 items has %d values", n)
	}
}

// cutSubscriptions cuts all subscriptions.
func cutSubscriptions(b *bench, _ *cutter) {
	b.t.Helper()
	if err := b.rdb.ClientKillByFilter(b.t.Context(), "TYPE", "pubsub").Err(); err != nil {
		b.t.Errorf("CLIENT KILL TYPE pubsub: %v", err)
	}
}

// TestHalfOpenBell sends idle workers away from the bell while the server believes
// them there: a task that is handed to a connection without anybody at its end
// must not need the worker to die.
func TestHalfOpenBell(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T9", "replies of a wait at the bell that nobody is at the end of")
	rounds := size(3, 10)
	var p *proxy
	b := newBench(t, setup{worker: steady, reached: func(addr string) string {
		p = newProxy(t, addr)
		return p.addr()
	}})
	b.fleet.startMany(1)
	for range rounds {
		if _, err := b.load.submit(job{}); err != nil { // makes the worker leave the bell and come back
			t.Fatal(err)
		}
		left := make(chan struct{})
		var once atomic.Bool
		p.leave(func(x exchange) bool {
			if x.verb != "blmove" || !once.CompareAndSwap(false, true) {
				return false
			}
			close(left)
			return true
		})
		eventually(t, "a worker to listen", func() bool { return isClosed(left) })
		for range 3 {
			if _, err := b.load.submit(job{}); err != nil {
				t.Fatal(err)
			}
		}
		if !b.load.wait() {
			b.giveUp("a task that was handed to a connection without anybody is stuck")
		}
	}
	rep := b.finish(rules{})
	reached("%d lost, %d tasks: lost %d, completed twice %d, run again %d", rounds, rep.Accepted, rep.Lost, rep.Twice, rep.Dups)
}
