package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

const (
	// lanesPerPort round trips may be under way at once: while one is on the wire,
	// the crew runs what the other brought.
	lanesPerPort = 2
	// claimMost is what one turn claims at most, so that two lanes take turns.
	claimMost = 256
	// worthwhile is how much there must be to tell before a second round trip starts
	// beside one that is under way: below it, waiting makes better batches.
	worthwhile = 32
	// soon is how long a worker that was handed a task waits before it claims more:
	// usually the end of that task comes first and claims along.
	soon = time.Millisecond
	// back is after how long a worker comes back at the latest that is the only one to
	// hear of new tasks: long enough for the producers' next trip.
	back = 2 * time.Millisecond
)

// port is where a worker meets one line: it claims there, tells what became of
// the tasks, and keeps its lease.
type port struct {
	w         *Worker
	line      store.Line
	retention time.Duration
	rank      int
	weight    float64
	bell      *store.Bell

	// Under w.slots.mu:

	signed   bool    // the line knows this incarnation
	consumer string  // this incarnation's name; changed when the lease is lost
	former   string  // the name before, until the line knows that it is given up
	life     int     // counts incarnations
	served   float64 // tasks claimed, by weight
	dry      bool    // the line had less than was asked for: the bell will tell
	plenty   bool    // the last claim brought all that it asked for
	open     bool    // what is new is not rung for: the port comes back and finds it
	stuck    bool    // its last turn has failed so far: Redis, or its node, is away
	rung     bool    // it has told since the last claim left: what that brings is old news
	ends     []store.End
	over     []*lot                // whose tasks have all ended
	broken   []*lot                // of which Redis may not know yet that they are
	lots     int                   // that are open
	streak   int                   // how many tasks in a row have ended in the plain way
	under    int                   // turns under way
	telling  int                   // those among them that carry ends
	told     [lanesPerPort]uint64  // by lane, the last turn of this incarnation that was answered
	toldAt   time.Time             // when the last of them was
	resync   bool                  // something that came over the bell may have been lost
	resyncs  bool                  // the turn that asks for it is under way
	doubt    time.Time             // when to ask again: a lost wait has ended by then; zero for no need
	poke     bool                  // take a turn even if no slot is free
	listens  bool                  // it waits at the bell
	belled   map[queue.TaskID]int  // how often a task came over the bell, less the ends that Redis has heard of
	first    *delivery             // the running ones, a list
	wishes   map[queue.TaskID]wish // to cancel tasks that have not begun here
	later    *time.Timer
	wakeAt   *time.Timer
	trimIn   int        // tasks of a stream until the next trim
	lanes    *sync.Cond // there may be something for a lane to do
	bells    *sync.Cond // the port may be ready to listen

	said   said          // has a lock of its own
	fence  *time.Timer   // fires when the lease must be taken for lost
	signOn chan struct{} // cap 1: the lease was lost
}

const trimEvery = 2000

func newPort(w *Worker, line store.Line, layout queue.Layout, rank int, weight float64) *port {
	p := &port{
		w: w, line: line, retention: layout.Retention, rank: rank, weight: weight,
		consumer: newConsumerName(),
		belled:   map[queue.TaskID]int{},
		wishes:   map[queue.TaskID]wish{},
		bell:     w.store.Bell(),
		trimIn:   trimEvery,
		signOn:   make(chan struct{}, 1),
	}
	p.lanes = sync.NewCond(&w.slots.mu)
	p.bells = sync.NewCond(&w.slots.mu)
	return p
}

func (p *port) name() string {
	p.w.slots.mu.Lock()
	defer p.w.slots.mu.Unlock()
	return p.consumer
}

// names are all that the line may know this worker by.
func (p *port) names() []string {
	p.w.slots.mu.Lock()
	defer p.w.slots.mu.Unlock()
	if p.former == "" {
		return []string{p.consumer}
	}
	return []string{p.former, p.consumer}
}

// lane takes turns, one after the other, until ctx is done.
func (p *port) lane(ctx context.Context, index int) {
	t := store.Turn{Line: p.line, Lane: index, Lease: p.w.cfg.Lease}
	life := 0
	var told []*lot
	for p.prepare(ctx, &t, &life, &told) {
		sent := time.Now()
		reply, err := p.take(ctx, &t)
		p.absorb(&t, told, life, reply, time.Since(sent), err)
	}
}

