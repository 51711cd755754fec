package shared

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

const (
	// slowTick is how often whoever waits looks again although nothing was heard: what a
	// lost hint costs at most.
	slowTick = 5 * time.Second
	// pingEvery is how often the other end of the subscription is asked whether it is
	// there, while somebody waits. Channels that nobody has waited at meanwhile are left.
	pingEvery = 2 * time.Second
)

// ears hear, for all objects of a manager, that one has changed: over one connection,
// which is made when somebody waits for the first time.
type ears struct {
	m *Manager

	mu    sync.Mutex
	sub   *store.Hints
	heard map[string]*ear // by channel
}

// ear is one channel.
type ear struct {
	up    chan struct{} // closed when the subscription stands
	isUp  bool
	next  chan struct{} // closed by the next hint
	users int
	idle  bool         // nobody has waited since the last look
	take  func(string) // takes what the hints say, instead of next; may be nil
}

func newEars(m *Manager) *ears { return &ears{m: m, heard: map[string]*ear{}} }

// open begins to listen to the channel, and returns when it is heard.
func (es *ears) open(ctx context.Context, channel string) (*ear, error) {
	e, _, err := es.openTaking(ctx, channel, nil)
	return e, err
}

// openTaking is open with a function that takes what the hints say: only the standing of
// the subscription rings, since it may be that hints were missed. was says that the channel
// was heard already.
func (es *ears) openTaking(ctx context.Context, channel string, take func(string)) (e *ear, was bool, err error) {
	es.mu.Lock()
	if es.m.life.Err() != nil {
		es.mu.Unlock()
		return nil, false, errClosed
	}
	if es.sub == nil {
		es.sub = es.m.store.Hints(es.m.life)
		es.m.work.Go(es.receive)
		es.m.work.Go(es.keep)
	}
	e = es.heard[channel]
	sub := es.sub
	made := e == nil
	if made {
		e = &ear{up: make(chan struct{}), next: make(chan struct{}), take: take}
		es.heard[channel] = e
	}
	e.users++
	e.idle = false
	was = e.isUp
	es.mu.Unlock()
	if made {
		_ = sub.Add(ctx, channel) // what fails is tried again by itself
	}
	select {
	case <-e.up:
		return e, was, nil
	case <-es.m.life.Done():
		es.leave(e)
		return nil, false, errClosed
	case <-ctx.Done():
		es.leave(e)
		return nil, false, ctx.Err()
	case <-time.After(slowTick):
		return e, false, nil // Redis may be away: who waits looks now and then
	}
}

func (es *ears) leave(e *ear) {
	es.mu.Lock()
	defer es.mu.Unlock()
	e.users--
}

// rung is closed by the next hint that comes over e's channel.
func (es *ears) rung(e *ear) <-chan struct{} {
	es.mu.Lock()
	defer es.mu.Unlock()
	return e.next
}

func (es *ears) receive() {
	for es.m.life.Err() == nil {
		channel, text, stands, err := es.sub.Receive(es.m.life)
		if err != nil {
			store.Pause(es.m.life, 100*time.Millisecond)
			continue
		}
		es.mu.Lock()
		e := es.heard[channel]
		if e != nil && e.take != nil && !stands {
			es.mu.Unlock()
			e.take(text)
			continue
		}
		if e != nil {
			if stands && !e.isUp {
				e.isUp = true
				close(e.up)
			}
			close(e.next)
			e.next = make(chan struct{})
		}
		es.mu.Unlock()
	}
}

// keep sees to the connection while somebody waits, and leaves channels that nobody has
// waited at for a while.
func (es *ears) keep() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-es.m.life.Done():
			return
		case <-tick.C:
		}
		waits := false
		var left []string
		es.mu.Lock()
		for channel, e := range es.heard {
			switch {
			case e.users > 0:
				waits = true
			case e.idle:
				delete(es.heard, channel)
				left = append(left, channel)
			default:
				e.idle = true
			}
		}
		es.mu.Unlock()
		if waits {
			_ = es.sub.Check(es.m.life) // what fails is mended by Receive
		}
		for _, channel := range left {
			es.unsubscribe(channel)
		}
	}
}

func (es *ears) unsubscribe(channel string) {
	_ = es.sub.Remove(es.m.life, channel)
	es.mu.Lock()
	_, back := es.heard[channel]
	es.mu.Unlock()
	if back { // somebody has come meanwhile
		_ = es.sub.Add(es.m.life, channel)
	}
}

func (es *ears) close() error {
	es.mu.Lock()
	sub := es.sub
	es.mu.Unlock()
	if sub == nil {
		return nil
	}
	return sub.Close()
}

// await calls try until it says done or fails. Between two calls it waits until the
// channel is rung, or for as long as the last one has asked for, and at most for
// slowTick. A Redis that is away only makes it wait. The error is try's, or that of ctx,
// or [queue.ErrClosed] if the manager is closed.
func (m *Manager) await(ctx context.Context, channel string, try func() (done bool, again time.Duration, err error)) error {
	var e *ear
	wait := 20 * time.Millisecond // while Redis is away
	for {
		var rung <-chan struct{}
		if e != nil {
			rung = m.ears.rung(e) // before the try: what changes after it is heard
		}
		done, again, err := try()
		switch {
		case errors.Is(err, queue.ErrUnavailable):
			again = wait
			wait = min(2*wait, time.Second)
		case err != nil || done:
			return err
		case e == nil: // now it is worth listening
			if e, err = m.ears.open(ctx, channel); err != nil {
				return err
			}
			defer m.ears.leave(e)
			continue
		default:
			wait = 20 * time.Millisecond
		}
		if again <= 0 || again > slowTick {
			again = slowTick
		}
		t := time.NewTimer(again)
		select {
		case <-rung:
		case <-t.C:
		case <-m.life.Done():
			t.Stop()
			return errClosed
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}
