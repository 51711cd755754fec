package shared

import (
	"context"
	"embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

//go:embed lua/*.lua
var luaFiles embed.FS

const (
	// DefaultLease is how long what a program holds stays its own if it is not heard of.
	DefaultLease = 15 * time.Second
	// MinLease is the shortest lease there is.
	MinLease = time.Second
	// MaxLease is the longest.
	MaxLease = 24 * time.Hour
)

// Lease is how long what is held of an object stays held when its holder is not heard
// of: how soon others go on after a crash, and for how long a holder may be cut off from
// Redis, less a sixth. It is about locks, semaphores, barriers and what else is held. d is from
// [MinLease] to [MaxLease].
// Default: [DefaultLease].
func Lease(d time.Duration) Option {
	return func(s *settings) {
		if d < MinLease || d > MaxLease {
			s.err = fmt.Errorf("%w: a lease of %v; give %v to %v", queue.ErrOption, d, MinLease, MaxLease)
			return
		}
		s.lease = d
	}
}

// leaseKind is how leases of one kind of object are kept. Both verbs take the object's
// root as their key.
type leaseKind struct {
	// renew: the lease in ms, then tickets. It replies with the ms until the first of
	// all leases in the object lapses (0: nobody knows), then a text for each ticket:
	// "" if its lease has lapsed, else whatever the kind wants its holder to be told.
	renew store.Verb
	// free: tickets. What they hold is given back at once; those that hold nothing
	// are left alone.
	free store.Verb
}

// plainLeases renew and free what <root>:alive has, a ZSET of tickets by the end of
// their lease, and look after nothing else.
var plainLeases = &leaseKind{renew: store.LoadVerb(luaFiles, "renew"), free: store.LoadVerb(luaFiles, "free")}

// leased names what is renewed, and given back, by one script: all that a manager
// holds in one object.
type leased struct {
	kind  *leaseKind
	root  string
	lease time.Duration
}

// holding is something that this manager has in Redis as long as its lease is renewed.
// It begins with keeper.take; the caller then writes the ticket into the object, with a
// lease, and calls renewed. From then on the keeper renews it.
type holding struct {
	leased
	k      *keeper
	ticket string          // its name in Redis, which no other holding ever has
	told   func(string)    // is given what each renewal replies; may be nil; must not block
	ctx    context.Context // ends with the holding
	cancel context.CancelCauseFunc

	// Guarded by k.mu.
	kept  bool
	ended bool
	until time.Time   // by this machine's clock: from then on others may have it
	fence *time.Timer // at until
}

// flock is all holdings of a leased. k.mu guards it.
type flock struct {
	leased
	holdings map[string]*holding
	due      time.Time // of the next renewal
	exact    bool      // and not a little sooner, with others
	busy     bool      // one is under way
}

// keeper renews the leases of a manager: one goroutine for all, one script an object at
// a third of the lease, objects side by side. It ends a holding by this machine's clock
// at five sixths of its lease, before others may have it, whatever Redis is doing.
type keeper struct {
	m     *Manager
	slots chan struct{}  // bounds the renewals at a time
	backs sync.WaitGroup // what is being given back, see giveBack

	mu     sync.Mutex
	runs   bool
	closed bool
	serial uint64
	flocks map[leased]*flock
	next   time.Time     // when the goroutine looks again
	wake   chan struct{} // it is to look sooner
}

// renewals is how many objects are renewed at a time. They are many, because one Redis
// of a cluster that hangs must not hold up those that do not.
const renewals = 64

// renewBatch is how many tickets go with one script.
const renewBatch = 500

func newKeeper(m *Manager) *keeper {
	return &keeper{m: m, slots: make(chan struct{}, renewals), flocks: map[leased]*flock{}, wake: make(chan struct{}, 1)}
}

// take begins a holding. Its context has the values of ctx, and not its end.
func (k *keeper) take(ctx context.Context, of leased, told func(string)) (*holding, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, errClosed
	}
	k.serial++
	h := &holding{leased: of, k: k, ticket: k.m.name + "/" + strconv.FormatUint(k.serial, 36), told: told}
	h.ctx, h.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return h, nil
}

