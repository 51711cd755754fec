package queue

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// mapping is one run of a Map: a goroutine pulls the source, another one submits
// what was pulled meanwhile, and the caller's yields what is done. All of it is in
// parts, so that a short item costs no more than its place in them.
type mapping[In, Out any] struct {
	t       Task[In, Out] // with the verb's options
	ctx     context.Context
	x       Executor
	ordered bool
	total   int   // how many arguments there are; -1 as long as that is not known
	outs    []Out // where their values go, if all are to be there; else nil

	room, work, news chan struct{} // wake the puller, the sender and the caller
	pulling, sending chan struct{} // closed when they have ended

	mu      sync.Mutex
	pulled  int
	yielded int
	queued  line[In]                    // pulled and not sent
	order   []*part[In, Out]            // sent and not yielded, if ordered
	ended   []*part[In, Out]            // done and not yielded, if not ordered
	flying  map[*Promise]*part[In, Out] // sent and not done
	sizes   chunkSizes
	parked  bool  // the puller waits for room
	idle    bool  // the sender waits for work
	over    bool  // the source has ended
	cut     bool  // because ctx has
	exited  bool  // because it called runtime.Goexit
	crash   any   // because it panicked
	fault   error // because it failed
	stopped bool  // nobody wants more
}

// mapping applies the options. It starts nothing.
func (t Task[In, Out]) mapping(ctx context.Context, x Executor, opts []Option) (*mapping[In, Out], error) {
	for _, o := range opts {
		o(&t.settings)
	}
	t.def = t.define()
	if t.err != nil {
		return nil, t.err
	}
	if err := t.msg.check(); err != nil {
		return nil, err
	}
	signal := func() chan struct{} { return make(chan struct{}, 1) }
	m := &mapping[In, Out]{
		t: t, ctx: ctx, x: x, total: -1, flying: map[*Promise]*part[In, Out]{},
		room: signal(), work: signal(), news: signal(), pulling: make(chan struct{}), sending: make(chan struct{}),
		sizes: chunkSizes{fixed: t.chunk, size: 1, most: maxChunkItems},
	}
	if s, ok := x.(Sizer); ok {
		m.sizes.workers = s.Workers()
	}
	if t.window > 0 {
		m.sizes.most = max(1, min(t.window/4, maxChunkItems))
	}
	m.sizes.never = t.msg.Key != "" || t.msg.Stream || len(t.msg.Then) > 0 || t.chunk == 1 || t.chunk == 0 && t.msg.Timeout > 0
	return m, nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (m *mapping[In, Out]) start(pull func()) {
	if m.ctx.Err() != nil {
		m.over, m.cut = true, true
		close(m.pulling)
		close(m.sending)
		return
	}
	go pull()
	go m.send()
}

// mostAhead bounds the window that nobody has set.
const mostAhead = 1 << 16

// window is how far pulling may be ahead of yielding. m.mu is held.
func (m *mapping[In, Out]) window() int {
	if m.t.window > 0 {
		return m.t.window
	}
	size, messages := m.sizes.now(), DefaultWindow
	if m.sizes.fixed == 0 {
		messages /= 4 // the size is a guess as yet
	}
	return max(DefaultWindow, min(messages*size, mostAhead), 2*size)
}

// pull ranges over the source.
func (m *mapping[In, Out]) pull(src iter.Seq[In]) {
	returned := false
	defer func() {
		v := recover()
		m.mu.Lock()
		m.over, m.parked = true, false
		failed, isFault := v.(*sourceError)
		switch {
		case returned:
		case isFault:
			m.fault = failed.error
		case v == nil:
			m.exited = true
		case m.stopped:
			slog.Error("cenote: the source of a Map that is over panicked", "panic", v, "stack", string(debug.Stack()))
		default:
			m.crash = v
		}
		m.mu.Unlock()
		close(m.pulling)
		wake(m.work)
		wake(m.news)
	}()
	for in := range src {
		if !m.push(in) {
			break
		}
	}
	returned = true
}

// push takes one argument, and returns when there is room for another one or none
// is wanted.
func (m *mapping[In, Out]) push(in In) bool {
	for first := true; ; first = false {
		m.mu.Lock()
		m.parked = false
		m.cut = m.ctx.Err() != nil
		if m.stopped || m.cut {
			m.mu.Unlock()
			return false
		}
		size := m.sizes.now()
		if first {
			m.queued.add(in, min(size, maxChunkItems))
			m.pulled++
		}
		m.parked = m.pulled >= m.yielded+m.window()
		parked, work := m.parked, m.idle && m.sendable(size, len(m.flying))
		m.mu.Unlock()
		if work {
			wake(m.work)
		}
		if !parked {
			return true
		}
		select {
		case <-m.room:
		case <-m.ctx.Done():
		}
	}
}

// feed is pull for a source that is there already: it takes what there is room for
// at once.
func (m *mapping[In, Out]) feed(ins line[In]) {
	defer func() {
		m.mu.Lock()
		m.over, m.parked = true, false
		m.mu.Unlock()
		close(m.pulling)
		wake(m.work)
		wake(m.news)
	}()
	total := ins.n
	m.mu.Lock()
	m.queued = line[In]{pieces: ins.pieces}
	m.mu.Unlock()
	for {
		m.mu.Lock()
		m.cut = m.ctx.Err() != nil
		if m.stopped || m.cut {
			m.mu.Unlock()
			return
		}
		more := max(0, min(total, m.yielded+m.window())-m.pulled)
		m.pulled += more
		m.queued.n += more
		m.parked = m.pulled < total
		parked := m.parked
		m.mu.Unlock()
		if !parked {
			return
		}
		wake(m.work)
		select {
		case <-m.room:
		case <-m.ctx.Done():
		}
	}
}

// roomy reports whether there is room enough for it to be worth while to wake the
// puller: for a chunk, or for half of a window that has no room for two. m.mu is held.
func (m *mapping[In, Out]) roomy() bool {
	w := m.window()
	return m.yielded+w-m.pulled >= max(1, min(m.sizes.now(), w/2))
}

// sendable reports whether a chunk of n can leave while so many are on their way. A
// part of one waits for the rest, unless there may be none: because the source has
// ended, or the puller has no room and may not get enough (in a window of two chunks
// it will, as soon as what is on its way and done was yielded), or because workers
// might be idle meanwhile. m.mu is held.
func (m *mapping[In, Out]) sendable(n, flying int) bool {
	return m.queued.n >= n || m.over || m.parked && m.window() < 2*n || m.sizes.hungry(flying)
}

// send submits, each time, all that was pulled during the last time.
func (m *mapping[In, Out]) send() {
	defer close(m.sending)
	for {
		m.mu.Lock()
		first := m.pulled - m.queued.n
		chunks := m.cutChunks()
		m.idle = len(chunks) == 0
		end := m.stopped || m.ctx.Err() != nil || m.over && m.queued.n == 0 && len(chunks) == 0
		m.mu.Unlock()
		if end {
			return
		}
		if len(chunks) > 0 {
			m.submit(first, chunks)
			continue
		}
		select {
		case <-m.work:
		case <-m.ctx.Done():
		}
	}
}

// cutChunks takes from the queue what is to be sent now. m.mu is held.
func (m *mapping[In, Out]) cutChunks() (chunks [][]In) {
	for m.queued.n > 0 {
		n := m.sizes.now()
		switch {
		case m.total >= 0:
			n = m.sizes.guided(m.total, m.total-m.pulled+m.queued.n)
		case m.over:
			n = m.sizes.guided(m.pulled, m.queued.n)
		}
		if !m.sendable(n, len(m.flying)+len(chunks)) {
			return chunks
		}
		chunks = append(chunks, m.queued.take(min(n, m.queued.n)))
	}
	return chunks
}

// submit sends chunks in a row, the first of which begins at a position, and sees to
// what becomes of them.
func (m *mapping[In, Out]) submit(first int, chunks [][]In) {
	var parts, sent []*part[In, Out]
	var ms []*Message
	for _, ins := range chunks {
		parts = append(parts, m.pack(first, ins)...)
		first += len(ins)
	}
	m.mu.Lock()
	for _, p := range parts {
		switch {
		case !p.done:
			sent, ms = append(sent, p), append(ms, p.msg)
			p.msg = nil
		case !m.ordered:
			m.ended = append(m.ended, p)
		}
	}
	if m.ordered {
		m.order = append(m.order, parts...)
	}
	m.mu.Unlock()
	// The caller has news if something failed, and one that is a handler if there is
	// now a task that it waits for.
	news := len(sent) < len(parts) || hostOf(m.ctx) != nil
	if len(sent) > 0 {
		ps, errs := m.x.SubmitAll(m.ctx, ms)
		m.mu.Lock()
		for i, p := range sent {
			if p.promise = ps[i]; p.promise != nil {
				m.flying[p.promise] = p
			} else if m.ctx.Err() == nil { // else ctx's end speaks for it
				m.fail(p, errs[i])
				news = true
			}
		}
		m.mu.Unlock()
		for _, p := range sent {
			if p.promise != nil {
				p.promise.OnDone(func() { m.landed(p) })
			}
		}
	}
	if news {
		wake(m.news)
	}
}

// fail ends a part, once, with an error for all its items. m.mu is held.
func (m *mapping[In, Out]) fail(p *part[In, Out], err error) {
	m.finish(p, nil, slices.Repeat([]error{err}, len(p.ins)))
}

// finish ends a part, once. m.mu is held.
func (m *mapping[In, Out]) finish(p *part[In, Out], outs []Out, errs []error) {
	if p.done {
		return
	}
	p.done, p.outs, p.errs = true, outs, errs
	if !m.ordered {
		m.ended = append(m.ended, p)
	}
}

// landed takes what became of a part.
func (m *mapping[In, Out]) landed(p *part[In, Out]) {
	n := len(p.ins)
	var to []Out
	if m.outs != nil {
		to = m.outs[p.first : p.first+n]
	}
	took, outs, errs := m.results(p.promise, n, to)
	m.mu.Lock()
	delete(m.flying, p.promise)
	m.finish(p, outs, errs)
	m.sizes.learn(took, n)
	m.mu.Unlock()
	wake(m.news)
	wake(m.work)
	wake(m.room)
}

// each passes on what is done until all is, or ctx ends, or take returns false. take
// counts what it yields. What it has not seen then is put back, for [mapping.drain].
func (m *mapping[In, Out]) each(take func(*part[In, Out]) bool) {
	for {
		m.mu.Lock()
		done := m.takeDone()
		left := m.pulled - m.yielded
		end := len(done) == 0 && left == 0 && m.over && !m.cut
		m.mu.Unlock()
		switch {
		case len(done) > 0:
			for i, p := range done {
				done[i] = nil
				if !take(p) {
					m.mu.Lock()
					m.ended = append(done[i+1:], m.ended...)
					m.mu.Unlock()
					return
				}
			}
		case end:
			m.end(take)
			return
		case m.ctx.Err() != nil:
			m.last(take, fmt.Errorf("%w: %d items unfinished: %w", ErrNotReady, left, m.ctx.Err()))
			return
		default:
			m.await()
		}
	}
}

// last passes on an error that is no item's.
func (m *mapping[In, Out]) last(take func(*part[In, Out]) bool, err error) {
	take(&part[In, Out]{first: -1, ins: make([]In, 1), errs: []error{err}, done: true})
}

// takeDone takes what can be passed on now. m.mu is held.
func (m *mapping[In, Out]) takeDone() (done []*part[In, Out]) {
	if !m.ordered {
		done, m.ended = m.ended, nil
		return done
	}
	n := 0
	for n < len(m.order) && m.order[n].done {
		n++
	}
	done = slices.Clone(m.order[:n]) // the array of order is about to hold them no longer
	clear(m.order[:n])
	m.order = m.order[n:]
	return done
}

// count counts what is yielded, and has more pulled if there is room for it.
func (m *mapping[In, Out]) count(n int) {
	m.mu.Lock()
	m.yielded += n
	roomy := m.roomy()
	m.mu.Unlock()
	if roomy {
		wake(m.room)
	}
}

// yieldAll yields the items of a part, and counts every so many of them: counting one
// costs more than a short item does.
func (m *mapping[In, Out]) yieldAll(p *part[In, Out], yield func(Item[In, Out]) bool) bool {
	if p.first < 0 {
		return yield(p.item(0))
	}
	n, step := 0, max(1, min(len(p.ins)/16, 64))
	for i := range p.ins {
		if n++; n == step || i == len(p.ins)-1 {
			m.count(n)
			n = 0
		}
		if !yield(p.item(i)) {
			return false
		}
	}
	return true
}

// end tells the ranging goroutine how the source ended, as if it had ranged over it
// itself.
func (m *mapping[In, Out]) end(take func(*part[In, Out]) bool) {
	switch {
	case m.crash != nil:
		panic(m.crash)
	case m.exited:
		runtime.Goexit()
	case m.fault != nil:
		m.last(take, m.fault)
	}
}

// await waits for news. A handler may only do so if its pool can go on meanwhile.
func (m *mapping[In, Out]) await() {
	if hostOf(m.ctx) != nil {
		if p := m.awaited(); p != nil {
			release, err := hold(m.ctx, p.promise)
			if err != nil {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.fail(p, err)
				return
			}
			defer release()
		}
	}
	select {
	case <-m.news:
	case <-m.ctx.Done():
	}
}

// awaited is a part that the caller waits for, if one was sent.
func (m *mapping[In, Out]) awaited() *part[In, Out] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ordered && len(m.order) > 0 {
		if p := m.order[0]; p.promise != nil && m.flying[p.promise] == p {
			return p
		}
	}
	for _, p := range m.flying {
		if !p.done {
			return p
		}
	}
	return nil
}

