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

// DefaultWindow is how many arguments of a Map are pulled and not yet yielded unless
// [Window] says otherwise. With tasks so short that many share a message it is 64
// messages of them instead, but no more than 65536 arguments.
const DefaultWindow = 256

// Window sets how many arguments of a Map may be pulled and not yet yielded. It
// bounds the memory of a Map, however long its source. Default: [DefaultWindow].
func Window(n int) Option {
	return func(s *settings) {
		if n < 1 {
			s.fail(fmt.Errorf("%w: Window is %d; give it at least 1", ErrOption, n))
			return
		}
		s.window = n
	}
}

// Chunk makes n arguments of a Map share a message, or as many as fit into 256 KiB,
// and so the cost of a trip. One worker runs them one after the other; each has its
// own value or error, and its own retries. A [Timeout] is then n times as long, for
// all of them together. Chunk(1) makes each travel alone.
//
// Without Chunk, a Map measures how long an item takes and lets as many share a
// message as take about 50 ms; tasks with a Timeout then travel alone. Tasks with an
// [ID], a [Then] or on a stream always travel alone.
func Chunk(n int) Option {
	return func(s *settings) {
		if n < 1 {
			s.fail(fmt.Errorf("%w: Chunk is %d; give it at least 1", ErrOption, n))
			return
		}
		s.chunk = n
	}
}

// Item is one argument of a Map and what became of it.
type Item[In, Out any] struct {
	Index int // the argument's position in the source, from 0; -1 for an error that is no item's
	In    In
	Out   Out
	Err   error
}

