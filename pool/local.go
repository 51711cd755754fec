package pool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// LocalPool runs tasks on goroutines of this process; [Local] makes one. Its
// methods may be called concurrently.
//
// Values and errors come back as they are: a future's error is the very error
// that the handler returned. A task that nobody has a handler for is refused when
// it is submitted, with [queue.ErrUnknownType].
type LocalPool struct {
	cfg        Config
	mux        *queue.Mux
	types      map[string]bool
	born       time.Time
	crew       *child.Crew     // runs the handlers; nil if goroutines of this process do
	maxCrashes int             // of a crew
	life       context.Context // ends with Terminate
	endLife    context.CancelCauseFunc
	done       chan struct{} // closed when everything has ended after Close

	mu      sync.Mutex
	size    int                // how many tasks may run at once
	rows    [3]list            // what waits for a worker: high, normal, low
	later   list               // what waits for its time
	running list               // what a worker has begun
	sent    list               // what was sent to a child ahead of its turn
	look    *time.Timer        // for what waits there for too long; nil if nothing does
	lanes   map[*lane]struct{} // of the workers, to children
	index   map[place]*task    // of tasks in the lists, those with a key; all if indexed
	indexed bool               // somebody has asked for a task by its id
	kept    map[place]kept     // what has ended
	sweep   int                // the size of kept at which to look for what is too old
	room    chan struct{}      // closed when there is room; nil if nobody waits for it
	shared  map[string]*sharedArg

	// A slot is the right to run a task. A worker holds at most one.
	held      int // slots
	handed    int // of them, those of workers that have not looked for a task yet
	blocked   int // of them, those of tasks that are stuck
	workers   int // goroutines
	idle      []*worker
	returning []chan struct{} // handlers that come back from Aside and need a slot

	closed bool
	hurry  bool  // what has not started never will
	broken error // why the pool is of no use any more
	over   bool  // done is closed
}

var (
	_ queue.LeanExecutor = (*LocalPool)(nil)
	_ queue.Sizer        = (*LocalPool)(nil)
	_ queue.Control      = (*LocalPool)(nil)
	_ queue.Sharer       = (*LocalPool)(nil)
)

// kept is the promise of a task that has ended, for whoever asks by id.
type kept struct {
	promise *queue.Promise
	until   time.Time
}

// Direct reports whether arguments and values are passed as they are.
func (p *LocalPool) Direct() bool { return !p.cfg.Strict }

// Workers is how many tasks run at once.
func (p *LocalPool) Workers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// Submit accepts m, which belongs to the pool from then on. A pool that was closed
// answers [queue.ErrClosed], a broken one [queue.ErrPoolBroken]. ctx bounds the
// wait for room; see [Config.MaxQueued].
func (p *LocalPool) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if err := p.known(m); err != nil {
		return nil, err
	}
	if m.Stream {
		return nil, fmt.Errorf("%w: %q is on a stream, a pool in the process has none", queue.ErrOption, m.Type)
	}
	return p.submit(ctx, p.newTask(m))
}

// SubmitLean is Submit of the argument in; see [queue.LeanExecutor].
func (p *LocalPool) SubmitLean(ctx context.Context, m *queue.Message, in any) (*queue.Promise, error) {
	if err := p.known(m); err != nil {
		return nil, err
	}
	t := &task{direct: true, data: in}
	t.init(p, queue.NewTaskID(0), m, lean{p.mux})
	return p.submit(ctx, t)
}

// known refuses a message that nobody has a handler for.
func (p *LocalPool) known(m *queue.Message) error {
	if p.types[m.Type] {
		return nil
	}
	return fmt.Errorf("%w: %q; give its handler to pool.Local", queue.ErrUnknownType, m.Type)
}

func (p *LocalPool) submit(ctx context.Context, t *task) (*queue.Promise, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("submit %q: %w", t.msg.Type, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return nil, errClosed
		case p.broken != nil:
			return nil, p.broken
		case p.cfg.MaxQueued == 0 || p.queued() < p.cfg.MaxQueued || p.ours(ctx):
			return p.accept(t), nil
		}
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = fmt.Errorf("submit %q: the pool is full: %w", t.msg.Type, ctx.Err())
		}
		p.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// ours reports whether ctx is that of a handler of this pool. p.mu is held.
func (p *LocalPool) ours(ctx context.Context) bool {
	u, ok := queue.HostOf(ctx).(*turn)
	return ok && u.task.pool == p && u.task.stage != ended
}

// unfinished is how many tasks have not ended. p.mu is held.
func (p *LocalPool) unfinished() int { return p.queued() + p.running.n }

