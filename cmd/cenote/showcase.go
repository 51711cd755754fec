package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// showcase is what the workers of a demo do besides their work: they tell the
// demo which tasks they run, and take long enough over them to be watched. The
// demo speaks to a worker through the pipes that it gave it as stdin and stdout.
type showcase struct {
	mu       sync.Mutex
	events   io.Writer
	released chan struct{} // closed when held tasks may go on
}

// The events that a worker tells: a word, the task's id and, of a start, whether
// the task was taken over from a worker that was lost.
const (
	eventStart = "start"
	eventHeld  = "held"
	eventEnd   = "end"
)

// newShowcase tells on events. A line on commands releases held tasks; when
// commands ends, because the demo wants it or is gone, so is called.
func newShowcase(commands io.Reader, events io.Writer, so func()) *showcase {
	s := &showcase{events: events, released: make(chan struct{})}
	go func() {
		lines := bufio.NewScanner(commands)
		if lines.Scan() {
			close(s.released)
		}
		for lines.Scan() { //nolint:revive // wait for the end
		}
		so()
	}()
	return s
}

// middleware tells when tasks start and end.
func (s *showcase) middleware(next queue.Handler) queue.Handler {
	return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
		r := queue.FromContext(ctx)
		s.tell(fmt.Sprintf("%s %s %t\n", eventStart, r.ID, redelivered(r)))
		v, err := next.Handle(ctx, m)
		s.tell(fmt.Sprintf("%s %s\n", eventEnd, r.ID))
		return v, err
	})
}

// redelivered reports whether an earlier delivery ended with a lost worker: the
// token grows with every delivery, the attempt only with those that ended.
func redelivered(r queue.Running) bool { return r.Token > uint64(r.Attempt) } //nolint:gosec // a count

func (s *showcase) tell(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A demo that does not listen any more is about to end this process.
	_, _ = io.WriteString(s.events, event)
}

// hold keeps a held task until the demo releases it, and returns a function that
// waits until the task has taken as long as its pace asks.
func (s *showcase) hold(ctx context.Context, ref fileRef) (rest func()) {
	if s == nil {
		return func() {}
	}
	pace := time.After(ref.Pace)
	if ref.Hold {
		s.tell(fmt.Sprintf("%s %s\n", eventHeld, queue.FromContext(ctx).ID))
		select {
		case <-s.released:
		case <-ctx.Done():
		}
	}
	return func() {
		select {
		case <-pace:
		case <-ctx.Done():
		}
	}
}
