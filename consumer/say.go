package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

const (
	// sayWithin is how long an event waits for others to travel with.
	sayWithin = 50 * time.Millisecond
	// sayMost is how many events of a task travel at once; the oldest go first.
	sayMost = 1000
)

// said collects what a port's handlers say.
type said struct {
	sending sync.Mutex // one batch at a time, so that they arrive in order

	mu      sync.Mutex
	tasks   map[*delivery]*store.Said
	pending bool // the timer runs
}

// emit passes an event on to whoever waits for the task, within 50 ms. It does not
// block. Of the progress in one batch only the newest counts. After the task's end
// it does nothing.
func (d *delivery) emit(e queue.Event) {
	p := d.port
	s := &p.said
	d.spoke.Store(true) // before over is looked at, see hush
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.over.Load() {
		return
	}
	t := s.tasks[d]
	if t == nil {
		t = &store.Said{ID: d.claimed.ID, Sealed: d.sealed}
		if d.msg.Group == p.line.Group {
			t.ReplyTo = d.msg.ReplyTo
		}
		if s.tasks == nil {
			s.tasks = map[*delivery]*store.Said{}
		}
		s.tasks[d] = t
	}
	if e.Text == "" {
		t.Events = slices.DeleteFunc(t.Events, func(old queue.Event) bool { return old.Text == "" })
	} else if len(t.Events) >= sayMost {
		t.Events = slices.Delete(t.Events, 0, 1)
	}
	t.Events = append(t.Events, e)
	if !s.pending {
		s.pending = true
		time.AfterFunc(sayWithin, p.say)
	}
}

// hush ends what d can say, and sends the rest of it: before its outcome, which is
// told after this.
func (d *delivery) hush() {
	d.over.Store(true)
	if !d.spoke.Load() { // whoever speaks from here on finds that it is over
		return
	}
	d.port.say() // after an emit under way, for it holds the lock
}

// say sends what was said. What cannot be sent is lost: it is news, not a result.
func (p *port) say() {
	s := &p.said
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	tasks := s.tasks
	s.tasks, s.pending = nil, false
	s.mu.Unlock()
	if len(tasks) == 0 {
		return
	}
	all := make([]store.Said, 0, len(tasks))
	for _, t := range tasks {
		all = append(all, *t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for some := range slices.Chunk(all, store.MaxBatch) {
		if err := p.w.store.Say(ctx, p.line, some); err != nil {
			p.w.log.Debug("events were lost", zap.String("queue", p.line.Queue), zap.Error(err))
		}
	}
}
