package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// delivery is one task in the hands of this worker, from its claim to its end.
type delivery struct {
	port    *port
	life    int  // the incarnation of the port that claimed it
	lot     *lot // nil if it was claimed by itself
	claimed *store.Claimed
	now     int64          // the server's clock when it was claimed; 0 if not known
	msg     *queue.Message // from messages, since parse until finish; owned by Run
	then    *store.Next    // what follows a success; owned by Run
	sealed  bool           // it came sealed; does not change while it runs

	// For the handler, see host; set before it runs.
	ctx          queue.HandlerContext // what it gets
	attempt      run.Lifetime         // ends when the attempt must
	kind, common string
	link         string
	headers      map[string]string
	part         atomic.Int64 // bytes on record

	// Under port.w.slots.mu, while it runs:
	next, prev *delivery
	asides     int           // how many goroutines of its handler are in Aside
	lent       bool          // its slot is another's meanwhile
	returning  chan struct{} // closed when it is not any more; made by who waits for that
	ended      bool          // it does not run any more

	spoke atomic.Bool // it has said something, see hush
	over  atomic.Bool // and says nothing more
}

// Run runs the task; it is called by the crew.
func (d *delivery) Run() {
	w := d.port.w
	err := d.parse()
	m := d.msg
	if err == nil {
		err = d.refuse(d.claimed.Note)
	}
	if err != nil {
		d.end(m, nil, err, 0)
		return
	}

	if m.Link != "" {
		wait, err := w.links.ask(m.Link)
		switch {
		case err != nil:
			d.end(m, nil, err, 0)
			return
		case wait > 0:
			d.finish(store.End{ID: m.ID, Verdict: queue.VerdictPark, Delay: wait}, -1)
			return
		}
	}

	var ctx context.Context = &d.attempt
	if m.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, time.Now().Add(m.Timeout), queue.ErrTimeout)
		defer stop()
	}
	d.kind, d.common, d.link, d.headers = m.Type, m.Common, m.Link, m.Headers
	ctx = d.ctx.Init(ctx, (*host)(d))
	switch err := d.began(); err {
	case nil:
	case queue.ErrCancelled: //nolint:errorlint // its own words
		d.port.callOff([]*delivery{d})
		return
	default:
		d.end(m, nil, err, 0)
		return
	}
	began := time.Now()
	handler := w.handler
	if m.Type == relayType {
		handler = queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) { return w.relay(ctx, m, d.sealed) })
	}
	run.Call(ctx, handler, m, func(value []byte, err error) {
		took := time.Since(began)
		d.hush()
		if err == nil && len(value) > w.cfg.MaxMessage {
			err = fmt.Errorf("%w: the value of %q has %d bytes, the limit is %d; store it elsewhere and return a reference, or raise consumer.Config.MaxMessage",
				queue.ErrTooLarge, m.Type, len(value), w.cfg.MaxMessage)
		}
		if err == nil && len(m.Then) > 0 {
			d.then, err = d.follow(value)
		}
		d.end(m, value, err, took)
	})
}

// parse reads the message. What cannot be read is dead: it stays where a person
// can look at it, and holds nobody up.
func (d *delivery) parse() error {
	m := d.msg
	if m == nil { // else it was read before, and then called off
		m = messages.Get().(*queue.Message)
		d.msg = m
	}
	var err error
	if n := len(d.claimed.Wire); n > d.port.w.cfg.MaxMessage {
		err = fmt.Errorf("%w: the message has %d bytes, the limit is %d; raise consumer.Config.MaxMessage", queue.ErrTooLarge, n, d.port.w.cfg.MaxMessage)
	} else {
		err = m.ParseWire(d.claimed.Wire)
	}
	if err != nil {
		*m = queue.Message{}
	}
	m.ID, m.Queue, m.Priority = d.claimed.ID, d.port.line.Queue, d.claimed.Note.Priority()
	if err != nil {
		return err
	}
	d.sealed = m.Sealed != nil
	if err := d.port.w.cfg.Seal.OpenMessage(m); err != nil {
		// Whoever seems to wait is told, and nothing else of it is believed.
		*m = queue.Message{ID: m.ID, Queue: m.Queue, Priority: m.Priority, Type: m.Type, ReplyTo: m.ReplyTo, Group: m.Group}
		return err
	}
	if len(m.Then) > 0 {
		return checkThen(m) // whoever waits is told
	}
	return nil
}

