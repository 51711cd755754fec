package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// maxBatchBytes is how much a round trip carries before the rest waits for the
// next one.
const maxBatchBytes = 4 << 20

// lane carries submissions to one partition, one round trip after the other.
// What arrives during a round trip leaves together with the next: no timer, and
// nobody waits who could have left.
type lane struct {
	store *store.Store
	from  string
	at    place
	kind  queue.Kind

	patience time.Duration // for replicas

	mu      sync.Mutex
	waiting []*trip
	spare   []store.Item   // room for the items of a trip
	busy    bool           // somebody makes round trips
	closed  bool           // nothing more is taken
	trips   sync.WaitGroup // the goroutines that make round trips

	short atomic.Bool // replicas have not confirmed the trip under way

	// owned by who makes round trips
	number   uint64         // of the last trip
	arrivals store.Arrivals // what is known of them
	renewed  time.Time      // when a trip renewed what Redis knows of that
}

func newLane(s *store.Store, from string, at place, kind queue.Kind, patience time.Duration) *lane {
	return &lane{store: s, from: from, at: at, kind: kind, patience: patience}
}

// trip is one round trip: the tasks that leave together, and what they come to.
type trip struct {
	items []store.Item // those of the first call, then those of the second, ...
	bytes int
	bulk  bool // a call has several: few trips carry them, so that what a claim of arrivals costs more is not worth it

	done  chan struct{}  // closed when the two below are set; nil if they were set by post
	there map[int]string // by item: what was there before
	err   error
}

// room reports whether as many more items and bytes fit.
func (t *trip) room(items, bytes int) bool {
	return len(t.items) == 0 || len(t.items)+items <= store.MaxBatch && t.bytes+bytes <= maxBatchBytes
}

// submission is one call's tasks for one lane, at most [store.MaxBatch].
type submission struct {
	lane  *lane
	trip  *trip
	first int // item of the trip
}

// was returns the outcome of the submission's k-th task if that had finished before.
func (s submission) was(k int) string { return s.trip.there[s.first+k] }

// wait returns what became of the submission, or why ctx ended the wait for it.
func (s submission) wait(ctx context.Context) error {
	t := s.trip
	if t.done == nil {
		if t.err != nil && ctx.Err() != nil {
			return unsure(ctx, errors.Is(t.err, queue.ErrUnreplicated))
		}
		return t.err
	}
	if ctx.Done() == nil { // a plain receive is cheaper than a choice
		<-t.done
		return t.err
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		select {
		case <-t.done:
			return t.err
		default:
		}
		return unsure(ctx, s.lane.short.Load())
	}
}

// unsure says that ctx ended the wait before Redis had answered, or its replicas if
// only they are short.
func unsure(ctx context.Context, short bool) error {
	if short {
		return fmt.Errorf("%w: stopped waiting for the replicas, which may have the task yet; submit again with the same queue.ID to be sure, and see INFO replication of the master: %w",
			queue.ErrUnreplicated, ctx.Err())
	}
	return fmt.Errorf("stopped waiting for Redis to accept the task, which it may do yet; submit again with the same queue.ID to be sure: %w", ctx.Err())
}

// alone reports whether a call with this context may make its own round trip.
//
// If no round trip is under way, a call without a deadline makes its own, which
// saves two switches between goroutines. Like every command of the Redis client
// it then returns when Redis has answered or the client's timeouts have passed. A
// call with a deadline leaves the trip to a goroutine and keeps its deadline,
// whether Redis answers or not.
func alone(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return !ok
}

// post hands items to the lane. If no round trip is under way one begins: in this
// call if here is set, else in a goroutine.
func (l *lane) post(ctx context.Context, here bool, items ...store.Item) submission {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return submission{lane: l, trip: &trip{err: errClosed}}
	}
	if here && !l.busy && len(l.waiting) == 0 {
		t := l.begin()
		t.items, t.bulk = append(t.items, items...), len(items) > 1
		l.busy = true
		l.trips.Add(1)
		l.mu.Unlock()
		l.carry(ctx, t) // only its own: ctx is not the others'
		if l.more() {   // the others' tasks are not this caller's burden
			go l.run() //nolint:gosec // a trip that several share is bound to no one's context
		}
		return submission{lane: l, trip: t}
	}
	s := l.join(items)
	start := !l.busy
	if start {
		l.busy = true
		l.trips.Add(1)
	}
	l.mu.Unlock()
	if start {
		go l.run() //nolint:gosec // a trip that several share is bound to no one's context
	}
	return s
}

