package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// MapError says which items of a [Task.MapAll], a [Task.MapAsync] or a [Gather]
// have no value.
type MapError struct {
	Index  int           // the first one's position; with FailFast, of those that were not just cancelled
	Err    error         // its error
	Failed map[int]error // all of them, by position
	Total  int           // of how many items
}

func (e *MapError) Error() string {
	return fmt.Sprintf("%d of %d items failed; number %d: %v", len(e.Failed), e.Total, e.Index, e.Err)
}

// Unwrap returns Err.
func (e *MapError) Unwrap() error { return e.Err }

// newMapError returns nil if nothing failed.
func newMapError(failed map[int]error, total int, fast bool) error {
	if len(failed) == 0 {
		return nil
	}
	e := &MapError{Index: -1, Failed: failed, Total: total}
	for i, err := range failed {
		if fast && errors.Is(err, ErrCancelled) {
			continue
		}
		if e.Index < 0 || i < e.Index {
			e.Index, e.Err = i, err
		}
	}
	if e.Index < 0 {
		return newMapError(failed, total, false)
	}
	return e
}

// FailFast makes the first error of a [Task.MapAll] or [Task.MapAsync] end it:
// what was not submitted never is, what has not started is cancelled, and what runs
// is interrupted, as far as the executor can. All these have [ErrCancelled].
func FailFast() Option { return func(s *settings) { s.fast = true } }

// MapAll submits a task for each argument of src and returns the values in the
// order of the arguments when all tasks have ended.
//
// If some have failed, the error is a [*MapError] and the others' values are there.
// ctx bounds it all: when it ends, the error of those that are not finished is
// [ErrNotReady], and those that have not started are cancelled if the executor can.
// src is pulled to its end, by the caller, before anything is submitted; if it
// panics or fails (see [Fallible]), nothing is.
func (t Task[In, Out]) MapAll(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) ([]Out, error) {
	m, err := t.mapping(ctx, x, opts)
	if err != nil {
		return nil, err
	}
	ins, err := collect(ctx, src)
	if err != nil {
		return nil, err
	}
	heard, failed := make([]bool, ins.n), map[int]error{}
	rest := fmt.Errorf("%w: another item failed first", ErrCancelled)
	take := func(p *part[In, Out]) bool {
		if p.first < 0 {
			rest = p.errs[0]
			return false
		}
		m.count(len(p.ins))
		for i := range p.ins {
			heard[p.first+i] = true
		}
		for i, err := range p.errs {
			if err != nil {
				failed[p.first+i] = err
			}
		}
		return len(failed) == 0 || !m.t.fast
	}
	m.total, m.outs = ins.n, make([]Out, ins.n)
	m.start(func() { m.feed(ins) })
	m.each(take)
	m.stop(Cancellation{Interrupt: m.t.fast})
	if m.t.fast && len(failed) > 0 {
		if err := m.drain(take); err != nil {
			rest = err
		}
	}
	for i, ok := range heard {
		if !ok {
			failed[i] = rest
		}
	}
	outs := m.outs
	if len(failed) > 0 { // what comes too late is stored where nobody looks any more
		outs = make([]Out, ins.n)
		for i := range outs {
			if failed[i] == nil {
				outs[i] = m.outs[i]
			}
		}
	}
	return outs, newMapError(failed, ins.n, m.t.fast)
}

// collect pulls src to its end.
func collect[In any](ctx context.Context, src iter.Seq[In]) (ins line[In], err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *sourceError:
			ins, err = line[In]{}, v.error
		default:
			panic(v)
		}
	}()
	block := make([]In, 0, 64)   // a slice that grows would be copied again and again
	endless := ctx.Done() == nil // to ask such a context would take longer than to pull a number
	for in := range src {
		if !endless && ctx.Err() != nil {
			break
		}
		if len(block) == cap(block) {
			ins.join(block)
			block = make([]In, 0, min(2*cap(block), 1<<16))
		}
		block = append(block, in)
	}
	ins.join(block)
	return ins, ctx.Err()
}

// drain takes what is still on its way after stop, until that or ctx has ended.
func (m *mapping[In, Out]) drain(take func(*part[In, Out]) bool) error {
	for {
		m.mu.Lock()
		ended, left := m.ended, len(m.flying)
		m.ended = nil
		m.mu.Unlock()
		for _, p := range ended {
			take(p)
		}
		switch {
		case left == 0 && len(ended) == 0:
			return nil
		case left == 0:
		case m.ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrNotReady, m.ctx.Err())
		default:
			m.await()
		}
	}
}