// How long the end of a Map waits until its tasks are cancelled, and how long it
// tries at all.
const (
	cancelWait = time.Second
	cancelTime = 10 * time.Second
)

// stop ends pulling and sending, and cancels what is on its way.
func (m *mapping[In, Out]) stop(how Cancellation) {
	m.mu.Lock()
	m.stopped = true
	parked := m.parked
	m.mu.Unlock()
	wake(m.room)
	wake(m.work)
	if parked { // it is told that nobody wants more, as by any loop that breaks
		<-m.pulling
	}
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		<-m.sending // what it sends now is to be cancelled too
		m.mu.Lock()
		ps := make([]*Promise, 0, len(m.flying))
		for p := range m.flying {
			ps = append(ps, p)
		}
		m.mu.Unlock()
		ctx, done := context.WithTimeout(context.WithoutCancel(m.ctx), cancelTime)
		defer done()
		_, _ = cancelAll(ctx, ps, how) // what cannot be cancelled finishes unheard
	}()
	patience := time.NewTimer(cancelWait)
	defer patience.Stop()
	select {
	case <-cancelled:
	case <-patience.C:
	}
}

// cancelAll cancels the tasks of promises that are not settled, and have somebody
// who can; results has an entry for each of those.
func cancelAll(ctx context.Context, ps []*Promise, how Cancellation) (results []CancelResult, err error) {
	by := map[Control][]*Promise{}
	for _, p := range ps {
		if _, _, settled := p.Outcome(); !settled && p.control != nil {
			by[p.control] = append(by[p.control], p)
		}
	}
	for c, ps := range by {
		rs, e := c.Cancel(ctx, ps, how)
		results = append(results, rs...)
		if err == nil {
			err = e
		}
	}
	return results, err
}