// begin makes a trip. l.mu is held.
func (l *lane) begin() *trip {
	t := &trip{items: l.spare}
	l.spare = nil
	return t
}

// join puts items on the last trip that waits, or on one of their own if that is as
// large as a trip may be. l.mu is held.
func (l *lane) join(items []store.Item) submission {
	bytes := 0
	for i := range items {
		bytes += len(items[i].Wire)
	}
	var t *trip
	if n := len(l.waiting); n > 0 && l.waiting[n-1].room(len(items), bytes) {
		t = l.waiting[n-1]
	} else {
		t = l.begin()
		t.done = make(chan struct{})
		l.waiting = append(l.waiting, t)
	}
	s := submission{lane: l, trip: t, first: len(t.items)}
	t.items, t.bulk = append(t.items, items...), t.bulk || len(items) > 1
	t.bytes += bytes
	return s
}

// run makes round trips until nothing waits.
func (l *lane) run() {
	for {
		// The callers' contexts bound their waits, not the round trip that their tasks
		// share; that is bounded by the Redis client's own timeouts.
		l.carry(context.Background(), l.next())
		l.stepBack()
		if !l.more() {
			return
		}
	}
}

// stepBack lets the callers whom a trip has woken run, so that who submits one task after
// the other comes along with the very next trip. Otherwise callers fall into two halves, one
// of which waits while the other is on its way, and each trip is half as large as it
// could be. It goes on as long as more of them come, takes next to nothing if nobody is
// ready to run, and gives up after a moment where the processors are busy: the rest of the
// time goes to others anyway.
func (l *lane) stepBack() {
	const steps, most = 5, 150 * time.Microsecond
	begin, seen := time.Now(), 0
	for left := steps; left > 0; left-- {
		runtime.Gosched()
		if time.Since(begin) > most {
			return
		}
		if n := l.coming(); n > seen {
			seen, left = n, steps
		}
	}
}

// coming is how many items the next trip has so far.
func (l *lane) coming() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return 0
	}
	return len(l.waiting[0].items)
}

// more reports whether a trip waits. If not, who made round trips is done with it.
func (l *lane) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		return true
	}
	l.busy = false
	l.trips.Done()
	return false
}

// next takes the first trip that waits; there is one.
func (l *lane) next() *trip {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.waiting[0]
	n := copy(l.waiting, l.waiting[1:])
	l.waiting[n] = nil
	l.waiting = l.waiting[:n]
	return t
}

// close refuses further submissions and waits for those that were taken.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.trips.Wait()
}

// carry makes the round trip t.
func (l *lane) carry(ctx context.Context, t *trip) {
	l.number++
	b := store.Batch{Queue: l.at.queue, Partition: l.at.partition, Kind: l.kind, From: l.from, Number: l.number, Items: t.items}
	if !t.bulk {
		b.Arrivals = &l.arrivals
	}
	if now := time.Now(); now.Sub(l.renewed) >= store.RenewEvery {
		b.Renew, l.renewed = true, now
	}
	t.there, t.err = l.submit(ctx, &b)
	t.items = nil
	for i := range b.Items {
		dropWire(b.Items[i].Wire)
	}
	if t.done != nil {
		close(t.done)
	}
	clear(b.Items) // let go of the messages
	l.mu.Lock()
	l.spare = b.Items[:0]
	l.mu.Unlock()
}

// submit stores the batch. What replicas have to confirm is sent again, under the
// same number, until they do or it takes too long.
func (l *lane) submit(ctx context.Context, b *store.Batch) (there map[int]string, err error) {
	there, err = l.store.Submit(ctx, b)
	if err == nil || !l.store.Waits() {
		return there, err
	}
	defer l.short.Store(false)
	limit := time.Now().Add(l.patience)
	for wait := 20 * time.Millisecond; err != nil && ctx.Err() == nil && time.Now().Before(limit); wait = min(2*wait, time.Second) {
		short := errors.Is(err, queue.ErrUnreplicated)
		if !short && !errors.Is(err, queue.ErrUnavailable) {
			return there, err
		}
		l.short.Store(short)
		store.Pause(ctx, wait)
		there, err = l.store.Submit(ctx, b)
	}
	return there, err
}

// replicateWithin is how long a batch waits for its replicas.
const replicateWithin = 20 * time.Second