// MapAsync submits a task for each argument of src and returns the future of all
// their values, in the order of the arguments. The future is done when all tasks
// have ended; its error is a [*MapError]. Cancelling it cancels them all: the
// result is [CancelInterrupted] if one was interrupted, [CancelTooLate] if all were
// too late, and else [CancelBeforeStart].
//
// src is pulled to its end, by the caller, and all is submitted before MapAsync
// returns; [Window] has no effect. An error means that nothing was accepted. ctx
// bounds the submission, not the tasks. The future has an id that only this
// process knows: it cannot be opened.
func (t Task[In, Out]) MapAsync(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) (*Future[[]Out], error) {
	m, err := t.mapping(ctx, x, opts)
	if err != nil {
		return nil, err
	}
	ins, err := collect(ctx, src)
	if err != nil {
		return nil, err
	}
	// Nothing is measured before all is submitted: without a word on chunks, small
	// ones even out among the workers, if those are known.
	size := m.sizes.now()
	if m.sizes.workers > 0 && m.sizes.fixed == 0 && !m.sizes.never {
		size = max(1, min(unmeasuredChunk, ceilDiv(ins.n, 4*m.sizes.workers)))
	}
	m.sizes.never = m.sizes.never || size == 1
	g := &group[Out]{
		p: NewPromise(NewTaskID(0)), outs: make([]Out, ins.n), left: ins.n, failed: map[int]error{}, fast: m.t.fast,
	}
	g.p.Controlled(g, t.msg.Queue, t.msg.Group)
	var sent []*part[In, Out]
	var ms []*Message
	first, total := 0, ins.n
	for ins.n > 0 {
		chunk := ins.take(min(size, ins.n))
		for _, p := range m.pack(first, chunk) {
			if p.done { // cannot be encoded
				g.fail(p.first, p.errs)
				continue
			}
			sent, ms = append(sent, p), append(ms, p.msg)
		}
		first += len(chunk)
	}
	var ps []*Promise
	var errs []error
	if len(ms) > 0 {
		ps, errs = x.SubmitAll(ctx, ms)
	}
	for i, p := range ps {
		if p != nil {
			g.parts = append(g.parts, p)
		} else {
			g.fail(sent[i].first, slices.Repeat(errs[i:i+1], len(sent[i].ins)))
		}
	}
	if len(g.parts) == 0 && len(g.failed) > 0 {
		return nil, newMapError(g.failed, total, false)
	}
	g.settle()
	if g.fast && len(g.failed) > 0 {
		g.hurry()
	}
	for i, p := range ps {
		if p != nil {
			p.OnDone(func() {
				n := len(sent[i].ins)
				_, outs, errs := m.results(p, n, nil)
				g.add(sent[i].first, n, outs, errs)
			})
		}
	}
	return &Future[[]Out]{p: g.p, def: &definition{codec: t.codec}}, nil
}

// unmeasuredChunk bounds the chunks of tasks of which nobody knows how long they
// take.
const unmeasuredChunk = 64

// group makes one promise of many.
type group[Out any] struct {
	p     *Promise
	parts []*Promise
	fast  bool

	mu     sync.Mutex
	outs   []Out
	failed map[int]error
	left   int
	rushed bool
}

// fail books items in a row that have no value and never will.
func (g *group[Out]) fail(first int, errs []error) {
	for i, err := range errs {
		g.failed[first+i] = err
	}
	g.left -= len(errs)
}

// add takes what became of n items in a row.
func (g *group[Out]) add(first, n int, outs []Out, errs []error) {
	g.mu.Lock()
	copy(g.outs[first:], outs)
	g.left -= n
	bad := false
	for i, err := range errs {
		if err != nil {
			bad, g.failed[first+i] = true, err
		}
	}
	rush := g.fast && bad && !g.rushed && g.left > 0
	g.rushed = g.rushed || rush
	g.mu.Unlock()
	if rush {
		g.hurry()
	}
	g.settle()
}

// hurry cancels what is left, in a goroutine of its own: the caller may be the one
// whom the cancelling waits for.
func (g *group[Out]) hurry() {
	go func() {
		ctx, done := context.WithTimeout(context.Background(), cancelTime)
		defer done()
		_, _ = cancelAll(ctx, g.parts, Cancellation{Interrupt: true}) // what cannot be cancelled runs to its end
	}()
}

// settle ends the promise if nothing is left.
func (g *group[Out]) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left > 0 {
		return
	}
	o := &Outcome{ID: g.p.id, State: StateSucceeded, Attempt: 1, Direct: g.outs}
	if err := newMapError(g.failed, len(g.outs), g.fast); err != nil {
		o.State, o.Cause = StateDead, err
		if errors.Is(err, ErrCancelled) {
			o.State = StateCancelled
		}
	}
	g.p.Resolve(o)
}

// Cancel cancels all the tasks.
func (g *group[Out]) Cancel(ctx context.Context, _ []*Promise, how Cancellation) ([]CancelResult, error) {
	all := CancelTooLate
	for _, p := range g.parts {
		if p.control == nil {
			return []CancelResult{all}, fmt.Errorf("%w: the executor of task %s cannot cancel tasks", ErrOption, p.id)
		}
	}
	rs, err := cancelAll(ctx, g.parts, how)
	for _, r := range rs {
		all = max(all, r) // in this order: too late, before start, interrupted
	}
	if all == CancelBeforeStart && !slices.Contains(rs, CancelTooLate) && err == nil {
		select { // the parts are settled, and soon the whole
		case <-g.p.Done():
		case <-ctx.Done():
		}
	}
	return []CancelResult{all}, err
}

// Forget forgets all the tasks.
func (g *group[Out]) Forget(ctx context.Context, _ *Promise) error {
	var errs []error
	for _, p := range g.parts {
		if p.control != nil {
			errs = append(errs, p.control.Forget(ctx, p))
		}
	}
	g.p.Fail(fmt.Errorf("%w: forgotten", ErrResultExpired))
	return errors.Join(errs...)
}