// outcome is how o travels: sealed, if the task was.
func (d *delivery) outcome(o *queue.Outcome) *queue.Outcome {
	if !d.sealed || o == nil {
		return o
	}
	return d.port.w.cfg.Seal.Outcome(d.port.line.Queue, o)
}

// wire is the form of a new message that follows d: sealed, if d was.
func (w *Worker) wire(m *queue.Message, sealed bool) []byte {
	if sealed {
		m = w.cfg.Seal.Message(m)
	}
	return m.AppendWire(make([]byte, 0, m.WireSize()))
}

// refuse returns why the task must not be run, if so.
func (d *delivery) refuse(n store.Note) error {
	if n.Crashes >= d.port.w.cfg.MaxCrashes {
		return queue.NoRetry(fmt.Errorf("%w: %d deliveries of the task ended with the loss of the worker that ran it", queue.ErrWorkerLost, n.Crashes))
	}
	if n.Expires > 0 && d.now > n.Expires {
		return fmt.Errorf("%w: it waited %v too long", queue.ErrExpired, time.Duration(d.now-n.Expires)*time.Millisecond)
	}
	return nil
}

// began puts d among the running. It returns queue.ErrLeaseLost if the lease was
// lost before, and queue.ErrCancelled if somebody wants the task cancelled.
func (d *delivery) began() error {
	p := d.port
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.life != d.life {
		return queue.ErrLeaseLost
	}
	if _, ok := p.wished(d); ok {
		return queue.ErrCancelled
	}
	d.next = p.first
	if d.next != nil {
		d.next.prev = d
	}
	p.first = d
	return nil
}

// giveBack hands the task back, which nobody has begun.
func (d *delivery) giveBack() {
	d.port.w.stats.givenBack.Add(1)
	d.finish(store.End{ID: d.claimed.ID, Verdict: queue.VerdictGiveBack}, -1)
}

// end decides what becomes of the task.
func (d *delivery) end(m *queue.Message, value []byte, err error, took time.Duration) {
	w := d.port.w
	note := d.claimed.Note
	attempt := note.Attempts + 1
	v := queue.Verdict{Kind: queue.VerdictDone}
	crash, crashed := errors.AsType[*queue.CrashError](err)
	switch {
	case crashed:
		w.stats.crashed.Add(1)
		note.Crashes++
		v, err = w.afterCrash(note.Crashes, crash)
	case child.IsBroken(err):
		v.Kind = queue.VerdictGiveBack // no child process: others may have some
	case err != nil:
		v = queue.Decide(err, queue.Attempt{
			Number: attempt, Crashes: note.Crashes, Retries: m.Retries, Backoff: m.Backoff, Jitter: rand.Float64(), //nolint:gosec // jitter
		})
	}
	e := store.End{ID: d.claimed.ID, Verdict: v.Kind, Delay: v.Delay, Attempt: attempt, Value: value, Codec: m.Codec}
	if m.Group == d.port.line.Group { // on a stream one group's outcome is the answer
		e.ReplyTo, e.Keep = m.ReplyTo, m.Keep
	}
	e.Next, e.Part = d.then, d.part.Load() > 0
	switch v.Kind {
	case queue.VerdictDone:
		w.stats.succeeded.Add(1)
		if e.Keep > 0 || e.Next != nil || e.Part || d.sealed { // else it is made when somebody wants it
			o := e.Success()
			e.Outcome = &o
		}
	case queue.VerdictRetry:
		w.stats.retried.Add(1)
		if !crashed { // errors and crashes have separate budgets
			note.Attempts = attempt
		}
		e.Note = note
		e.Outcome = w.mux.Failure(m, queue.StateDead, attempt, err)
	case queue.VerdictDead:
		w.stats.dead.Add(1)
		e.Outcome = w.mux.Failure(m, queue.StateDead, attempt, err)
	case queue.VerdictCancel:
		e.Outcome = w.mux.Failure(m, queue.StateCancelled, attempt, err)
	case queue.VerdictExpire:
		e.Outcome = w.mux.Failure(m, queue.StateExpired, 0, err)
	case queue.VerdictPark:
		e.Delay = parkFor
	case queue.VerdictGiveBack:
		w.stats.givenBack.Add(1)
	case queue.VerdictDrop:
	}
	if e.Outcome != nil && e.Keep > 0 {
		e.Outcome.Type = m.Type // whoever opens it by its id may be mistaken about that
	}
	e.Outcome = d.outcome(e.Outcome)
	d.tell(m, v, attempt, took, err)
	d.finish(e, took)
}

