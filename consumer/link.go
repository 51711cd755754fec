package consumer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// links knows which programs are there that tasks are linked to, see
// [queue.Linked]. Redis is asked once in linkFresh a program, however many tasks it has,
// and not at all for tasks without a link.
type links struct {
	store    *store.Store
	patience time.Duration // how long a link is missing before its program is gone

	mu    sync.Mutex
	known map[string]*link
}

// linkFresh is how long an answer is good, and linkKnown how long a link is
// remembered that nobody asks about, in patiences.
const (
	linkFresh = time.Second
	linkKnown = 4
)

type link struct {
	mu      sync.Mutex // held while Redis is asked
	used    time.Time  // under links.mu
	asked   time.Time
	cut     bool
	missing time.Time // since when it is, as far as is known here; zero if it is not
}

// errLinkGone cancels a task.
var errLinkGone = fmt.Errorf("%w: the program that it is linked to (queue.Linked) is gone", queue.ErrCancelled)

// ask returns errLinkGone if the program is, and how long to wait to be sure if it
// seems so. Redis may have been away, or started anew, and the program about to
// renew its link: what it does not say is no proof at once, and what it cannot be
// asked is none at all.
func (ls *links) ask(name string) (wait time.Duration, err error) {
	now := time.Now()
	ls.mu.Lock()
	l := ls.known[name]
	if l == nil {
		l = &link{}
		ls.known[name] = l
	}
	l.used = now
	ls.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.asked) >= linkFresh {
		state, err := ls.store.Link(context.Background(), name)
		l.asked, l.cut = now, state == store.LinkCut
		switch {
		case err != nil || state != store.LinkMissing:
			l.missing = time.Time{}
		case l.missing.IsZero():
			l.missing = now
		}
	}
	switch {
	case l.cut:
		return 0, errLinkGone
	case l.missing.IsZero():
		return 0, nil
	}
	// What is asked again must be a fresh answer.
	if wait = ls.patience - l.asked.Sub(l.missing); wait <= 0 {
		return 0, errLinkGone
	}
	return max(wait, linkFresh), nil
}

// watchLinks interrupts what runs for programs that are gone, until ctx is done.
func (w *Worker) watchLinks(ctx context.Context) {
	every := time.NewTicker(w.links.patience / 3)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for _, name := range w.linked() {
			if _, err := w.links.ask(name); err != nil {
				w.interruptLinked(name, err)
			}
		}
		w.links.forget()
	}
}

// linked returns the links that running tasks have.
func (w *Worker) linked() []string {
	s := &w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	names := map[string]bool{}
	for _, p := range w.ports {
		for d := p.first; d != nil; d = d.next {
			if d.link != "" {
				names[d.link] = true
			}
		}
	}
	return slices.Collect(maps.Keys(names))
}

// forget lets go of links that no task has had for long.
func (ls *links) forget() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	maps.DeleteFunc(ls.known, func(_ string, l *link) bool { return time.Since(l.used) > linkKnown*ls.patience })
}

func (w *Worker) interruptLinked(name string, cause error) {
	s := &w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range w.ports {
		for d := p.first; d != nil; d = d.next {
			if d.link == name {
				d.attempt.End(cause)
				n++
			}
		}
	}
	if n > 0 {
		w.log.Info("the program that tasks are linked to is gone; they are interrupted", zap.Int("tasks", n))
	}
}
