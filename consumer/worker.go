// Package consumer runs the tasks of queues in a bounded pool.
//
//	w, err := consumer.New(rdb, consumer.Config{Concurrency: 8}, tasks.Resize.Handler(resize))
//	err = w.Run(ctx)
//
// A worker holds a lease on what it runs and renews it with one heartbeat. If it
// dies, others take its tasks over when the lease has lapsed; if it was only cut
// off, what it still says about them is refused.
package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// Worker takes tasks from queues and runs them. Make it with [New].
type Worker struct {
	cfg   Config
	store *store.Store
	mux   *queue.Mux
	crew  *run.Crew

	crewName string // of the children's crew
	unwell   error  // why it takes no tasks; under slots.mu

	children *child.Crew   // nil if handlers are goroutines; made by Run
	handler  queue.Handler // what runs tasks: mux, or children within the middleware

	log *zap.Logger

	ran    atomic.Bool
	quiet  chan struct{} // closed by Quiet
	hurry  chan struct{} // closed by Abort
	onceQ  sync.Once
	onceH  sync.Once
	stats  counters
	slots  slots
	ports  []*port
	prefed chan struct{} // cap 1: tasks wait in the crew
	wishes *store.Wishes // made by Run
	doubts atomic.Bool   // whether they still come: a heartbeat has failed
	heeds  chan heeding
	over   <-chan struct{} // closed when Run is about to sign off

	commons commonCache
	links   links     // to the programs that tasks die with
	waited  sync.Once // the warning that a handler waits with the only slot
}

// New makes a worker for the tasks of the given routes. It does not talk to
// Redis. The Redis client stays the caller's to close, after Run has returned.
func New(rdb redis.UniversalClient, cfg Config, routes ...queue.Route) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := store.New(rdb)
	if err != nil {
		return nil, err
	}
	if s, err = s.Replicated(cfg.Replicas); err != nil {
		return nil, err
	}
	s.Sealing(cfg.Seal)
	mux, err := queue.NewMux(routes, cfg.Middleware...)
	if err != nil {
		return nil, err
	}
	if mux.Types() == 0 {
		return nil, fmt.Errorf("%w: the worker has no handlers; pass at least one task.Handler(f)", queue.ErrOption)
	}
	w := &Worker{
		cfg: cfg, store: s, mux: mux, log: cfg.Logger,
		crew:   run.NewCrew(cfg.Concurrency),
		quiet:  make(chan struct{}),
		hurry:  make(chan struct{}),
		prefed: make(chan struct{}, 1),
		heeds:  make(chan heeding, 16),
	}
	w.handler = mux
	if err := w.isolate(routes); err != nil {
		return nil, err
	}
	w.links = links{store: s, patience: cfg.Lease, known: map[string]*link{}}
	w.slots.size, w.slots.strict, w.slots.mostAhead = cfg.Concurrency, cfg.Strict, max(cfg.LookAhead, 0)
	return w, nil
}

// Stats counts what a worker has done so far.
type Stats struct {
	Claimed   int64 // tasks taken
	Succeeded int64
	Retried   int64 // attempts that failed and will be tried again
	Dead      int64
	GivenBack int64 // tasks handed back unfinished
	Refused   int64 // endings that came too late: another worker had taken over
	Recovered int64 // tasks taken over from lost workers
	Lapsed    int64 // times this worker lost its own lease
	Crashed   int64 // child processes lost with a task
}

type counters struct {
	claimed, succeeded, retried, dead, givenBack, refused, recovered, lapsed, crashed atomic.Int64
}

// Stats may be called at any time.
func (w *Worker) Stats() Stats {
	c := &w.stats
	return Stats{
		Claimed: c.claimed.Load(), Succeeded: c.succeeded.Load(), Retried: c.retried.Load(), Dead: c.dead.Load(),
		GivenBack: c.givenBack.Load(), Refused: c.refused.Load(), Recovered: c.recovered.Load(), Lapsed: c.lapsed.Load(), Crashed: c.crashed.Load(),
	}
}