// parkFor is how long a task of an unknown type waits before it is offered again,
// maybe to a worker that knows it.
const parkFor = 2 * time.Second

// tell logs the end of a task that did not simply succeed.
func (d *delivery) tell(m *queue.Message, v queue.Verdict, attempt int, took time.Duration, err error) {
	if err == nil {
		return
	}
	log := d.port.w.log.With(
		zap.Stringer("task_id", d.claimed.ID), zap.String("task_type", m.Type), zap.String("queue", d.port.line.Queue),
		zap.Int("attempt", attempt), zap.Duration("duration", took), zap.Error(err))
	switch v.Kind {
	case queue.VerdictRetry:
		log.Info("task failed, will be tried again", zap.Duration("retry_in", v.Delay))
	case queue.VerdictDead:
		log.Error("task is dead")
	case queue.VerdictPark:
		log.Warn("no handler for this task type: the task waits for a worker that has one", zap.Duration("retry_in", parkFor))
	default:
		log.Info("task ended early")
	}
}

// finish takes d off the books and has its end told. took is negative for a task
// that was not run.
func (d *delivery) finish(e store.End, took time.Duration) {
	p := d.port
	s := &p.w.slots
	s.mu.Lock()
	s.held--
	delete(p.wishes, d.claimed.ID)
	s.alone = s.alone && s.held > 0
	if p.first == d || d.prev != nil { // it was put there, see began
		if d.prev != nil {
			d.prev.next = d.next
		} else {
			p.first = d.next
		}
		if d.next != nil {
			d.next.prev = d.prev
		}
	}
	if took >= 0 {
		s.ahead.ran(took, len(d.claimed.Wire))
	}
	if p.life == d.life {
		if e.Unwanted() {
			p.streak++
		} else {
			p.streak = 0
		}
		if !p.lotted(d.lot, &e) && e.Verdict != queue.VerdictDrop {
			p.ends = append(p.ends, e)
		}
	}
	d.ended = true
	lent, returning := d.lent, d.returning
	p.lanes.Signal()
	p.bells.Signal()
	if len(s.ports) > 1 {
		for _, q := range s.ports {
			if q != p {
				q.lanes.Signal()
				q.bells.Signal()
			}
		}
	}
	s.mu.Unlock()
	d.attempt.End(nil)
	if lent { // a goroutine that the handler has left behind is in Aside
		d.takeSlot(returning)
	}
	// The deliveries of one turn are one allocation: a slow one must not keep the
	// messages of the others.
	if m := d.msg; m != nil {
		*m = queue.Message{Type: m.Type} // the next one is likely to be of this type
		messages.Put(m)
	}
	d.claimed.Wire, d.msg, d.then = nil, nil, nil
}

// messages are those of tasks that have ended: there are as many as run at once.
var messages = sync.Pool{New: func() any { return new(queue.Message) }}
