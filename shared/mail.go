package shared

import (
	"context"
	"strings"
	"sync"

	"github.com/cenote-go/cenote/internal/store"
)

// mail is what others say to the holdings of this manager, over a channel of its own: who
// gives something up tells the one who gets it, and wakes nobody else. What is said may
// be lost, as hints are; the next renewal says it again.
type mail struct {
	m       *Manager
	channel string

	mu    sync.Mutex
	boxes map[string]func(text string) // by ticket
}

func newMail(m *Manager) *mail {
	return &mail{m: m, channel: store.SharedRoot("to", m.name), boxes: map[string]func(string){}}
}

// expect has box be given what is said to the ticket, until forget. It must not block.
func (l *mail) expect(ticket string, box func(string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boxes[ticket] = box
}

func (l *mail) forget(ticket string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.boxes, ticket)
}

// open listens, until the ear is left. was says that it was heard already.
func (l *mail) open(ctx context.Context) (e *ear, was bool, err error) {
	return l.m.ears.openTaking(ctx, l.channel, l.take)
}

// take takes a letter: a ticket, a space, and what it is told.
func (l *mail) take(letter string) {
	ticket, text, ok := strings.Cut(letter, " ")
	if !ok {
		return
	}
	l.mu.Lock()
	box := l.boxes[ticket]
	l.mu.Unlock()
	if box != nil {
		box(text)
	}
}
