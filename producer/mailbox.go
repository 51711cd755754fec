package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

const (
	// slowTick is how often the logs are read although nothing was heard: what a
	// lost notification costs at most.
	slowTick = 5 * time.Second
	// pingEvery is how often the other end of the subscription is asked whether it is
	// there, while somebody waits for an outcome. One that does not answer by the next
	// time is left for another.
	pingEvery = 2 * time.Second
	// doubtAfter is how long a task may be silent before the store is asked whether
	// it is still there, and doubtAtOnce how many are asked about at a time.
	doubtAfter  = 15 * time.Second
	doubtAtOnce = 64
	// trimEvery is how many log entries are read before they are dropped.
	trimEvery = 512
	logPage   = 500
)

// mailbox resolves the promises of one client. Outcomes for it are appended to a
// log a queue partition and announced over one subscription, small ones inline.
// The log is the truth: it is read when the subscription is made, whenever it is
// made anew, and on a slow timer.
type mailbox struct {
	store   *store.Store
	addr    string
	control queue.Control // of the promises
	tick    time.Duration // slowTick
	silence time.Duration // doubtAfter
	seal    *seal.Seal    // of what arrives; nil for none

	mu      sync.Mutex
	closed  bool
	pending map[queue.TaskID]*expected
	boxes   map[place]*box
	logs    map[string]*box          // the same boxes, by the name of their log
	sub     *store.Replies           // made by the first box
	asks    map[string]chan struct{} // questions to workers, by token
	asked   uint64

	catch   chan struct{} // cap 1: some box is behind, or has much to trim
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// expected is a promise that waits.
type expected struct {
	promise queue.Promise
	box     *box
	since   time.Time
	stream  bool
	there   atomic.Bool // Redis has had it
	waiters int         // submissions that share it
}

// box is one log.
type box struct {
	log    string
	up     chan struct{} // closed when the subscription first stands, or never will
	err    error         // why it never will; set before up is closed
	isUp   bool
	behind bool   // the log has entries that were not delivered
	marks  int    // how often behind was set: an entry may come while the log is read
	read   string // the last entry that was delivered with all before it
	since  int    // entries since the last trim
	busy   bool   // it is being read or trimmed

	reader sync.Mutex // held by who reads the log
}

func (b *box) mark() {
	b.behind = true
	b.marks++
}

func newMailbox(s *store.Store, addr string, control queue.Control) *mailbox {
	m := &mailbox{
		store: s, addr: addr, control: control, tick: slowTick, silence: doubtAfter,
		asks:    map[string]chan struct{}{},
		pending: map[queue.TaskID]*expected{},
		boxes:   map[place]*box{},
		logs:    map[string]*box{},
		catch:   make(chan struct{}, 1),
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// expect makes the promise of m's task, or finds it.
// It returns when the subscription stands, so that no outcome is missed.
func (m *mailbox) expect(ctx context.Context, msg *queue.Message) (*expected, error) {
	id := msg.ID
	at := place{msg.Queue, id.Partition()}
	m.mu.Lock()
	b := m.boxes[at]
	if m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	if b == nil || !b.isUp {
		m.mu.Unlock()
		if err := m.subscribe(ctx, at); err != nil {
			return nil, err
		}
		m.mu.Lock()
		b = m.boxes[at]
	}
	defer m.mu.Unlock()
	if e := m.pending[id]; e != nil {
		e.waiters++
		return e, nil
	}
	e := &expected{box: b, since: time.Now(), stream: msg.Stream, waiters: 1}
	e.promise.Init(id).Controlled(m.control, msg.Queue, msg.Group)
	m.pending[id] = e
	return e, nil
}

// subscribe makes the log's box and waits until its subscription stands.
func (m *mailbox) subscribe(ctx context.Context, at place) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errClosed
	}
	if m.sub == nil {
		m.sub = m.store.Replies(m.ctx)
		m.running.Go(m.receive)
		m.running.Go(m.keep)
		m.running.Go(m.suspect)
	}
	b := m.boxes[at]
	made := b == nil
	if made {
		b = &box{log: store.ReplyKey(at.queue, at.partition, m.addr), up: make(chan struct{})}
		m.boxes[at], m.logs[b.log] = b, b
	}
	sub := m.sub
	m.mu.Unlock()
	if made {
		// The subscription keeps what it could not add: it is wanted again before long, and
		// to take it away could take it from who asks for it next.
		if err := sub.Add(ctx, b.log); err != nil && m.failed(at, b, err) {
			return err
		}
	}
	select {
	case <-b.up:
		return b.err
	case <-m.ctx.Done():
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: no subscription to outcomes yet: %w", queue.ErrUnavailable, ctx.Err())
	}
}

// forget gives up on the promise of a task that was not accepted.
func (m *mailbox) forget(id queue.TaskID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pending[id]; e != nil {
		if e.waiters--; e.waiters == 0 {
			delete(m.pending, id)
		}
	}
}

// deliver resolves the promise of o's task, if it waits.
func (m *mailbox) deliver(o *queue.Outcome) {
	if e := m.settled(o.ID); e != nil {
		e.promise.Resolve(o)
	}
}

// arrive is deliver of an outcome as it came, which may be sealed. It reports whether
// anybody waited for it, and has it now.
func (m *mailbox) arrive(o *queue.Outcome) (kept bool) {
	e := m.settled(o.ID)
	if e == nil {
		return false
	}
	if err := m.seal.OpenOutcome(e.promise.Queue(), o); err != nil {
		e.promise.Fail(fmt.Errorf("task %s: %w", o.ID, err))
		return true
	}
	e.promise.Resolve(o)
	return true
}

// settled takes the task off the books.
func (m *mailbox) settled(id queue.TaskID) *expected {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.pending[id]
	delete(m.pending, id)
	return e
}

func (m *mailbox) deliverAll(outcomes []byte) {
	// What cannot be read was not written by a worker of this version; the tasks it
	// speaks of are found by the slow timer.
	_ = queue.ParseOutcomes(outcomes, m.arrive)
}

// emit passes on what a handler says.
func (m *mailbox) emit(s *store.Said) {
	m.mu.Lock()
	e := m.pending[s.ID]
	m.mu.Unlock()
	if e == nil {
		return
	}
	for _, event := range m.store.Events(e.promise.Queue(), s) {
		e.promise.Emit(event)
	}
}

// receive takes hints off the subscription.
func (m *mailbox) receive() {
	wait := time.Duration(0)
	for m.ctx.Err() == nil {
		h, err := m.sub.Receive(m.ctx)
		if err != nil {
			if m.ctx.Err() != nil {
				return
			}
			if errors.Is(err, queue.ErrDenied) {
				m.refused(err)
			}
			wait = min(wait+50*time.Millisecond, time.Second)
			store.Pause(m.ctx, wait)
			continue
		}
		wait = 0
		if h.Answered != "" {
			m.answered(h.Answered)
			continue
		}
		if h.Said != nil {
			m.emit(h.Said)
			continue
		}
		if m.store.Waits() && !h.Subscribed { // only what is read is confirmed
			h.Outcomes, h.Entry, h.Skipped = nil, "", true
		}
		if len(h.Outcomes) > 0 {
			m.deliverAll(h.Outcomes)
		}
		m.note(h)
	}
}

// refused fails the submissions that wait for a subscription that Redis does not
// allow: it would not come as long as nobody changes that.
func (m *mailbox) refused(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, b := range m.boxes {
		if !b.isUp {
			m.giveUp(at, b, err)
		}
	}
}

// failed fails the submissions that wait for b's subscription, unless it stands by now.
func (m *mailbox) failed(at place, b *box, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.isUp {
		return false
	}
	if m.boxes[at] == b { // else it was refused meanwhile
		m.giveUp(at, b, err)
	}
	return true
}

// giveUp gives up on b, which is not up. m.mu is held.
func (m *mailbox) giveUp(at place, b *box, err error) {
	b.err = err
	close(b.up)
	delete(m.boxes, at)
	delete(m.logs, b.log)
}

// note keeps the books of a hint that was delivered as far as it could be.
func (m *mailbox) note(h store.Hint) {
	m.mu.Lock()
	b := m.logs[h.Key]
	poke := false
	if b != nil {
		switch {
		case h.Subscribed:
			// The first time there is nothing to miss: nothing was submitted yet.
			if b.isUp {
				b.mark()
				poke = true
			} else {
				b.isUp = true
				close(b.up)
			}
		case h.Skipped:
			b.mark()
			poke = true
		case h.Entry != "" && !b.behind:
			b.read = h.Entry
			b.since++
			poke = b.since >= trimEvery
		}
	}
	m.mu.Unlock()
	if poke {
		m.poke()
	}
}

func (m *mailbox) poke() {
	select {
	case m.catch <- struct{}{}:
	default:
	}
}

// keep reads logs that are behind, drops what was read, and on a slow timer reads
// all that anybody waits for.
func (m *mailbox) keep() {
	tick := time.NewTicker(m.tick)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.catch:
			m.catchUp(false)
		case <-tick.C:
			m.catchUp(true)
		}
	}
}

