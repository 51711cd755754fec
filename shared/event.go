package shared

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	eventTurnScript = store.LoadVerb(luaFiles, "event_turn")
	eventLookScript = store.LoadVerb(luaFiles, "event_look")
	dropScript      = store.LoadVerb(luaFiles, "drop")
)

// Event is set or not, and those who wait for it go on when it is set. Its methods may be
// called concurrently.
type Event struct{ object }

// OpenEvent opens the event of that name, which is not set until somebody does so.
func OpenEvent(m *Manager, name string, opts ...Option) (*Event, error) {
	o, err := m.open("event", name, opts)
	if err != nil {
		return nil, err
	}
	return &Event{o}, nil
}

// Set sets it. All who wait for it go on, also if it is cleared at once; those who
// come later do not wait. To set what is set changes nothing.
func (e *Event) Set(ctx context.Context) error { return e.turn(ctx, "1") }

// Clear makes it not set.
func (e *Event) Clear(ctx context.Context) error { return e.turn(ctx, "0") }

func (e *Event) turn(ctx context.Context, to string) error {
	_, err := e.insist(ctx, eventTurnScript, to, e.keep())
	return err
}

// Delete deletes the event: it is not set, as if it was never opened. Those who wait go on
// to wait.
func (e *Event) Delete(ctx context.Context) error {
	_, err := e.insist(ctx, dropScript)
	return err
}

// IsSet reports whether it is set.
func (e *Event) IsSet(ctx context.Context) (bool, error) {
	if e.m.life.Err() != nil {
		return false, e.about(errClosed)
	}
	set, _, err := e.look(ctx)
	return set, e.about(err)
}

// Wait returns nil when the event is set, or was set since Wait has looked for the first
// time, even if it is not any more. The error is that of ctx, which bounds the wait, or
// [queue.ErrClosed] if the manager is closed. A Redis that is away makes it wait.
func (e *Event) Wait(ctx context.Context) error {
	return e.about(e.m.await(ctx, e.root, e.waiter(ctx)))
}

// waiter is what one who waits does: it looks whether the event is set, or was set
// since it has looked first.
func (e *Event) waiter(ctx context.Context) func() (bool, time.Duration, error) {
	looked, since := false, uint64(0)
	return func() (bool, time.Duration, error) {
		set, turn, err := e.look(ctx)
		switch {
		case err != nil:
			return false, 0, err
		case !looked:
			looked, since = true, turn
		}
		return set || turn > since, 0, nil
	}
}

func (e *Event) look(ctx context.Context) (set bool, turn uint64, err error) {
	r, err := e.m.store.Do(ctx, eventLookScript, e.root)
	if err != nil {
		return false, 0, err
	}
	if len(r) == 2 {
		if turn, err = strconv.ParseUint(r[1], 10, 64); err == nil {
			return r[0] == "1", turn, nil
		}
	}
	return false, 0, fmt.Errorf("%w: an event is %q", queue.ErrMalformed, r)
}
