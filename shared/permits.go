package shared

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var enterScript = store.LoadVerb(luaFiles, "line_enter")

// lineLeases are those of who holds a lock or a permit, and of who waits for one: a ticket
// has one lease from when it lines up until it is released. So whoever is let in needs
// no word of Redis to know for how long: for as long as its last renewal says, by its own clock.
var lineLeases = &leaseKind{renew: store.LoadVerb(luaFiles, "line_keep"), free: store.LoadVerb(luaFiles, "line_leave")}

// permits are what a lock has one of and a semaphore some. Those who want one line up in
// Redis, first come first served. Whoever releases one gives it to the next who is alive, and
// tells it so: with that message it goes on.
type permits struct {
	object
	size string // how many; "" for a lock
}

func openPermits(m *Manager, kind, name, size string, opts []Option) (permits, error) {
	o, err := m.open(kind, name, opts)
	return permits{o, size}, err
}

func (p *permits) leased() leased { return leased{lineLeases, p.root, p.lease} }

// acquire gets a permit. Unless it waits, it may return none.
func (p *permits) acquire(ctx context.Context, wait bool) (*Held, error) {
	for {
		h, err := p.attempt(ctx, wait)
		if wait && errors.Is(err, ErrLost) { // while it waited: it was not heard of for too long
			continue
		}
		return h, p.about(err)
	}
}

// attempt is acquire with one ticket. The error is ErrLost if its place in the line is lost.
func (p *permits) attempt(ctx context.Context, wait bool) (_ *Held, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tokens := make(chan string, 1)
	told := func(text string) {
		if text == "-" {
			return // it waits
		}
		select {
		case tokens <- text:
		default: // it is told the same once more
		}
	}
	h, err := p.m.keeper.take(ctx, p.leased(), told)
	if err != nil {
		return nil, err
	}
	got, free := false, false
	defer func() {
		if got {
			return
		}
		h.end(context.Canceled)
		if !free {
			h.giveBack()
		}
	}()
	p.m.mail.expect(h.ticket, told)
	defer p.m.mail.forget(h.ticket)

	var e *ear
	pauseFor := 10 * time.Millisecond
	for {
		var rung <-chan struct{}
		if e != nil {
			rung = p.m.ears.rung(e)
		}
		token, err := p.enter(ctx, h, wait)
		switch {
		case wait && errors.Is(err, queue.ErrUnavailable):
			if h.cause() != nil {
				return nil, h.cause()
			}
			if err := p.rest(ctx, pauseFor); err != nil {
				return nil, err
			}
			pauseFor = min(2*pauseFor, time.Second)
			continue
		case err != nil:
			return nil, err
		case token == "" && !wait:
			free = true // it has not lined up
			return nil, nil
		case token == "" && e == nil: // now it is worth listening
			var was bool
			if e, was, err = p.m.mail.open(ctx); err != nil {
				return nil, err
			}
			defer p.m.ears.leave(e)
			if !was {
				continue // it may have been told meanwhile
			}
			rung = p.m.ears.rung(e)
		}
		if token == "" {
			select {
			case token = <-tokens:
			case <-rung: // something may not have been heard
				continue
			case <-h.ctx.Done():
				return nil, h.cause()
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		n, err := strconv.ParseUint(token, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: the token %q", queue.ErrMalformed, token)
		}
		got = true
		return &Held{h: h, about: p.about, token: n, turn: make(chan struct{}, 1)}, nil
	}
}

// enter lines up, or looks again. It returns the token, or "" while it must wait.
func (p *permits) enter(ctx context.Context, h *holding, wait bool) (token string, err error) {
	line := "0"
	if wait {
		line = "1"
	}
	sent := time.Now()
	r, err := p.m.store.Do(ctx, enterScript, p.root, h.ticket, p.lease.Milliseconds(), line, p.size)
	switch {
	case err != nil:
		return "", err
	case len(r) == 1:
		return "", fmt.Errorf("%w: it has %s permits while it is in use, and is opened with %s; open it with as many everywhere, or under another name",
			ErrMismatch, r[0], p.size)
	case len(r) != 2:
		return "", fmt.Errorf("%w: a reply of %d elements to who lines up", queue.ErrMalformed, len(r))
	}
	if r[0] == "" && !wait {
		return "", nil
	}
	ms, _ := strconv.ParseInt(r[1], 10, 64)
	if !h.renewed(sent, time.Duration(ms)*time.Millisecond) {
		return "", h.cause()
	}
	return r[0], nil
}

// Held is a lock or a permit that is held. Its methods may be called concurrently.
type Held struct {
	h     *holding
	about func(error) error
	token uint64

	turn chan struct{} // one Release at a time
	done bool          // by which of them it was released
}

// Token is the number of this holding: larger than those of all who held it before, also
// if Redis has forgotten them. Let what the lock protects refuse a token that is older than
// one it has seen, as [Fenced] does.
func (d *Held) Token() uint64 { return d.token }

// Context ends when what is held is lost, with the cause [ErrLost], or is released, or with
// the manager. It has the values of the context it was acquired with, and not its end.
// What the lock protects should be done under it.
func (d *Held) Context() context.Context {
	if d.h == nil {
		return gone
	}
	return d.h.ctx
}

// gone is the context of what was never held.
var gone = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrNotOwner)
	return ctx
}()

// Release gives it back, and the next who waits has it at once.
//
// The error is [ErrNotOwner] if it was released before, or [ErrLost] if the lease was lost
// before: somebody else may have held it since. A Redis that is away makes it wait until ctx ends, and no
// longer than the lease; it may then have been released, is not renewed any more in any case, and
// lapses by itself. To call Release again is fine.
func (d *Held) Release(ctx context.Context) error {
	if d.h == nil {
		return ErrNotOwner
	}
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return d.about(ctx.Err())
	}
	if d.done {
		return d.about(ErrNotOwner)
	}
	d.h.end(context.Canceled)
	switch cause := d.h.cause(); {
	case errors.Is(cause, ErrLost):
		d.h.giveBack() // Redis may not think so yet
		return d.about(ErrLost)
	case errors.Is(cause, queue.ErrClosed):
		return d.about(fmt.Errorf("%w: %w", ErrNotOwner, cause))
	}
	held, err := d.free(ctx)
	if err != nil {
		return d.about(err)
	}
	d.done = held
	if !held {
		return d.about(ErrLost)
	}
	return nil
}

// free has Redis give it to the next. It reports whether it was this one's until then.
func (d *Held) free(ctx context.Context) (bool, error) {
	wait := 10 * time.Millisecond
	for {
		r, err := d.h.k.m.store.Do(ctx, d.h.kind.free, d.h.root, d.h.ticket)
		switch {
		case errors.Is(err, queue.ErrUnavailable) && ctx.Err() == nil && time.Now().Before(d.h.until.Add(d.h.lease/6)):
			store.Pause(ctx, wait)
			wait = min(2*wait, time.Second)
		case err != nil:
			return false, err
		case len(r) != 1:
			return false, fmt.Errorf("%w: a reply of %d elements to a release", queue.ErrMalformed, len(r))
		default:
			return r[0] == "1", nil
		}
	}
}