// suspect looks, while somebody waits, whether the subscription is as dead as it
// seems, and asks after tasks that were silent for long. It does so beside keep: a
// node that does not answer must not hold up what comes from others.
func (m *mailbox) suspect() {
	ask, tick := time.NewTicker(pingEvery), time.NewTicker(m.tick)
	defer ask.Stop()
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ask.C:
			m.mu.Lock()
			waits, sub := len(m.pending) > 0, m.sub
			m.mu.Unlock()
			if waits {
				_ = sub.Check(m.ctx) // what fails is mended by Receive
			}
		case <-tick.C:
			m.doubt()
		}
	}
}

// catchUp has the logs read that are behind, or all that anybody waits for, and
// those trimmed that have grown. Each is read by itself: they may be on several nodes.
func (m *mailbox) catchUp(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all {
		for _, e := range m.pending {
			e.box.mark()
		}
	}
	for _, b := range m.logs {
		if trim := b.since >= trimEvery || all && b.since > 0; !b.busy && (b.behind || trim) {
			b.busy = true
			m.running.Go(func() { m.tend(b, trim) })
		}
	}
}

// tend reads the box's log, if it is behind, and drops what was read before.
func (m *mailbox) tend(b *box, trim bool) {
	m.mu.Lock()
	behind, before := b.behind, ""
	if trim {
		before, b.since = b.read, 0
	}
	m.mu.Unlock()
	failed := behind && m.readLog(b) != nil
	if before != "" {
		_ = m.store.TrimLog(m.ctx, b.log, before) // the next trim makes up for it
	}
	if failed { // it is tried again soon, not in a busy loop
		store.Pause(m.ctx, 200*time.Millisecond)
	}
	m.mu.Lock()
	b.busy = false
	again := b.behind
	m.mu.Unlock()
	if again {
		m.poke()
	}
}