// prepare waits until there is something to tell or to ask for, and fills in t.
// It returns false when the lane shall end.
func (p *port) prepare(ctx context.Context, t *store.Turn, life *int, told *[]*lot) bool {
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return false
		}
		if p.due(s) {
			break
		}
		p.lanes.Wait()
	}
	if *life != p.life {
		*life, t.Number = p.life, 0
	}
	want := s.grant(p)
	t.Consumer = p.consumer
	t.Number++
	n := min(len(p.ends), store.MaxTurn)
	t.Ends = append(t.Ends[:0], p.ends[:n]...)
	rest := copy(p.ends, p.ends[n:])
	clear(p.ends[rest:])
	p.ends = p.ends[:rest]
	*told = p.tellLots(t)
	n += len(*told)
	t.Whole = p.streak >= steady && s.ahead.short()
	t.Want = want
	t.Empty = s.empty()
	t.Listens = p.listens
	t.Quiet = s.stopped
	t.Returns = want > 0 && n > 0 && s.ahead.short()
	t.Resync = p.resync
	p.resyncs = p.resyncs || p.resync
	p.resync, p.poke = false, false
	p.under++
	if n > 0 {
		p.telling++
	}
	s.asked += want
	if want > 0 {
		p.rung = false
		if p.later != nil {
			p.later.Stop()
			p.later = nil
		}
	}
	return true
}

// due reports whether a turn should be taken now. s.mu is held.
func (p *port) due(s *slots) bool {
	if !p.signed {
		return false
	}
	if p.resync || p.resyncs {
		return p.under == 0 // alone, so that nothing else changes what is in flight
	}
	if p.under == 0 {
		return len(p.ends)+len(p.over) > 0 || p.poke || !p.dry && s.grant(p) > 0
	}
	if p.telling == 0 && len(p.ends)+len(p.over) > 0 {
		return true // only a claim is under way: do not make the one who waits wait
	}
	if !p.plenty {
		return p.untold() >= claimMost // a second turn would claim next to nothing
	}
	return p.untold() >= worthwhile
}

// take carries the turn out, however long Redis takes to be there. It is the same
// turn each time, so it happens once.
func (p *port) take(ctx context.Context, t *store.Turn) (*store.TurnReply, error) {
	var wait *backoff.ExponentialBackOff
	for {
		reply, err := p.w.store.Take(context.Background(), t)
		if err == nil || errors.Is(err, store.ErrLapsed) || ctx.Err() != nil {
			return reply, err
		}
		if wait == nil {
			wait = newBackoff()
			p.w.log.Warn("turn failed, trying again until it works", zap.String("queue", p.line.Queue), zap.Error(err))
		}
		p.yield(t)
		if errors.Is(err, store.ErrNoGroup) {
			p.join()
		}
		if p.name() != t.Consumer { // the lease was given up meanwhile
			return nil, store.ErrLapsed
		}
		store.Pause(ctx, wait.NextBackOff())
	}
}

// yield gives back the room that a turn has asked for in vain, so that other lines,
// which may be on other nodes, have it meanwhile. A turn that was carried out all the
// same still answers with what it claimed.
func (p *port) yield(t *store.Turn) {
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked -= t.Want
	t.Want = 0
	p.stuck = true
	for _, q := range s.ports {
		q.lanes.Signal()
		q.bells.Signal()
	}
}

// absorb books what a turn brought and sets its tasks going.
func (p *port) absorb(t *store.Turn, told []*lot, life int, r *store.TurnReply, trip time.Duration, err error) {
	s := &p.w.slots
	s.mu.Lock()
	p.under--
	if len(t.Ends)+len(t.Lots) > 0 {
		p.telling--
	}
	s.asked -= t.Want
	if t.Resync {
		p.resyncs = false
		p.bells.Signal()
	}
	p.lanes.Broadcast() // the other lane, and whoever waits for the line to be flushed
	if err != nil || life != p.life {
		// What the turn carried is void with the lease, or, if the worker is being
		// stopped, will be handed back when it lapses.
		if errors.Is(err, store.ErrLapsed) {
			p.lapse(life)
		}
		s.mu.Unlock()
		return
	}
	p.told[t.Lane], p.toldAt, p.stuck = t.Number, time.Now(), false
	for _, e := range t.Ends {
		if p.belled[e.ID] > 1 { // it was given back and came again meanwhile
			p.belled[e.ID]--
		} else {
			delete(p.belled, e.ID)
		}
	}
	p.review(t, r)
	p.reviewLots(told, r.Unknown)
	s.ahead.turned(trip, s.size, s.mostAhead)
	if s.emptying == p && !r.Drain && !r.Alone && t.Want > 0 {
		s.emptying = nil
	}
	if r.Drain || r.Alone {
		s.emptying, s.alone, p.dry = p, r.Alone, false
	}
	if t.Want > 0 && s.emptying == nil {
		s.charge(p, len(r.Tasks))
		p.plenty = len(r.Tasks) >= t.Want
		if len(r.Tasks) < t.Want && !p.rung {
			p.dry = true
		}
	}
	if t.Want > 0 {
		for _, q := range s.ports { // who was put off may ask now, or listen
			q.lanes.Signal()
			q.bells.Signal()
		}
	}
	if t.Want > 0 || r.Open {
		p.open = r.Open
	}
	if r.Open {
		p.claimIn(back)
	}
	if r.Wake >= 0 {
		p.wakeIn(r.Wake)
	}
	var whole *lot
	if r.Lot {
		whole = p.newLot(t, len(r.Tasks))
	}
	jobs := make([]run.Job, 0, len(r.Tasks))
	deliveries := make([]delivery, len(r.Tasks)) // one allocation for the batch
	for i := range r.Tasks {
		c := &r.Tasks[i]
		if t.Resync {
			if p.belled[c.ID] > 0 {
				continue // it says again what was not lost
			}
			p.belled[c.ID] = 1
		}
		d := &deliveries[i]
		d.port, d.life, d.lot, d.claimed, d.now = p, life, whole, c, r.Now
		jobs = append(jobs, d)
	}
	s.held += len(jobs)
	trim := p.trimDue(len(jobs))
	stopped := s.stopped
	s.mu.Unlock()
	p.w.stats.claimed.Add(int64(len(jobs)))
	if stopped { // this claim was under way when the worker was told to stop
		for _, j := range jobs {
			j.(*delivery).giveBack()
		}
		return
	}
	p.start(jobs)
	if trim {
		p.trim()
	}
}