// Map submits a task for each argument of src and yields the values in the order
// of the arguments.
//
// src is pulled as the window allows, in a goroutine of its own, so that a slow one
// holds nothing back that is finished. An item's error is yielded at its place and
// the iteration goes on. What is wrong with the options, or ctx when it ends, is
// yielded as one last error. A panic of src, and the error of a source that
// [Fallible] made, come after the values of what was pulled before.
//
// A loop that breaks, and the end of ctx, stop the pulling and cancel the tasks that
// have not started, if the executor can; those that run finish unheard. Leaving the
// loop waits at most a second for that, and not for a source that is at work on its
// next argument.
func (t Task[In, Out]) Map(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq2[Out, error] {
	return outOf(t.Stream(ctx, x, src, opts...))
}

// MapUnordered is Map in the order in which the tasks end.
func (t Task[In, Out]) MapUnordered(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq2[Out, error] {
	return outOf(t.StreamUnordered(ctx, x, src, opts...))
}

func outOf[In, Out any](items iter.Seq[Item[In, Out]]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for it := range items {
			if !yield(it.Out, it.Err) {
				return
			}
		}
	}
}

// Stream is Map with each item's position and argument.
func (t Task[In, Out]) Stream(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq[Item[In, Out]] {
	return t.stream(ctx, x, src, true, opts)
}

// StreamUnordered is Stream in the order in which the tasks end.
func (t Task[In, Out]) StreamUnordered(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq[Item[In, Out]] {
	return t.stream(ctx, x, src, false, opts)
}

func (t Task[In, Out]) stream(ctx context.Context, x Executor, src iter.Seq[In], ordered bool, opts []Option) iter.Seq[Item[In, Out]] {
	return func(yield func(Item[In, Out]) bool) {
		m, err := t.mapping(ctx, x, opts)
		if err != nil {
			yield(Item[In, Out]{Index: -1, Err: err})
			return
		}
		m.ordered = ordered
		m.start(func() { m.pull(src) })
		defer m.stop(Cancellation{})
		m.each(yield)
	}
}

// Fallible makes a source that may fail one for a Map: it ends the Map with that
// very error, after the values of what came before it. Whoever else ranges over it
// gets a panic with an error that wraps it.
func Fallible[In any](seq iter.Seq2[In, error]) iter.Seq[In] {
	return func(yield func(In) bool) {
		for in, err := range seq {
			if err != nil {
				panic(&sourceError{err})
			}
			if !yield(in) {
				return
			}
		}
	}
}

// sourceError is how the error of a source gets past an iter.Seq.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// slot is an argument on its way.
type slot[In, Out any] struct {
	Item[In, Out]
	done    bool
	promise *Promise // of its message
}

// mapping is one run of a Map: a goroutine pulls the source, another one submits
// what was pulled meanwhile, and the caller's yields what is done.
type mapping[In, Out any] struct {
	t       Task[In, Out] // with the verb's options
	ctx     context.Context
	x       Executor
	ordered bool
	total   int // how many arguments there are; -1 as long as that is not known

	room, work, news chan struct{} // wake the puller, the sender and the caller
	pulling, sending chan struct{} // closed when they have ended

	mu      sync.Mutex
	pulled  int
	yielded int
	block   []slot[In, Out]               // what is left of the slots made at once
	queued  []*slot[In, Out]              // pulled and not sent
	order   []*slot[In, Out]              // pulled and not yielded, if ordered
	ended   []*slot[In, Out]              // done and not yielded, if not ordered
	flying  map[*Promise][]*slot[In, Out] // sent and not done
	sizes   chunkSizes
	parked  bool  // the puller waits for room
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
		t: t, ctx: ctx, x: x, total: -1, flying: map[*Promise][]*slot[In, Out]{},
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

// window is how far pulling may be ahead of yielding. m.mu is held.
func (m *mapping[In, Out]) window() int {
	if m.t.window > 0 {
		return m.t.window
	}
	size := m.sizes.now()
	return max(DefaultWindow, min(64*size, 1<<16), 2*size)
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
		if first {
			m.queue(in)
		}
		m.parked = m.pulled >= m.yielded+m.window()
		parked := m.parked
		m.mu.Unlock()
		wake(m.work)
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
func (m *mapping[In, Out]) feed(ins []In) {
	defer func() {
		m.mu.Lock()
		m.over, m.parked = true, false
		m.mu.Unlock()
		close(m.pulling)
		wake(m.work)
		wake(m.news)
	}()
	for {
		m.mu.Lock()
		m.cut = m.ctx.Err() != nil
		if m.stopped || m.cut {
			m.mu.Unlock()
			return
		}
		n := min(len(ins), m.yielded+m.window()-m.pulled, blockSize)
		for _, in := range ins[:max(n, 0)] {
			m.queue(in)
		}
		ins = ins[max(n, 0):]
		m.parked = n <= 0
		parked := m.parked
		m.mu.Unlock()
		if len(ins) == 0 {
			return
		}
		wake(m.work)
		if parked {
			select {
			case <-m.room:
			case <-m.ctx.Done():
			}
		}
	}
}

// blockSize is how many slots are made at once, if chunks are as large.
const blockSize = 1024

// queue makes a slot for in. m.mu is held.
func (m *mapping[In, Out]) queue(in In) {
	if len(m.block) == 0 {
		m.block = make([]slot[In, Out], min(m.sizes.now(), blockSize))
	}
	s := &m.block[0]
	m.block = m.block[1:]
	s.Index, s.In = m.pulled, in
	m.pulled++
	m.queued = append(m.queued, s)
	if m.ordered {
		m.order = append(m.order, s)
	}
}

// roomy reports whether there is room enough for it to be worth while to wake the
// puller: for a chunk, or for half of a window that has no room for two. m.mu is held.
func (m *mapping[In, Out]) roomy() bool {
	w := m.window()
	return m.yielded+w-m.pulled >= max(1, min(m.sizes.now(), w/2))
}

// stuck reports whether a part of a chunk of n cannot wait for the rest: the puller
// has no room, and may not get enough. In a window of two chunks it will, as soon as
// what is on its way and done was yielded. m.mu is held.
func (m *mapping[In, Out]) stuck(n int) bool { return m.parked && m.window() < 2*n }

// send submits, each time, all that was pulled during the last time.
func (m *mapping[In, Out]) send() {
	defer close(m.sending)
	for {
		m.mu.Lock()
		chunks := m.cutChunks()
		end := m.stopped || m.ctx.Err() != nil || m.over && len(m.queued) == 0 && len(chunks) == 0
		m.mu.Unlock()
		if end {
			return
		}
		if len(chunks) > 0 {
			m.submit(chunks)
			continue
		}
		select {
		case <-m.work:
		case <-m.ctx.Done():
		}
	}
}

// cutChunks takes from the queue what is to be sent now. m.mu is held.
func (m *mapping[In, Out]) cutChunks() (chunks [][]*slot[In, Out]) {
	for len(m.queued) > 0 {
		n := m.sizes.now()
		switch {
		case m.total >= 0:
			n = m.sizes.guided(m.total, m.total-m.pulled+len(m.queued))
		case m.over:
			n = m.sizes.guided(m.pulled, len(m.queued))
		}
		// A part of a chunk waits for the rest, unless there may be none or workers
		// might be idle meanwhile.
		if len(m.queued) < n && !m.over && !m.stuck(n) && !m.sizes.hungry(len(m.flying)+len(chunks)) {
			break
		}
		n = min(n, len(m.queued))
		chunks = append(chunks, m.queued[:n:n])
		m.queued = m.queued[n:]
	}
	if len(m.queued) == 0 { // its array holds what was sent
		m.queued = make([]*slot[In, Out], 0, min(m.sizes.now(), blockSize))
	}
	return chunks
}

// packed is a message and the arguments in it.
type packed[In, Out any] struct {
	msg   *Message
	slots []*slot[In, Out]
}

// pack makes the messages of a chunk: one, unless it would be too large. Arguments
// that cannot be encoded are done, with that error.
func (m *mapping[In, Out]) pack(chunk []*slot[In, Out]) []packed[In, Out] {
	refuse := func(err error, slots ...*slot[In, Out]) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range slots {
			m.finish(s, err)
		}
	}
	if m.sizes.never {
		msg, err := m.t.message(m.ctx, m.x, chunk[0].In, nil)
		if err != nil {
			refuse(err, chunk...)
			return nil
		}
		return []packed[In, Out]{{msg, chunk}}
	}
	outline, codec, err := m.t.outline(m.ctx, m.x, nil)
	if err != nil {
		refuse(err, chunk...)
		return nil
	}
	var all []packed[In, Out]
	if outline.Direct != nil {
		ins := make([]In, len(chunk))
		for i, s := range chunk {
			ins[i] = s.In
		}
		outline.Direct.In = ins
		all = []packed[In, Out]{{outline, chunk}}
	} else {
		arg := make([]byte, 0, 16) // ours: a codec may keep what it returns
		for _, s := range chunk {
			arg, err = encodeOf(arg[:0], codec, "argument", &s.In)
			if err != nil {
				refuse(err, s)
				continue
			}
			last := len(all) - 1
			if last < 0 || len(all[last].msg.Payload)+len(arg) > maxChunkBytes {
				next := *outline
				all, last = append(all, packed[In, Out]{msg: &next}), last+1
			}
			p := &all[last]
			p.msg.Payload = appendItem(p.msg.Payload, arg)
			p.slots = append(p.slots, s)
		}
	}
	for _, p := range all {
		n := len(p.slots)
		p.msg.Items = n
		if t := p.msg.Timeout; t > 0 {
			p.msg.Timeout = time.Duration(min(uint64(t), uint64(1<<63-1)/uint64(n))) * time.Duration(n) //nolint:gosec // bounded
		}
	}
	return all
}

// submit sends chunks and sees to what becomes of them.
func (m *mapping[In, Out]) submit(chunks [][]*slot[In, Out]) {
	var packs []packed[In, Out]
	for _, c := range chunks {
		packs = append(packs, m.pack(c)...)
	}
	ms := make([]*Message, len(packs))
	for i, p := range packs {
		ms[i] = p.msg
	}
	var ps []*Promise
	var errs []error
	if len(ms) > 0 {
		ps, errs = m.x.SubmitAll(m.ctx, ms)
	}
	m.mu.Lock()
	for i, p := range ps {
		if p != nil {
			m.flying[p] = packs[i].slots
		}
		for _, s := range packs[i].slots {
			switch {
			case p != nil:
				s.promise = p
			case m.ctx.Err() == nil: // else ctx's end speaks for it
				m.finish(s, errs[i])
			}
		}
	}
	m.mu.Unlock()
	for i, p := range ps {
		if p != nil {
			p.OnDone(func() { m.landed(p, packs[i]) })
		}
	}
	wake(m.news)
}

// finish ends an item, once. m.mu is held.
func (m *mapping[In, Out]) finish(s *slot[In, Out], err error) {
	if s.done {
		return
	}
	s.done, s.Err = true, err
	if !m.ordered {
		m.ended = append(m.ended, s)
	}
}

// landed takes what became of a message.
func (m *mapping[In, Out]) landed(p *Promise, sent packed[In, Out]) {
	took, outs, errs := m.results(p, sent)
	m.mu.Lock()
	delete(m.flying, p)
	for i, s := range sent.slots {
		if !s.done {
			s.Out = outs[i]
			m.finish(s, errs[i])
		}
	}
	m.sizes.learn(took, len(outs))
	m.mu.Unlock()
	wake(m.news)
	wake(m.work)
	wake(m.room)
}

// results are the edge at which the bytes of a message's outcome become values. took
// is 0 if it is not known.
func (m *mapping[In, Out]) results(p *Promise, sent packed[In, Out]) (took time.Duration, outs []Out, errs []error) {
	n := len(sent.slots)
	outs, errs = make([]Out, n), make([]error, n)
	f := m.t.future(p)
	if sent.msg.Items == 0 {
		outs[0], errs[0] = f.Result()
		return 0, outs, errs
	}
	whole := func(err error) (time.Duration, []Out, []error) {
		for i := range errs {
			errs[i] = err
		}
		return 0, outs, errs
	}
	o, err, _ := p.Outcome()
	switch {
	case err != nil:
		return whole(err)
	case o.Cause != nil || o.Err != nil || o.State != StateSucceeded:
		return whole(f.Err())
	case o.Direct != nil:
		rs, ok := o.Direct.([]itemResult)
		if !ok || len(rs) != n {
			return whole(fmt.Errorf("%w: the value of a chunk is a %T", ErrTaskMismatch, o.Direct))
		}
		for i, r := range rs {
			if errs[i] = r.err; r.err != nil {
				continue
			}
			if outs[i], ok = r.out.(Out); !ok && r.out != nil { // nil is the zero of an interface type
				errs[i] = fmt.Errorf("%w: the value is a %T, this program's definition says %T", ErrTaskMismatch, r.out, outs[i])
			}
		}
		return rs[0].took, outs, errs
	case o.Codec != m.t.codec.Name():
		return whole(fmt.Errorf("%w: the value is encoded as %q, this program's definition says %q", ErrDecode, codecName(o.Codec), codecName(m.t.codec.Name())))
	}
	took, items, err := parseChunk(o.Value, n)
	if err != nil {
		return whole(err)
	}
	for i, it := range items {
		if it.err != nil {
			it.err.Attempt = o.Attempt
			errs[i] = it.err.resolve(m.t.codec, m.t.forms)
			continue
		}
		if out, err := decodeOf[Out](m.t.codec, "value", it.value); err != nil {
			errs[i] = err
		} else {
			outs[i] = out
		}
	}
	return max(took, 1), outs, errs
}

// each yields what is done until all is, or ctx ends, or yield returns false.
func (m *mapping[In, Out]) each(yield func(Item[In, Out]) bool) {
	for {
		m.mu.Lock()
		done := m.takeDone()
		left := m.pulled - m.yielded
		end := len(done) == 0 && left == 0 && m.over && !m.cut
		// Counting what was yielded costs more than a short item does.
		step := max(1, min(m.sizes.now()/16, 64))
		m.mu.Unlock()
		switch {
		case len(done) > 0:
			if !m.yieldAll(done, step, yield) {
				return
			}
		case end:
			m.end(yield)
			return
		case m.ctx.Err() != nil:
			yield(Item[In, Out]{Index: -1, Err: fmt.Errorf("%w: %d items unfinished: %w", ErrNotReady, left, m.ctx.Err())})
			return
		default:
			m.await()
		}
	}
}

// takeDone takes what can be yielded now. m.mu is held.
func (m *mapping[In, Out]) takeDone() (done []*slot[In, Out]) {
	if !m.ordered {
		done, m.ended = m.ended, nil
		return done
	}
	n := 0
	for n < len(m.order) && n < blockSize && m.order[n].done {
		n++
	}
	done = slices.Clone(m.order[:n]) // the array of order is about to hold them no longer
	clear(m.order[:n])
	m.order = m.order[n:]
	return done
}

// yieldAll yields done and counts that every step items. What yield has not seen
// when it returns false is put back, for [mapping.drain].
func (m *mapping[In, Out]) yieldAll(done []*slot[In, Out], step int, yield func(Item[In, Out]) bool) bool {
	n := 0
	for i, s := range done {
		if n++; n == step || i == len(done)-1 {
			m.mu.Lock()
			m.yielded += n
			roomy := m.roomy()
			m.mu.Unlock()
			if roomy {
				wake(m.room)
			}
			n = 0
		}
		done[i] = nil
		if !yield(s.Item) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.ended = append(done[i+1:], m.ended...)
			return false
		}
	}
	return true
}

// end tells the ranging goroutine how the source ended, as if it had ranged over it
// itself.
func (m *mapping[In, Out]) end(yield func(Item[In, Out]) bool) {
	switch {
	case m.crash != nil:
		panic(m.crash)
	case m.exited:
		runtime.Goexit()
	case m.fault != nil:
		yield(Item[In, Out]{Index: -1, Err: m.fault})
	}
}

// await waits for news. A handler may only do so if its pool can go on meanwhile.
func (m *mapping[In, Out]) await() {
	if r := hostOf(m.ctx); r != nil && r.host != nil {
		if p := m.awaited(); p != nil {
			done, err := r.host.Wait(p)
			if err != nil {
				m.mu.Lock()
				defer m.mu.Unlock()
				for _, s := range m.flying[p] {
					m.finish(s, err)
				}
				return
			}
			defer done()
		}
	}
	select {
	case <-m.news:
	case <-m.ctx.Done():
	}
}

// awaited is a promise that the caller waits for, if there is one.
func (m *mapping[In, Out]) awaited() *Promise {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ordered && len(m.order) > 0 && m.order[0].promise != nil && m.flying[m.order[0].promise] != nil {
		return m.order[0].promise
	}
	for p, slots := range m.flying {
		if slices.ContainsFunc(slots, func(s *slot[In, Out]) bool { return !s.done }) {
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

// What bounds a chunk whose size is measured.
const (
	maxChunkItems = 4096
	maxChunkBytes = 256 << 10
	chunkTime     = 50 * time.Millisecond
)

// chunkSizes says how many arguments share a message.
type chunkSizes struct {
	fixed   int  // what Chunk says; 0 is measured
	never   bool // the task's options do not allow it
	workers int  // 0 if not known
	most    int

	size int           // as measured
	each time.Duration // what an item takes
}

// now is the size of a chunk while the source has more.
func (c *chunkSizes) now() int {
	switch {
	case c.never:
		return 1
	case c.fixed > 0:
		return c.fixed
	}
	return min(c.size, c.most)
}

// guided is the size of a chunk when total arguments are all there are, and left of
// them are not sent: smaller towards the end, so that all workers end together.
func (c *chunkSizes) guided(total, left int) int {
	n := c.now()
	if c.never || c.fixed > 0 {
		return n
	}
	workers := c.workers
	if workers > 0 {
		n = min(n, ceilDiv(total, 4*workers))
	} else {
		workers = 4 // a guess
	}
	return max(1, min(n, ceilDiv(left, 2*workers)))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// hungry reports whether so few messages are on their way that a small chunk had
// better leave now.
func (c *chunkSizes) hungry(flying int) bool {
	if c.fixed > 0 {
		return false // exactly what was asked for
	}
	if c.workers > 0 {
		return flying < 2*c.workers
	}
	return flying < 8
}

// learn takes a measurement. The size grows at most fourfold each time: one lucky
// item says little about a thousand.
func (c *chunkSizes) learn(took time.Duration, items int) {
	if took <= 0 || items == 0 {
		return
	}
	each := max(took/time.Duration(items), 1)
	if c.each > 0 {
		each = (c.each + each) / 2
	}
	c.each = each
	ideal := int(min(max(chunkTime/each, 1), maxChunkItems))
	if ideal > c.size {
		ideal = min(ideal, max(c.size, 4*items))
	}
	c.size = ideal
}