// readLog delivers what the box's log has beyond b.read.
func (m *mailbox) readLog(b *box) error {
	b.reader.Lock()
	defer b.reader.Unlock()
	for {
		m.mu.Lock()
		marks, read := b.marks, b.read
		b.behind = true
		m.mu.Unlock()
		entries, err := m.store.ReadLog(m.ctx, b.log, read, logPage) // nobody else moves b.read while b.behind
		if err != nil {
			return err
		}
		for _, e := range entries {
			m.deliverAll(e.Outcomes)
		}
		m.mu.Lock()
		if len(entries) > 0 {
			b.read = entries[len(entries)-1].Entry
			b.since += len(entries)
		}
		done := len(entries) < logPage && b.marks == marks
		if done {
			b.behind = false
		}
		m.mu.Unlock()
		if done {
			return nil
		}
	}
}

// doubt asks after tasks that were silent for long, a few at a time: a Redis that
// lost its memory must not leave anybody waiting for ever.
func (m *mailbox) doubt() {
	type silent struct {
		id queue.TaskID
		e  *expected
	}
	var some []silent
	m.mu.Lock()
	now := time.Now()
	for id, e := range m.pending { // in random order, so all get their turn
		if !e.stream && e.there.Load() && now.Sub(e.since) > m.silence {
			if some = append(some, silent{id, e}); len(some) == doubtAtOnce {
				break
			}
		}
	}
	m.mu.Unlock()
	var gone []silent
	for _, s := range some {
		st, err := m.store.Open(m.ctx, store.NewLine(s.e.promise.Queue(), s.id.Partition(), ""), s.id, "")
		if err != nil {
			return
		}
		switch {
		case st.Outcome != nil:
			m.deliverAll(st.Outcome)
		case !st.Waits:
			gone = append(gone, s)
		}
	}
	if len(gone) == 0 {
		return
	}
	read := map[*box]error{}
	for _, s := range gone {
		if _, did := read[s.e.box]; !did {
			read[s.e.box] = m.readLog(s.e.box) // it may have finished while it was asked after
		}
		if read[s.e.box] != nil {
			continue
		}
		m.mu.Lock()
		still := m.pending[s.id] == s.e
		if still {
			delete(m.pending, s.id)
		}
		m.mu.Unlock()
		if still {
			s.e.promise.Fail(fmt.Errorf("%w: task %s is neither in Redis nor was its outcome received", queue.ErrResultExpired, s.id))
		}
	}
}

// close fails what still waits.
func (m *mailbox) close() error {
	m.mu.Lock()
	m.closed = true
	pending, logs, sub := m.pending, m.logs, m.sub
	m.pending = map[queue.TaskID]*expected{}
	m.mu.Unlock()
	m.stop()
	var err error
	if sub != nil {
		err = sub.Close()
	}
	m.running.Wait()
	for _, e := range pending {
		e.promise.Fail(errClosed)
	}
	// Nobody will read these logs; those that outcomes still come to expire.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for log := range logs {
		err = errors.Join(err, m.store.DropLog(ctx, log))
	}
	return err
}
