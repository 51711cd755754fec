package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// wishFor is how long a wish waits here for its task: a claim that brings the task
// may be on the wire, or a goroutine be about to begin it. Who asks does so again.
const wishFor = 1500 * time.Millisecond

// wish is one that waits.
type wish struct {
	store.Wish
	until time.Time
}

// heeding is what a port was told.
type heeding struct {
	port   *port
	wishes []store.Wish
}

// control hears who wants tasks of this worker cancelled, until ctx is done.
func (w *Worker) control(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = w.wishes.Close() })
	defer stop()
	w.slots.mu.Lock()
	channels := make([]string, len(w.ports))
	for i, p := range w.ports {
		channels[i] = store.WishChannel(p.line, p.consumer)
	}
	w.slots.mu.Unlock()
	for _, ch := range channels {
		_ = w.wishes.Add(ctx, ch) // what fails is mended by Receive
	}
	wait := newBackoff()
	for ctx.Err() == nil {
		channel, wishes, err := w.wishes.Receive(ctx)
		if err != nil {
			store.Pause(ctx, wait.NextBackOff())
			continue
		}
		wait.Reset()
		for _, p := range w.ports {
			if store.WishChannel(p.line, p.name()) == channel {
				select {
				case w.heeds <- heeding{p, wishes}:
				case <-ctx.Done():
				}
			}
		}
	}
}

// heedAll deals with wishes from the subscription and from heartbeats.
func (w *Worker) heedAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-w.heeds:
			h.port.heed(h.wishes)
		}
	}
}

// rename has the subscription follow a port that was given another name.
func (p *port) rename(ctx context.Context, former, name string) {
	if former != "" {
		_ = p.w.wishes.Remove(ctx, store.WishChannel(p.line, former)) // nobody speaks there any more
	}
	_ = p.w.wishes.Add(ctx, store.WishChannel(p.line, name))
}

// heed decides about tasks of the port that somebody wants cancelled. A task that
// has not begun never will; one that runs is interrupted if that is wished. One that
// is not here may be on its way: the wish waits a moment for it.
func (p *port) heed(wishes []store.Wish) {
	s := &p.w.slots
	open := make(map[queue.TaskID]store.Wish, len(wishes))
	for _, x := range wishes {
		open[x.ID] = x
	}
	var replies []store.Reply
	s.mu.Lock()
	name := p.consumer
	for d := p.first; d != nil; d = d.next {
		x, ok := open[d.claimed.ID]
		if !ok {
			continue
		}
		delete(open, x.ID)
		answer := store.AnswerLate
		switch {
		case x.Kill && p.w.children == nil:
			answer = store.AnswerDeaf
		case x.Interrupt:
			d.attempt.End(queue.ErrCancelled)
			answer = store.AnswerStopped
			if x.Kill {
				p.w.children.Kill((*host)(d), x.Grace)
			}
		}
		replies = append(replies, store.Reply{Wish: x, Answer: answer})
	}
	now := time.Now()
	for id, x := range p.wishes {
		if now.After(x.until) {
			delete(p.wishes, id)
		}
	}
	for id, x := range open {
		p.wishes[id] = wish{x, now.Add(wishFor)}
	}
	s.mu.Unlock()

	var off []*delivery
	for _, j := range p.w.crew.Pick(func(j run.Job) bool {
		d := j.(*delivery)
		_, ok := open[d.claimed.ID]
		return ok && d.port == p
	}) {
		off = append(off, j.(*delivery))
	}
	if len(replies) > 0 {
		if _, err := p.w.store.Answer(context.Background(), p.line, name, replies); err != nil {
			p.w.log.Debug("answering failed; who asked will ask again", zap.String("queue", p.line.Queue), zap.Error(err))
		}
	}
	for len(off) > 0 {
		n := min(len(off), store.MaxBatch)
		p.callOff(off[:n])
		off = off[n:]
	}
}

// wished returns the wish that concerns d, which is about to begin. w.slots.mu is
// held.
func (p *port) wished(d *delivery) (store.Wish, bool) {
	if len(p.wishes) == 0 {
		return store.Wish{}, false
	}
	x, ok := p.wishes[d.claimed.ID]
	if ok && time.Now().After(x.until) {
		delete(p.wishes, d.claimed.ID)
		ok = false
	}
	return x.Wish, ok
}

// callOff cancels deliveries that nobody has begun and nobody can begin any more,
// however long Redis takes to be there, unless the lease is lost or given up
// meanwhile, which hands them back. The task
// is removed by the very answer, so that nobody is told that it never starts while
// another worker could still get it.
func (p *port) callOff(ds []*delivery) {
	s := &p.w.slots
	replies := make([]store.Reply, 0, len(ds))
	for _, d := range ds {
		_ = d.parse() // of a message that cannot be read nobody knows who waits
		replies = append(replies, store.Reply{Answer: store.AnswerBefore, ReplyTo: d.msg.ReplyTo, Keep: d.msg.Keep, Sealed: d.sealed})
	}
	s.mu.Lock()
	name := p.consumer
	for i, d := range ds {
		replies[i].Wish = store.Wish{ID: d.claimed.ID, Token: p.wishes[d.claimed.ID].Token}
	}
	// It changes what is in flight, as a turn does; a resync wants to be alone.
	for (p.resync || p.resyncs) && !p.w.isOver() {
		s.mu.Unlock()
		store.Pause(context.Background(), 5*time.Millisecond)
		s.mu.Lock()
	}
	p.under++
	s.mu.Unlock()
	wait := newBackoff()
	for p.name() == name && !p.w.isOver() {
		if _, err := p.w.store.Answer(context.Background(), p.line, name, replies); err == nil {
			break
		}
		store.Pause(context.Background(), wait.NextBackOff())
	}
	s.mu.Lock()
	p.under--
	for _, d := range ds {
		delete(p.belled, d.claimed.ID)
	}
	p.lanes.Broadcast()
	s.mu.Unlock()
	for _, d := range ds {
		d.finish(store.End{ID: d.claimed.ID, Verdict: queue.VerdictDrop}, -1)
	}
}

func (w *Worker) isOver() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}