// start hands jobs to the crew.
func (p *port) start(jobs []run.Job) {
	if len(jobs) == 0 {
		return
	}
	if p.w.crew.Add(jobs...) {
		select {
		case p.w.prefed <- struct{}{}:
		default:
		}
	}
}

// review deals with endings that were not accepted. w.slots.mu is held.
func (p *port) review(t *store.Turn, r *store.TurnReply) {
	if len(r.Stale) > 0 {
		p.w.stats.refused.Add(int64(len(r.Stale)))
		for _, id := range r.Stale {
			p.w.log.Warn("ending refused: the task is another worker's by now", zap.String("queue", p.line.Queue), zap.Stringer("task_id", id))
		}
	}
	if len(r.Watched) == 0 {
		return
	}
	watched := make(map[queue.TaskID]bool, len(r.Watched))
	for _, id := range r.Watched {
		watched[id] = true
	}
	for _, e := range t.Ends {
		if watched[e.ID] {
			e.Apart = true
			if e.Outcome == nil {
				o := e.Success()
				e.Outcome = &o
			}
			p.ends = append(p.ends, e)
		}
	}
}

// wakeIn makes the port claim when something is due. w.slots.mu is held.
func (p *port) wakeIn(d time.Duration) {
	if p.wakeAt != nil {
		p.wakeAt.Stop()
	}
	p.wakeAt = time.AfterFunc(d, p.rouse)
}

// rouse makes the port claim.
func (p *port) rouse() {
	s := &p.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	p.poke, p.rung = true, true
	s.hungry(p)
	p.lanes.Signal()
}

// flushed waits until everything that has ended was told, or limit has passed.
func (p *port) flushed(limit time.Time) bool {
	t := time.AfterFunc(time.Until(limit), func() {
		p.w.slots.mu.Lock()
		defer p.w.slots.mu.Unlock()
		p.lanes.Broadcast()
	})
	defer t.Stop()
	p.w.slots.mu.Lock()
	defer p.w.slots.mu.Unlock()
	for (len(p.ends)+len(p.over)+p.lots > 0 || p.under > 0) && time.Now().Before(limit) {
		p.lanes.Broadcast()
		p.lanes.Wait()
	}
	return len(p.ends)+len(p.over)+p.lots == 0 && p.under == 0
}

func (p *port) trimDue(n int) bool {
	if p.line.Group == "" {
		return false
	}
	if p.trimIn -= n; p.trimIn > 0 {
		return false
	}
	p.trimIn = trimEvery
	return true
}

// join makes sure that a stream has the port's group: a Redis that changes masters
// may forget it. A failure is made up for by the next heartbeat.
func (p *port) join() {
	made, err := p.w.store.Join(context.Background(), p.line)
	if err != nil {
		p.w.log.Debug("join failed", zap.String("queue", p.line.Queue), zap.Error(err))
	}
	if made {
		p.w.log.Warn("the consumer group was gone and was made again: it reads the stream from its start",
			zap.String("queue", p.line.Queue), zap.String("group", p.line.Group))
		p.rouse() // nobody rang for what came meanwhile
	}
}

// trim drops what nobody needs any more from a stream. A failure is made up for
// by the next one.
func (p *port) trim() {
	if _, err := p.w.store.Trim(context.Background(), p.line, p.retention); err != nil {
		p.w.log.Debug("trim failed", zap.String("queue", p.line.Queue), zap.Error(err))
	}
}

// newBackoff is how tries at a Redis that is not there are spaced.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 20*time.Millisecond, time.Second
	b.Reset()
	return b
}
