package pool

import (
	"context"
	"slices"
	"time"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// lane is a worker's way to a child, and the handler of the tasks that the worker
// runs. While tasks are short it sends some ahead. Those count as waiting, are
// cancelled like any that does, and go back to the pool if the one before them takes long. A nil
// lane is that of a worker whose tasks run in this process.
type lane struct {
	pool *LocalPool
	to   *child.Lane

	row   []sent        // what was sent ahead, under pool.mu
	turns uint64        // how many tasks it has run, under pool.mu
	seen  uint64        // how many it had when somebody looked last, under pool.mu
	began time.Time     // the task that runs
	usual time.Duration // how long tasks take
	task  *task         // that runs
}

const (
	// short is what a task usually takes so that others are sent ahead.
	short = 200 * time.Microsecond
	// patience is how long what was sent ahead waits, twice that at most, before it is taken back.
	patience = 2 * time.Millisecond
)

// sent is a task that was sent ahead. It is so as long as the errand is the task's.
type sent struct {
	task   *task
	errand *child.Errand
}

func (s sent) still() bool { return s.task.stage == ahead && s.task.errand == s.errand }

// newLane makes a worker's lane, if it is to have one. p.mu is held.
func (p *LocalPool) newLane() *lane {
	if p.crew == nil {
		return nil
	}
	l := &lane{pool: p, to: p.crew.Lane(), usual: 2 * short}
	if p.lanes == nil {
		p.lanes = map[*lane]struct{}{}
	}
	p.lanes[l] = struct{}{}
	return l
}

// Handle runs the lane's task in a child.
func (l *lane) Handle(ctx context.Context, _ *queue.Message) ([]byte, error) {
	return l.to.Run(ctx, l.task.errand)
}

// done notes that the task has ended.
func (l *lane) done() {
	if l == nil {
		return
	}
	now := time.Now()
	l.usual += (now.Sub(l.began) - l.usual) / 8
	l.began = now
}

// take begins the next of the tasks that were sent ahead, if there is one and a slot for it, with
// u as its attempt. pool.mu is held.
func (l *lane) take(u *turn) *task {
	if l == nil {
		return nil
	}
	p := l.pool
	for len(l.row) > 0 {
		s := l.row[0]
		l.row[0] = sent{}
		l.row = l.row[1:]
		if !s.still() {
			continue
		}
		t := s.task
		if !p.mayStart() && t.errand.TakeBack() || !l.to.Follows(t.errand) {
			l.recall()
			p.giveBack(t)
			break
		}
		t.leave()
		p.madeRoom()
		p.held++
		p.running.push(t)
		t.begin(u)
		return t
	}
	return nil
}

// prepare makes the lane ready for t, which has just begun, and chooses what is sent ahead with
// it. pool.mu is held.
func (l *lane) prepare(t *task) {
	if l == nil {
		return
	}
	p := l.pool
	l.task = t
	l.turns++
	if l.began.IsZero() || len(l.row) == 0 {
		l.began = time.Now()
	}
	if t.errand == nil || !l.to.Follows(t.errand) {
		t.newErrand(t.attempt)
	}
	if how := t.wish; how != nil {
		t.wish = nil
		t.turn.life.End(queue.ErrCancelled)
		t.errand.Doomed, t.errand.Grace = how.Kill, how.Grace
	}
	if p.life.Err() != nil {
		t.turn.life.End(queue.ErrTerminated)
	}
	waiting := 0
	for _, s := range l.row {
		if s.still() {
			waiting++
		}
	}
	if l.usual > short || waiting > child.Ahead/2 || p.hurry || p.held > p.size {
		return
	}
	room := min(l.to.Room(waiting), p.ready()/p.size)
	if room <= 0 {
		return
	}
	if !l.to.Follows(t.errand) {
		l.to.Number(t.errand)
	}
	for i := range p.rows {
		for room > 0 && p.rows[i].first != nil {
			next := p.rows[i].first
			if !child.Fits(next.msg.Queue, next.msg.Payload) {
				return
			}
			next.leave()
			if p.expired(next) {
				continue
			}
			room--
			next.newErrand(next.attempt + 1)
			l.to.Number(next.errand)
			next.stage = ahead
			p.sent.push(next)
			l.row = append(l.row, sent{next, next.errand})
		}
	}
	if p.look == nil && p.sent.n > 0 {
		l.seen = l.turns
		p.look = time.AfterFunc(patience, p.lookAround)
	}
}

// release gives the child back, as there is nothing to run. pool.mu is held.
func (l *lane) release() {
	if l != nil {
		l.to.Release()
		l.row = nil
	}
}

// leave is release for ever. pool.mu is held.
func (l *lane) leave() {
	if l != nil {
		l.release()
		delete(l.pool.lanes, l)
	}
}

// recall gives the tasks back that were sent ahead and have not begun. pool.mu is held.
func (l *lane) recall() {
	for _, s := range slices.Backward(l.row) {
		if s.still() && s.errand.TakeBack() {
			l.pool.giveBack(s.task)
		}
	}
}

// giveBack makes t, which was taken back from a child, wait for a worker again, before all
// others. p.mu is held.
func (p *LocalPool) giveBack(t *task) {
	t.leave()
	t.errand, t.stage = nil, waiting
	p.rows[t.row()].pushFront(t)
}

// recall is that of all lanes. p.mu is held.
func (p *LocalPool) recall() {
	for l := range p.lanes {
		l.recall()
	}
}

// lookAround takes back what waits behind a task that takes long.
func (p *LocalPool) lookAround() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.lanes {
		if l.seen == l.turns {
			l.recall()
		}
		l.seen = l.turns
	}
	if p.look = nil; p.sent.n > 0 {
		p.look = time.AfterFunc(patience, p.lookAround)
	}
	p.dispatch()
}
