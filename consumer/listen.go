package consumer

import (
	"context"
	"runtime"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/internal/store"
)

// listen waits at the line's bell whenever the line has nothing and a slot is
// free, until ctx is done and the bell closed.
func (p *port) listen(ctx context.Context) {
	// A wait must end before others may take the lease for lapsed, or a task could
	// be moved to a consumer that is gone.
	patience := max(min(5*time.Second, p.w.cfg.Lease/2), time.Second) // go-redis waits whole seconds
	var wait *backoff.ExponentialBackOff
	for {
		name, ok := p.ready(ctx)
		if !ok {
			return
		}
		rung, ok, err := p.bell.Wait(ctx, p.line, name, patience)
		if ctx.Err() != nil {
			p.deaf()
			return
		}
		if err != nil {
			// The bell may have rung all the same: the next turn asks.
			p.lost(patience)
			if wait == nil {
				wait = newBackoff()
				p.w.log.Warn("waiting for tasks failed, trying again until it works", zap.String("queue", p.line.Queue), zap.Error(err))
			}
			store.Pause(ctx, wait.NextBackOff())
			continue
		}
		wait = nil
		s := &p.w.slots
		s.mu.Lock()
		s.listening--
		p.listens = false
		if s.emptying != nil {
			s.emptying.lanes.Signal()
		}
		var d *delivery
		room := true
		if ok {
			if rung.More {
				p.rung = true
				s.hungry(p)
				p.lanes.Signal()
			}
			if rung.Task != nil && name == p.consumer {
				d = &delivery{port: p, life: p.life, claimed: rung.Task}
				p.belled[rung.Task.ID]++
				s.held++
				if room = !s.shut && s.held <= s.size+s.lent+s.ahead.want; !room {
					p.rung = true
					s.hungry(p) // the line takes its turn when a slot is free
				} else if !rung.More && s.spare() > 0 {
					p.claimIn(soon)
				}
			}
		}
		if ok && rung.More && s.spare() <= 0 {
			p.poke = true // no room for more, but a turn passes the word on
		}
		s.mu.Unlock()
		if d != nil {
			p.w.stats.claimed.Add(1)
		}
		switch {
		case d == nil:
		case room:
			p.start([]run.Job{d})
			runtime.Gosched() // the task first, then the next wait
		default:
			d.giveBack()
		}
	}
}

// ready waits until the port should listen, and says as whom. ok is false when
// ctx is done.
func (p *port) ready(ctx context.Context) (name string, ok bool) {
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if ctx.Err() != nil || s.stopped {
			return "", false
		}
		if !p.doubt.IsZero() && time.Now().After(p.doubt) {
			p.doubt, p.resync = time.Time{}, true
			p.lanes.Broadcast()
		}
		// While a resync is asked for or under way nothing may come over the bell, or
		// both would bring it.
		if p.signed && p.dry && !p.open && s.spare() > 0 && s.emptying == nil && !p.resync && !p.resyncs {
			s.listening++
			p.listens = true
			return p.consumer, true
		}
		p.bells.Wait()
	}
}

// deaf notes that the port listens no more.
func (p *port) deaf() {
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening--
	p.listens = false
}

// lost notes that a wait has failed, so that what came over the bell may have
// been lost on the way here. Redis may not know yet that nobody is at the end of
// that connection, and hand it a task as long as the wait would have lasted: after
// that time the port asks once more.
func (p *port) lost(patience time.Duration) {
	p.deaf()
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	p.resync = true
	p.doubt = time.Now().Add(patience)
	s.hungry(p)
	p.lanes.Broadcast()
}

// claimIn makes the port claim after a moment unless a turn does so before.
// w.slots.mu is held.
func (p *port) claimIn(d time.Duration) {
	if p.later != nil {
		return
	}
	p.later = time.AfterFunc(d, func() {
		p.w.slots.mu.Lock()
		p.later, p.open = nil, false
		p.w.slots.mu.Unlock()
		p.rouse()
	})
}

func (p *port) closeBell() {
	if err := p.bell.Close(); err != nil {
		p.w.log.Debug("closing the bell", zap.Error(err))
	}
}