// renewed notes that Redis has given or renewed the lease, for which it was asked at the
// moment sent, and that the first lease in the object lapses after lapse (0: nobody
// knows). It reports whether the holding still is one; what has ended meanwhile, the
// caller gives back.
func (h *holding) renewed(sent time.Time, lapse time.Duration) bool {
	k := h.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.ended {
		return false
	}
	if k.closed {
		h.finish(errClosed)
		return false
	}
	h.until = sent.Add(h.lease - h.lease/6)
	left := time.Until(h.until)
	if left <= 0 { // the reply took so long
		h.finish(ErrLost)
		return false
	}
	if h.fence == nil {
		h.fence = time.AfterFunc(left, h.fenced)
	} else {
		h.fence.Reset(left)
	}
	f := k.flocks[h.leased]
	if f == nil {
		f = &flock{leased: h.leased, holdings: map[string]*holding{}, due: sent.Add(h.every())}
		k.flocks[h.leased] = f
	}
	h.kept = true
	f.holdings[h.ticket] = h
	k.plan(f, sent.Add(h.every()), lapse)
	return true
}

// every is how often the lease is renewed. Who waits to be told something is told it by
// a renewal if the hint was lost.
func (l leased) every() time.Duration { return min(l.lease/3, slowTick) }

// plan has the flock renewed at a moment, or after lapse, unless it is to be sooner
// anyway. k.mu is held.
func (k *keeper) plan(f *flock, due time.Time, lapse time.Duration) {
	if lapse > 0 && lapse < f.every() {
		// All who wait for the same lease to lapse would come at once: spread out.
		if at := time.Now().Add(lapse + f.lease/100 + rand.N(f.lease/50)); at.Before(f.due) {
			f.due, f.exact = at, true
		}
	}
	if due.Before(f.due) {
		f.due, f.exact = due, false
	}
	if !k.runs {
		k.runs = true
		k.m.work.Go(k.run)
	} else if !f.busy && f.due.Before(k.next) {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// fenced is called when the lease was not renewed for so long that others may soon have
// what it is for.
func (h *holding) fenced() {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	if time.Now().Before(h.until) {
		return // renewed at the last moment
	}
	h.finish(ErrLost)
}

// end ends the holding here, with the given cause, and reports whether it was not ended
// before. What it is for stays in Redis until it is freed or lapses.
func (h *holding) end(cause error) bool {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	return h.finish(cause)
}

// finish is end with k.mu held.
func (h *holding) finish(cause error) bool {
	if h.ended {
		return false
	}
	if !h.until.IsZero() && !time.Now().Before(h.until) {
		cause = ErrLost // whoever asks first must not hide it
	}
	h.ended = true
	if h.fence != nil {
		h.fence.Stop()
	}
	if f := h.k.flocks[h.leased]; h.kept && f != nil {
		delete(f.holdings, h.ticket)
		if len(f.holdings) == 0 {
			delete(h.k.flocks, h.leased)
		}
	}
	h.cancel(cause)
	return true
}

// cause says why the holding has ended; nil if it has not.
func (h *holding) cause() error { return context.Cause(h.ctx) }

// run renews what is due, until the manager's life ends.
func (k *keeper) run() {
	for {
		now := time.Now()
		k.mu.Lock()
		k.next = now.Add(time.Hour)
		for _, f := range k.flocks {
			early := f.every() / 8 // what is due soon goes along: many objects cost few looks
			if f.exact {
				early = 0
			}
			switch {
			case f.busy:
			case f.due.After(now.Add(early)):
				if f.due.Before(k.next) {
					k.next = f.due
				}
			default:
				f.busy = true
				k.m.work.Go(func() { k.renew(f) })
			}
		}
		wait := time.NewTimer(k.next.Sub(now))
		k.mu.Unlock()
		select {
		case <-k.m.life.Done():
		case <-k.wake:
		case <-wait.C:
		}
		wait.Stop()
		if k.m.life.Err() != nil {
			return
		}
	}
}

// renew renews one flock.
func (k *keeper) renew(f *flock) {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-k.m.life.Done():
		return
	}
	k.mu.Lock()
	all := make([]*holding, 0, len(f.holdings))
	for _, h := range f.holdings {
		all = append(all, h)
	}
	k.mu.Unlock()
	lapse, failed := time.Duration(0), false
	ctx, stop := context.WithTimeout(k.m.life, f.lease)
	defer stop()
	for part := range slices.Chunk(all, renewBatch) {
		l, err := k.renewPart(ctx, f, part)
		failed = failed || err != nil
		if l > 0 && (lapse == 0 || l < lapse) {
			lapse = l
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f.busy = false
	if len(f.holdings) == 0 {
		return // who holds something again has made another flock
	}
	wait := f.every()
	if failed {
		wait = f.lease / 12
	}
	f.due, f.exact = time.Now().Add(wait), failed
	k.plan(f, f.due, lapse)
}

func (k *keeper) renewPart(ctx context.Context, f *flock, part []*holding) (lapse time.Duration, err error) {
	args := make([]any, 0, 1+len(part))
	args = append(args, f.lease.Milliseconds())
	for _, h := range part {
		args = append(args, h.ticket)
	}
	sent := time.Now()
	r, err := k.m.store.Do(ctx, f.kind.renew, f.root, args...)
	if err != nil {
		return 0, err
	}
	if len(r) != 1+len(part) {
		return 0, fmt.Errorf("shared: the renewal of %d leases of %s is answered with %d texts", len(part), f.root, len(r))
	}
	ms, _ := strconv.ParseInt(r[0], 10, 64)
	for i, h := range part {
		if r[1+i] == "" {
			h.end(ErrLost)
			continue
		}
		if h.renewed(sent, 0) && h.told != nil {
			h.told(r[1+i])
		}
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// close ends all holdings, and gives back at once what they are for.
func (k *keeper) close(ctx context.Context) error {
	k.mu.Lock()
	k.closed = true
	tickets := map[leased][]any{}
	for of, f := range k.flocks {
		for _, h := range f.holdings {
			tickets[of] = append(tickets[of], h.ticket)
			h.finish(errClosed)
		}
	}
	k.mu.Unlock()
	var all sync.WaitGroup
	var mu sync.Mutex
	var first error
	slots := make(chan struct{}, renewals) // those of k may be stuck with a Redis that hangs
	for of, ts := range tickets {
		slots <- struct{}{} // ctx bounds those who have one
		all.Go(func() {
			defer func() { <-slots }()
			for part := range slices.Chunk(ts, renewBatch) {
				if _, err := k.m.store.Do(ctx, of.kind.free, of.root, part...); err != nil {
					mu.Lock()
					if first == nil {
						first = fmt.Errorf("shared: what is held of %s is given back by itself when its lease lapses: %w", of.root, err)
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	k.backs.Wait()
	return first
}

// giveBack frees in the background, for a while, what a ticket may have got that nobody
// wants any more. If that fails, the lease lapses.
func (h *holding) giveBack() {
	free := func(life context.Context, within time.Duration) {
		ctx, stop := context.WithTimeout(life, within)
		defer stop()
		_, _ = h.k.m.store.Do(ctx, h.kind.free, h.root, h.ticket)
	}
	h.k.mu.Lock()
	if h.k.closed {
		h.k.mu.Unlock()
		free(context.WithoutCancel(h.ctx), MinLease)
		return
	}
	defer h.k.mu.Unlock()
	h.k.backs.Go(func() { free(h.k.m.life, MinLease) })
}
