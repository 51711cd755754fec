package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// dropEvery is how many heartbeats pass between two looks for tasks that were
// dead for long enough.
const dropEvery = 60

// forgetful is how long after a turn a Redis may be asked whether it still knows of
// it: no replica that is further behind becomes the master.
const forgetful = time.Minute

// keep renews the port's lease and looks after the leases of others, until ctx is
// done. Leases only ever grow, so there is nothing to look at before the first one
// can lapse: an idle worker costs Redis a heartbeat every third of a lease.
func (p *port) keep(ctx context.Context) {
	every := p.w.cfg.Lease / 3
	next := every
	for beats := 1; ; beats++ {
		wait := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-p.signOn:
			p.signOnAgain(ctx)
		case <-wait.C:
		}
		wait.Stop()
		if ctx.Err() != nil {
			return
		}
		keepDead := time.Duration(0)
		if beats%dropEvery == 1 {
			keepDead = p.w.cfg.KeepDead
		}
		next = every
		if lapse, ok := p.beat(ctx, keepDead); ok && lapse < every {
			// All who wait for the same lease to lapse would wake at once: spread out.
			next = lapse + rand.N(p.w.cfg.Sweep/2) + time.Millisecond //nolint:gosec // no secret
		}
	}
}

// beat renews the lease. It returns how long until the first of all leases can
// lapse.
func (p *port) beat(ctx context.Context, keepDead time.Duration) (lapse time.Duration, ok bool) {
	s := &p.w.slots
	s.mu.Lock()
	name, life, signed := p.consumer, p.life, p.signed
	var told []uint64
	if time.Since(p.toldAt) < forgetful {
		told = append(told, p.told[:]...)
	}
	s.mu.Unlock()
	if !signed {
		return 0, false
	}
	sent := time.Now()
	b, err := p.w.store.Beat(ctx, p.line, name, p.w.cfg.Lease, keepDead, told...)
	switch {
	case errors.Is(err, store.ErrLapsed):
		s.mu.Lock()
		p.lapse(life)
		s.mu.Unlock()
		return 0, false
	case err != nil:
		if ctx.Err() == nil {
			p.w.log.Warn("heartbeat failed", zap.String("queue", p.line.Queue), zap.Error(err))
			p.w.doubts.Store(true)
		}
		return 0, false
	}
	p.renewedIf(life, sent)
	if p.w.doubts.Swap(false) {
		_ = p.w.wishes.Renew(ctx) // it may still listen to a server that hangs
	}
	if b.Lapsed > 0 {
		p.w.stats.recovered.Add(int64(b.Recovered))
		p.w.log.Warn("took over from lost workers", zap.String("queue", p.line.Queue), zap.Int("workers", b.Lapsed), zap.Int("tasks", b.Recovered))
	}
	if b.Claim {
		p.rouse()
	}
	if len(b.Wishes) > 0 {
		select {
		case p.w.heeds <- heeding{p, b.Wishes}:
		default: // the lease comes first; who wishes does so again
		}
	}
	if p.line.Group != "" {
		p.join()
		p.trim()
	}
	return b.Next, true
}

// renewed notes that the lease was asked for at the given moment, by this
// machine's clock, and given: it is good for Config.Lease from then on. A sixth
// of it is left for the handlers to notice.
func (p *port) renewed(sent time.Time) {
	left := p.w.cfg.Lease - p.w.cfg.Lease/6 - time.Since(sent)
	if p.fence == nil {
		p.fence = time.AfterFunc(left, p.fenced)
		return
	}
	p.fence.Reset(left)
}

func (p *port) renewedIf(life int, sent time.Time) {
	p.w.slots.mu.Lock()
	defer p.w.slots.mu.Unlock()
	if p.life == life {
		p.renewed(sent)
	}
}

// fenced is called when the lease was not renewed for so long that others may
// take over: the worker stops before they start.
func (p *port) fenced() {
	p.w.slots.mu.Lock()
	defer p.w.slots.mu.Unlock()
	p.lapse(p.life)
}

// lapse gives up everything that belongs to an incarnation whose lease is lost,
// and has the port sign on as a new one. w.slots.mu is held: from here on nothing
// is asked for in the old name.
func (p *port) lapse(life int) {
	s := &p.w.slots
	if p.life != life || !p.signed {
		return
	}
	p.life++
	p.signed = false
	p.fence.Stop()
	p.former, p.consumer = p.consumer, newConsumerName()
	clear(p.ends)
	p.ends = p.ends[:0]
	p.dropLots()
	clear(p.belled)
	clear(p.told[:])
	p.resync, p.open = false, false
	if s.emptying == p {
		s.emptying = nil
	}
	n := p.cancelRunning(queue.ErrLeaseLost)
	if c := p.w.children; c != nil { // before others may have the tasks
		for d := p.first; d != nil; d = d.next {
			c.Kill((*host)(d), p.w.cfg.Lease/12)
		}
	}
	p.signOn <- struct{}{} // there is room: it was taken out before the port was signed
	p.w.stats.lapsed.Add(1)
	p.w.log.Warn("lease lost: running tasks are cancelled, other workers take them over",
		zap.String("queue", p.line.Queue), zap.String("worker_id", p.former), zap.Int("tasks", n))
}

// signOnAgain signs a new incarnation on, however long Redis takes to be there,
// unless the worker is being stopped.
func (p *port) signOnAgain(ctx context.Context) {
	s := &p.w.slots
	s.mu.Lock()
	name, former := p.consumer, p.former
	s.mu.Unlock()
	wait := newBackoff()
	for ctx.Err() == nil {
		sent := time.Now()
		err := p.w.store.SignOn(ctx, p.line, name, former, p.w.cfg.Lease)
		s.mu.Lock()
		if errors.Is(err, store.ErrLapsed) { // the name was signed on, unheard, and struck off since
			name = newConsumerName()
			p.consumer = name
		}
		if s.stopped {
			s.mu.Unlock()
			return
		}
		if err == nil {
			p.signed, p.stuck, p.former = true, false, ""
			p.renewed(sent)
			s.hungry(p)
			p.lanes.Signal()
			p.bells.Signal()
			s.mu.Unlock()
			p.rename(ctx, former, name)
			return
		}
		s.mu.Unlock()
		store.Pause(ctx, wait.NextBackOff())
	}
}

// cancelRunning cancels the port's running tasks with the given cause and returns
// how many there are. w.slots.mu is held.
func (p *port) cancelRunning(cause error) int {
	n := 0
	for d := p.first; d != nil; d = d.next {
		d.attempt.End(cause)
		n++
	}
	return n
}

// steward hands back tasks that wait here although no slot has become free for a
// while: another worker may be idle.
func (w *Worker) steward(ctx context.Context) {
	const stale = 20 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.prefed:
		}
		waiting, before := w.crew.Waiting()
		for waiting > 0 && ctx.Err() == nil {
			store.Pause(ctx, stale)
			var begun uint64
			if waiting, begun = w.crew.Waiting(); begun == before && waiting > 0 {
				w.slots.mu.Lock()
				w.slots.ahead.want = 0 // or they would come back at once
				w.slots.mu.Unlock()
				w.giveBackWaiting()
			}
			before = begun
		}
	}
}