// Run takes and runs tasks until ctx is done, then drains.
//
// Draining has three phases: take nothing more and hand back what has not begun;
// let running tasks finish for Config.Grace; then cancel the rest with cause
// [queue.ErrShutdown] and hand it back, so that another worker takes it at once.
// Run returns nil when no lease is left behind. It may be called once.
//
// Run returns an error at once if Redis cannot be reached, refuses the client or
// throws tasks away; once it runs it outlives any outage.
func (w *Worker) Run(ctx context.Context) error {
	if !w.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: Run may be called once; make another worker", queue.ErrClosed)
	}
	if err := w.open(ctx); err != nil {
		for _, p := range w.ports {
			p.closeBell()
		}
		if ctx.Err() != nil { // told to stop before it began
			err = nil
		}
		return errors.Join(err, w.leave())
	}
	if err := w.raise(); err != nil {
		for _, p := range w.ports {
			p.closeBell()
		}
		return errors.Join(err, w.leave())
	}
	w.log.Info("worker started", zap.Int("concurrency", w.cfg.Concurrency), zap.Int("lines", len(w.ports)))

	// The parts stop in the order in which work flows: the bells, then the crew,
	// then the lanes that tell what became of it, last the heartbeat that keeps the
	// leases alive meanwhile.
	var bells, lanes, keepers sync.WaitGroup
	end, endNow := context.WithCancel(context.Background())
	defer endNow()
	bellsEnd, endBells := context.WithCancel(end)
	w.wishes, w.over = w.store.Wishes(end), end.Done()
	for _, p := range w.ports {
		bells.Go(func() { p.listen(bellsEnd) })
		for i := range lanesPerPort {
			lanes.Go(func() { p.lane(end, i) })
		}
		keepers.Go(func() { p.keep(end) })
	}
	keepers.Go(func() { w.steward(end) })
	keepers.Go(func() { w.control(end) })
	keepers.Go(func() { w.heedAll(end) })
	keepers.Go(func() { w.watchLinks(end) })

	giveUpBells := sync.OnceFunc(func() {
		w.stopClaiming()
		endBells()
		for _, p := range w.ports {
			p.closeBell()
		}
		bells.Wait()
		w.recall()
	})
	select {
	case <-ctx.Done():
	case <-w.quiet:
		giveUpBells() // or it would be handed tasks as long as it listens
		<-ctx.Done()
	}
	w.log.Info("worker draining", zap.Duration("grace", w.cfg.Grace))
	giveUpBells()
	w.giveBackWaiting()
	w.drain()
	w.dismiss()
	flushed := w.flush()
	endNow()
	w.wakeAll()
	lanes.Wait()
	keepers.Wait()
	return errors.Join(flushed, w.leave())
}

// Quiet makes Run take no more tasks while it goes on running those it has, until
// its context is done.
func (w *Worker) Quiet() { w.onceQ.Do(func() { close(w.quiet) }) }

// Abort ends the grace of a worker that is draining.
func (w *Worker) Abort() { w.onceH.Do(func() { close(w.hurry) }) }

// open learns how the queues are laid out and signs on to each of their lines.
func (w *Worker) open(ctx context.Context) error {
	if err := w.store.Ping(ctx); err != nil {
		return err
	}
	if !w.cfg.AllowEviction {
		if err := w.store.CheckEviction(ctx); err != nil {
			return fmt.Errorf("%w, or set Config.AllowEviction", err)
		}
	}
	for rank, q := range w.cfg.Queues {
		kind := queue.KindList
		if q.Group != "" {
			kind = queue.KindStream
		}
		var layout queue.Layout
		if err := w.insist(ctx, func() (err error) {
			layout, err = w.store.Declare(ctx, q.Name, queue.Layout{Kind: kind, Retention: -1})
			return err
		}); err != nil {
			return err
		}
		for part := range layout.Partitions {
			line := store.NewLine(q.Name, uint16(part), q.Group) //nolint:gosec // at most MaxPartitions
			if err := w.insist(ctx, func() error {
				_, err := w.store.Join(ctx, line)
				return err
			}); err != nil {
				return err
			}
			p := newPort(w, line, layout, rank, float64(q.Weight)/float64(layout.Partitions))
			w.ports = append(w.ports, p) // also if the next fails: Redis may have done it
			if err := w.insist(ctx, func() error {
				sent := time.Now()
				err := w.store.SignOn(ctx, line, p.consumer, "", w.cfg.Lease)
				if errors.Is(err, store.ErrLapsed) { // it was signed on, unheard, and struck off since
					p.consumer = newConsumerName()
					return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
				}
				if err == nil {
					p.signed = true
					p.renewed(sent)
				}
				return err
			}); err != nil {
				return err
			}
		}
	}
	w.slots.ports = w.ports
	return nil
}

