package producer

import (
	"context"
	"fmt"
	"sync"

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

	mu      sync.Mutex
	waiting []*submission
	closed  bool
	wake    chan struct{} // cap 1: waiting or closed has changed

	number uint64 // of the last batch; owned by run
}

func newLane(s *store.Store, from string, at place, kind queue.Kind) *lane {
	return &lane{store: s, from: from, at: at, kind: kind, wake: make(chan struct{}, 1)}
}

// submission is one call's tasks for one lane, at most [store.MaxBatch].
type submission struct {
	items []store.Item
	bytes int
	one   [1]store.Item // where items begins, for a lone task

	done  chan struct{}  // closed when the two below are set
	there map[int]string // by item: what was there before
	err   error
}

func newSubmission(items ...store.Item) *submission {
	s := &submission{done: make(chan struct{})}
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
	close(s.done)
}

// wait returns what became of the submission, or why ctx ended the wait for it.
func (s *submission) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		select {
		case <-s.done:
			return s.err
		default:
		}
		return fmt.Errorf("stopped waiting for Redis to accept the task, which it may do yet; submit again with the same queue.ID to be sure: %w", ctx.Err())
	}
}

// post hands s to the lane.
func (l *lane) post(s *submission) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.finish(errClosed)
		return
	}
	l.waiting = append(l.waiting, s)
	first := len(l.waiting) == 1
	l.mu.Unlock()
	if first {
		l.ring()
	}
}

func (l *lane) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close lets run finish what waits and return.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.ring()
}

func (l *lane) run() {
	batch := store.Batch{Queue: l.at.queue, Partition: l.at.partition, Kind: l.kind, From: l.from}
	for {
		subs, closed := l.next()
		if len(subs) == 0 {
			if closed {
				return
			}
			<-l.wake
			continue
		}
		l.number++
		batch.Number = l.number
		batch.Items = batch.Items[:0]
		for _, s := range subs {
			batch.Items = append(batch.Items, s.items...)
		}
		// The callers' contexts bound their waits, not the round trip that their
		// tasks share; that is bounded by the Redis client's own timeouts.
		there, err := l.store.Submit(context.Background(), &batch)
		n := 0
		for _, s := range subs {
			for k := range s.items {
				if v, ok := there[n+k]; ok {
					if s.there == nil {
						s.there = map[int]string{}
					}
					s.there[k] = v
				}
			}
			n += len(s.items)
			s.finish(err)
		}
		clear(batch.Items) // let go of the messages
	}
}

// next takes as many waiting submissions as one round trip carries.
func (l *lane) next() (subs []*submission, closed bool) {
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
	subs = l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return subs, l.closed
}