// queued is how many tasks have not begun. p.mu is held.
func (p *LocalPool) queued() int { return p.ready() + p.later.n + p.sent.n }

// ready is how many wait for nothing but a worker. p.mu is held.
func (p *LocalPool) ready() int { return p.rows[0].n + p.rows[1].n + p.rows[2].n }

// SubmitAll accepts the messages one after the other.
func (p *LocalPool) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	promises := make([]*queue.Promise, len(ms))
	var errs []error
	for i, m := range ms {
		var err error
		if promises[i], err = p.Submit(ctx, m); err != nil {
			if errs == nil {
				errs = make([]error, len(ms))
			}
			errs[i] = err
		}
	}
	return promises, errs
}

// Open returns the promise of a task that has not ended, or whose outcome is kept.
// That of any other fails with [queue.ErrResultExpired].
func (p *LocalPool) Open(_ context.Context, m *queue.Message) (*queue.Promise, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.indexAll()
	if known := p.find(place{m.Queue, m.ID}); known != nil {
		return known, nil
	}
	return queue.FailedPromise(m.ID, fmt.Errorf("%w: the pool knows no task %s on %q", queue.ErrResultExpired, m.ID, m.Queue)), nil
}

// indexAll makes the index one of all tasks, now and from now on. It is not from
// the beginning, as most pools are never asked for a task by its id. p.mu is held.
func (p *LocalPool) indexAll() {
	if p.indexed {
		return
	}
	p.indexed = true
	for _, l := range [...]*list{&p.rows[0], &p.rows[1], &p.rows[2], &p.later, &p.running, &p.sent} {
		for t := l.first; t != nil; t = t.next {
			p.index[t.place()] = t
		}
	}
}

// find returns the promise of the task at a place, or nil. p.mu is held.
func (p *LocalPool) find(at place) *queue.Promise {
	if t := p.index[at]; t != nil {
		return &t.promise
	}
	if k, ok := p.kept[at]; ok && time.Now().Before(k.until) {
		return k.promise
	}
	return nil
}

// accept takes t in. p.mu is held.
func (p *LocalPool) accept(t *task) *queue.Promise {
	m := t.msg
	if m.Key != "" {
		if known := p.find(t.place()); known != nil {
			return answer(m, known)
		}
	}
	if m.Key != "" || p.indexed {
		p.index[t.place()] = t
	}
	if m.Expire > 0 {
		t.expires = time.Since(p.born) + m.Expire
	}
	wait := m.Delay
	if !m.RunAt.IsZero() {
		wait = max(wait, time.Until(m.RunAt))
	}
	if wait > 0 {
		p.after(t, wait)
	} else {
		p.enqueue(t)
	}
	return answer(m, &t.promise)
}

// answer is what the submitter of m gets.
func answer(m *queue.Message, promise *queue.Promise) *queue.Promise {
	if m.NoReply {
		return silent(promise.Control(), promise.ID(), m.Queue)
	}
	return promise
}

// silent is the promise of a task that was submitted with queue.NoReply.
func silent(c queue.Control, id queue.TaskID, on string) *queue.Promise {
	return queue.FailedPromise(id, fmt.Errorf("%w: %s", queue.ErrNoReply, id)).Controlled(c, on, "")
}

var errClosed = fmt.Errorf("%w: the pool takes no more tasks", queue.ErrClosed)

// enqueue makes t wait for a worker. p.mu is held.
func (p *LocalPool) enqueue(t *task) {
	t.stage = waiting
	p.rows[t.row()].push(t)
	p.dispatch()
}

// row is which of the pool's rows t waits in.
func (t *task) row() int {
	switch t.priority {
	case queue.High:
		return 0
	case queue.Low:
		return 2
	}
	return 1
}

// after makes t wait for its time. p.mu is held.
func (p *LocalPool) after(t *task, wait time.Duration) {
	t.stage = delayed
	p.later.push(t)
	t.timer = time.AfterFunc(max(wait, 0), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.stage == delayed {
			t.leave()
			t.timer = nil
			p.enqueue(t)
		}
	})
}

// take begins the next task, if there is a slot for it, with u as its attempt. p.mu
// is held.
func (p *LocalPool) take(u *turn) *task {
	for i := range p.rows {
		for p.rows[i].first != nil && p.mayStart() {
			t := p.rows[i].first
			t.leave()
			p.madeRoom()
			if p.expired(t) {
				continue
			}
			p.held++
			p.running.push(t)
			t.begin(u)
			return t
		}
	}
	return nil
}

