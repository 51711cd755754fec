package producer

import (
	"context"
	"errors"
	"fmt"
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
	waiting []*submission
	busy    bool           // somebody makes round trips
	closed  bool           // nothing more is taken
	trips   sync.WaitGroup // the goroutines that make round trips

	short atomic.Bool // replicas have not confirmed the trip under way

	number uint64      // of the last batch; owned by who makes round trips
	batch  store.Batch // likewise
}

func newLane(s *store.Store, from string, at place, kind queue.Kind, patience time.Duration) *lane {
	return &lane{store: s, from: from, at: at, kind: kind, patience: patience}
}

// submission is one call's tasks for one lane, at most [store.MaxBatch].
type submission struct {
	items []store.Item
	bytes int
	one   [1]store.Item // where items begins, for a lone task

	short *atomic.Bool   // the lane's
	done  chan struct{}  // closed when the two below are set; nil if they were set by post
	there map[int]string // by item: what was there before
	err   error
}

func newSubmission(items ...store.Item) *submission {
	s := &submission{}
	s.items = s.one[:0]
	for _, it := range items {
		s.add(it)
	}
	return s
}

func (s *submission) add(it store.Item) {
	s.items = append(s.items, it)
	s.bytes += len(it.Wire)
}

func (s *submission) finish(err error) {
	s.err = err
	if s.done != nil {
		close(s.done)
	}
}

// wait returns what became of the submission, or why ctx ended the wait for it.
func (s *submission) wait(ctx context.Context) error {
	if s.done == nil {
		if s.err != nil && ctx.Err() != nil {
			return s.unsure(ctx)
		}
		return s.err
	}
	if ctx.Done() == nil { // a plain receive is cheaper than a choice
		<-s.done
		return s.err
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		select {
		case <-s.done:
			return s.err
		default:
		}
		return s.unsure(ctx)
	}
}

// unsure says that ctx ended the wait before Redis had answered.
func (s *submission) unsure(ctx context.Context) error {
	if s.short != nil && s.short.Load() {
		return fmt.Errorf("%w: stopped waiting for the replicas, which may have the task yet; submit again with the same queue.ID to be sure, and see INFO replication of the master: %w",
			queue.ErrUnreplicated, ctx.Err())
	}
	return fmt.Errorf("stopped waiting for Redis to accept the task, which it may do yet; submit again with the same queue.ID to be sure: %w", ctx.Err())
}

// send hands s to the lane and waits for what becomes of it, until ctx is done.
//
// If no round trip is under way, a call without a deadline makes its own, which
// saves two switches between goroutines. Like every command of the Redis client
// it then returns when Redis has answered or the client's timeouts have passed. A
// call with a deadline leaves the trip to a goroutine and keeps its deadline,
// whether Redis answers or not.
func (l *lane) send(ctx context.Context, s *submission) error {
	l.post(ctx, s, alone(ctx))
	return s.wait(ctx)
}

// alone reports whether a call with this context may make its own round trip.
func alone(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return !ok
}

// post hands s to the lane. If no round trip is under way one begins: in this
// call if here is set, else in a goroutine.
func (l *lane) post(ctx context.Context, s *submission, here bool) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.finish(errClosed)
		return
	}
	s.short = &l.short
	if here = here && !l.busy && len(l.waiting) == 0; !here {
		s.done = make(chan struct{})
		l.waiting = append(l.waiting, s)
	}
	if l.busy {
		l.mu.Unlock()
		return
	}
	l.busy = true
	l.trips.Add(1)
	l.mu.Unlock()
	if !here {
		go l.run() //nolint:gosec // a trip that several share is bound to no one's context
		return
	}
	l.trip(ctx, []*submission{s}) // only its own: ctx is not the others'
	l.mu.Lock()
	more := len(l.waiting) > 0 // the others' tasks are not this caller's burden
	if !more {
		l.busy = false
		l.trips.Done()
	}
	l.mu.Unlock()
	if more {
		go l.run() //nolint:gosec // a trip that several share is bound to no one's context
	}
}

// run makes round trips until nothing waits.
func (l *lane) run() {
	defer l.trips.Done()
	for {
		// The callers' contexts bound their waits, not the round trip that their tasks
		// share; that is bounded by the Redis client's own timeouts.
		l.trip(context.Background(), l.next())
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.busy = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// close refuses further submissions and waits for those that were taken.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.trips.Wait()
}

// trip makes one round trip with the given submissions.
func (l *lane) trip(ctx context.Context, subs []*submission) {
	b := &l.batch
	l.number++
	*b = store.Batch{Queue: l.at.queue, Partition: l.at.partition, Kind: l.kind, From: l.from, Number: l.number, Items: b.Items[:0]}
	for _, s := range subs {
		b.Items = append(b.Items, s.items...)
	}
	there, err := l.submit(ctx, b)
	n := 0
	for _, s := range subs {
		if len(there) > 0 {
			for k := range s.items {
				if v, ok := there[n+k]; ok {
					if s.there == nil {
						s.there = map[int]string{}
					}
					s.there[k] = v
				}
			}
		}
		n += len(s.items)
		s.finish(err)
	}
	clear(b.Items) // let go of the messages
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
		pause(ctx, wait)
		there, err = l.store.Submit(ctx, b)
	}
	return there, err
}

// replicateWithin is how long a batch waits for its replicas.
const replicateWithin = 20 * time.Second

// next takes as many waiting submissions as one round trip carries, at least one.
func (l *lane) next() []*submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	items, bytes, n := 0, 0, 0
	for _, s := range l.waiting {
		if n > 0 && (items+len(s.items) > store.MaxBatch || bytes+s.bytes > maxBatchBytes) {
			break
		}
		items += len(s.items)
		bytes += s.bytes
		n++
	}
	subs := l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	return subs
}