// insist calls do until Redis, which has answered before, answers again.
func (w *Worker) insist(ctx context.Context, do func() error) error {
	var wait *backoff.ExponentialBackOff
	for {
		err := do()
		if !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		if wait == nil {
			wait = newBackoff()
			w.log.Warn("starting failed, trying again until it works", zap.Error(err))
		}
		store.Pause(ctx, wait.NextBackOff())
	}
}

// newConsumerName makes a name that no consumer ever had: who and where, for
// people, and 40 random bits.
func newConsumerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	host = strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_') {
			return r
		}
		return '-'
	}, host)
	return fmt.Sprintf("%.40s.%d.%s", host, os.Getpid(), rand.Text()[:8])
}

func (w *Worker) stopClaiming() {
	w.slots.mu.Lock()
	w.slots.stopped = true
	w.slots.mu.Unlock()
	w.wakeAll()
}

// recall gives back what came over bells that were being closed, which nobody
// here has heard of. A worker that runs nothing signs off at once, which does so
// too.
func (w *Worker) recall() {
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	quiet := false
	select {
	case <-w.quiet:
		quiet = true
	default:
	}
	for _, p := range w.ports {
		if quiet || w.slots.held > 0 {
			p.resync = true
			p.lanes.Broadcast()
		}
	}
}

func (w *Worker) wakeAll() {
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	for _, p := range w.ports {
		p.lanes.Broadcast()
		p.bells.Broadcast()
	}
}

// giveBackWaiting hands tasks that wait in the crew back to their queues.
func (w *Worker) giveBackWaiting() {
	for _, j := range w.crew.TakeBack() {
		j.(*delivery).giveBack()
	}
}

// drain waits for the running tasks, for Config.Grace, and then cancels them.
func (w *Worker) drain() {
	idle := make(chan struct{})
	go func() {
		w.crew.Wait()
		close(idle)
	}()
	grace := time.NewTimer(max(w.cfg.Grace, 0))
	defer grace.Stop()
	select {
	case <-idle:
		return
	case <-grace.C:
	case <-w.hurry:
	}
	n := 0
	w.slots.mu.Lock()
	for _, p := range w.ports {
		n += p.cancelRunning(queue.ErrShutdown)
	}
	w.slots.mu.Unlock()
	w.log.Warn("grace is over, running tasks are cancelled and handed back", zap.Int("tasks", n))
	select {
	case <-idle:
		return
	case <-time.After(stubborn):
	}
	if w.children != nil {
		w.log.Warn("handlers do not heed their context; their processes are killed")
		w.children.Terminate()
		select {
		case <-idle:
			return
		case <-time.After(stubborn): // a middleware, which is a goroutine
		}
	}
	// A goroutine that does not heed its context stays; its task is handed back all the
	// same.
	w.log.Warn("handlers do not heed their context; their tasks are handed back while they still run")
}

const (
	// stubborn is how long a cancelled handler may take to notice.
	stubborn = time.Second
	// farewell is how long a worker that stops keeps trying to tell Redis.
	farewell = 5 * time.Second
)

// flush waits until Redis knows what became of every task that has ended.
func (w *Worker) flush() error {
	limit := time.Now().Add(farewell)
	for _, p := range w.ports {
		if !p.flushed(limit) {
			return fmt.Errorf("%w: some finished tasks could not be reported and will run again when the lease has lapsed", queue.ErrUnavailable)
		}
	}
	return nil
}

// leave signs off from every line.
func (w *Worker) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var errs []error
	for _, p := range w.ports {
		if p.fence != nil {
			p.fence.Stop()
		}
		for _, name := range p.names() {
			n, err := w.store.Leave(ctx, p.line, name)
			if err != nil {
				errs = append(errs, fmt.Errorf("sign off from queue %q, whose tasks wait for the lease to lapse: %w", p.line.Queue, err))
			}
			w.stats.givenBack.Add(int64(n))
		}
	}
	s := w.Stats()
	w.log.Info("worker stopped", zap.Int64("succeeded", s.Succeeded), zap.Int64("retried", s.Retried), zap.Int64("dead", s.Dead), zap.Int64("given_back", s.GivenBack))
	return errors.Join(errs...)
}