// expired ends t if it has waited for too long. p.mu is held.
func (p *LocalPool) expired(t *task) bool {
	if t.attempt > 0 || t.expires == 0 || time.Since(p.born) <= t.expires {
		return false
	}
	t.promise.Resolve(t.failure(queue.StateExpired, fmt.Errorf("%w: no worker was free", queue.ErrExpired)))
	p.finish(t)
	return true
}

func (p *LocalPool) madeRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// finish lets go of t, which is settled. p.mu is held.
func (p *LocalPool) finish(t *task) {
	t.stage = ended
	t.leave()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if t.msg.Key != "" || p.indexed {
		delete(p.index, t.place())
	}
	if t.keep > 0 {
		p.keep(t)
	}
	t.msg, t.handler, t.data, t.errand = nil, nil, nil, nil // the promise may be kept for long, and needs no more
	p.settle()
}

// keep keeps t's promise for a while. p.mu is held.
func (p *LocalPool) keep(t *task) {
	now := time.Now()
	if len(p.kept) >= max(p.sweep, 1000) { // now and then, so that it costs next to nothing a task
		for at, k := range p.kept {
			if !now.Before(k.until) {
				delete(p.kept, at)
			}
		}
		p.sweep = 2 * len(p.kept)
	}
	p.kept[t.place()] = kept{&t.promise, now.Add(t.keep)}
}

// settle sends the workers home when there is nothing left to do. p.mu is held.
func (p *LocalPool) settle() {
	if !p.closed || p.unfinished() > 0 {
		return
	}
	for _, w := range p.idle {
		w.wake <- false
	}
	p.idle = nil
	if p.workers == 0 && !p.over {
		p.over = true
		p.endLife(queue.ErrClosed)
		close(p.done)
	}
}

// leave is a worker's last word. p.mu is held.
func (p *LocalPool) leave() {
	p.workers--
	p.settle()
}

// unbegun calls do with every task that has not begun. p.mu is held.
func (p *LocalPool) unbegun(do func(t *task)) {
	p.recall()
	for _, l := range [...]*list{&p.rows[0], &p.rows[1], &p.rows[2], &p.later} {
		for l.first != nil {
			t := l.first
			t.leave()
			do(t)
		}
	}
	p.madeRoom()
}

// fail breaks the pool. p.mu is held.
func (p *LocalPool) fail(err error) {
	if p.broken != nil || p.hurry {
		return
	}
	p.broken = err
	p.unbegun(func(t *task) {
		t.promise.Fail(err)
		t.keep = 0
		p.finish(t)
	})
}

// Cancel cancels the promises' tasks as [queue.Control] says. Handlers are
// goroutines, so that [queue.Kill] is refused with [queue.ErrNotKillable]. It does
// not wait: ctx is not looked at.
func (p *LocalPool) Cancel(_ context.Context, ps []*queue.Promise, how queue.Cancellation) ([]queue.CancelResult, error) {
	results := make([]queue.CancelResult, len(ps))
	if how.Kill && p.crew == nil {
		return results, fmt.Errorf("%w: interrupt the task, or run it on child processes", queue.ErrNotKillable)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, promise := range ps {
		t := p.taskOf(promise)
		switch {
		case t == nil || t.stage == ended:
		case t.stage == ahead && !t.errand.TakeBack():
			if how.Interrupt {
				t.wish, results[i] = &how, queue.CancelInterrupted
			}
		case t.stage != running:
			p.callOff(t)
			p.madeRoom()
			results[i] = queue.CancelBeforeStart
		case how.Interrupt:
			t.interrupt(how)
			results[i] = queue.CancelInterrupted
		}
	}
	return results, nil
}

// interrupt cancels t, which runs. p.mu is held.
func (t *task) interrupt(how queue.Cancellation) {
	t.turn.life.End(queue.ErrCancelled)
	if how.Kill {
		t.pool.crew.Kill(t.turn, how.Grace)
	}
}

// taskOf is the task of a promise that the pool has given away, or nil.
func (p *LocalPool) taskOf(promise *queue.Promise) *task {
	if t, ok := promise.Control().(*task); ok && t.pool == p {
		return t
	}
	return nil
}

// callOff ends t, which does not run. p.mu is held.
func (p *LocalPool) callOff(t *task) {
	t.promise.Resolve(t.failure(queue.StateCancelled, fmt.Errorf("%w: before it started", queue.ErrCancelled)))
	p.finish(t)
}

// Forget lets go of the promise's outcome.
func (p *LocalPool) Forget(_ context.Context, promise *queue.Promise) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.taskOf(promise); t != nil {
		t.keep = 0
	}
	delete(p.kept, place{promise.Queue(), promise.ID()})
	promise.Fail(fmt.Errorf("%w: forgotten", queue.ErrResultExpired))
	return nil
}
