package shared

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/cenote-go/cenote/internal/bubble"
)

// world is a semaphore, what a model says of it, and programs that use it.
type world struct {
	t        *rapid.T
	size     int
	programs []*program
	line     []*seeker // those that wait, in their order
	held     []*seeker
	token    uint64 // the last
}

// program is a manager that may be cut off.
type program struct {
	s   *Semaphore
	rdb *bubble.Client
}

// seeker is one Acquire.
type seeker struct {
	p    *program
	stop context.CancelFunc
	came chan held
	*Held
}

// settle lets all that is under way come to its end, and the model's line move on: who is
// first gets what is free.
func (w *world) settle() {
	synctest.Wait()
	<-time.After(100 * time.Millisecond) // a lost connection is made anew
	synctest.Wait()
	for len(w.held) < w.size && len(w.line) > 0 {
		next := w.line[0]
		w.line = w.line[1:]
		select {
		case got := <-next.came:
			if got.err != nil {
				w.t.Fatalf("who is first has the error %v", got.err)
			}
			if got.Token() <= w.token {
				w.t.Fatalf("token %d after %d", got.Token(), w.token)
			}
			w.token, next.Held = got.Token(), got.Held
		default:
			w.t.Fatal("who is first was not let in")
		}
		w.held = append(w.held, next)
	}
	for i, s := range w.line {
		select {
		case got := <-s.came:
			w.t.Fatalf("number %d of the line came out of turn: %v, %v", i, got.Held, got.err)
		default:
		}
	}
	for _, s := range w.held {
		if err := s.Context().Err(); err != nil {
			w.t.Fatalf("a permit was lost while all was well: %v", context.Cause(s.Context()))
		}
	}
}

func (w *world) pick(what string) *program {
	return w.programs[rapid.IntRange(0, len(w.programs)-1).Draw(w.t, what)]
}

func (w *world) acquire(*rapid.T) {
	s := &seeker{p: w.pick("who"), came: make(chan held, 1)}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go func() {
		h, err := s.p.s.Acquire(ctx)
		s.came <- held{Held: h, err: err}
	}()
	w.line = append(w.line, s)
	w.settle()
}

func (w *world) try(*rapid.T) {
	s := &seeker{p: w.pick("who"), stop: func() {}}
	h, ok, err := s.p.s.TryAcquire(context.Background())
	if want := len(w.held) < w.size; ok != want || err != nil {
		w.t.Fatalf("a try says %v, %v, with %d of %d held and %d waiting", ok, err, len(w.held), w.size, len(w.line))
	}
	if ok {
		if h.Token() <= w.token {
			w.t.Fatalf("token %d after %d", h.Token(), w.token)
		}
		w.token, s.Held = h.Token(), h
		w.held = append(w.held, s)
	}
}

func (w *world) release(*rapid.T) {
	if len(w.held) == 0 {
		w.t.Skip("nobody holds one")
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(w.t, "which")
	s := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	if err := s.Release(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Release(context.Background()); !errors.Is(err, ErrNotOwner) {
		w.t.Fatal(err)
	}
	w.settle()
}

func (w *world) giveUp(*rapid.T) {
	if len(w.line) == 0 {
		w.t.Skip("nobody waits")
	}
	i := rapid.IntRange(0, len(w.line)-1).Draw(w.t, "which")
	s := w.line[i]
	w.line = slices.Delete(w.line, i, i+1)
	s.stop()
	if got := <-s.came; !errors.Is(got.err, context.Canceled) {
		w.t.Fatal(got.err)
	}
	w.settle()
}

// sleep lets leases be renewed, and lapse if they are not.
func (w *world) sleep(*rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(1, 60).Draw(w.t, "seconds")) * time.Second)
	w.settle()
}

// die cuts a program off for longer than a lease: others get what it had, in their order.
func (w *world) die(*rapid.T) {
	dead := w.pick("who")
	dead.rdb.Cut()
	theirs := func(s *seeker) bool { return s.p == dead }
	var lost []*seeker
	for _, s := range w.held {
		if theirs(s) {
			lost = append(lost, s)
		}
	}
	w.held = slices.DeleteFunc(w.held, theirs)
	for _, s := range w.line {
		if theirs(s) {
			s.stop()
			<-s.came
		}
	}
	w.line = slices.DeleteFunc(w.line, theirs)
	<-time.After(2 * DefaultLease)
	for _, s := range lost {
		if err := context.Cause(s.Context()); !errors.Is(err, ErrLost) {
			w.t.Fatalf("who is cut off goes on: %v", err)
		}
	}
	dead.rdb.Mend()
	var pings sync.WaitGroup // to be rid of the connections that were cut
	for range 100 {
		pings.Go(func() { _ = dead.rdb.Ping(context.Background()) })
	}
	pings.Wait()
	<-time.After(2 * time.Second) // what it gives back is on its way
	for _, s := range lost {
		if err := s.Release(context.Background()); !errors.Is(err, ErrLost) {
			w.t.Fatal(err)
		}
	}
	w.settle()
}

// A semaphore of any size does what its model does, whatever its programs do.
func TestSemaphoreIsItsModel(t *testing.T) {
	bubble.Run(t, func(b *bubble.Bubble) {
		round := 0
		rapid.Check(noDeadline{b.T}, func(rt *rapid.T) {
			round++
			w := &world{t: rt, size: rapid.IntRange(1, 3).Draw(rt, "size")}
			for range rapid.IntRange(1, 3).Draw(rt, "programs") {
				rdb := b.Client()
				m := managerOn(b.T, rdb)
				defer func() { _ = m.Close(context.Background()) }()
				s, err := OpenSemaphore(m, strconv.Itoa(round), w.size)
				if err != nil {
					rt.Fatal(err)
				}
				w.programs = append(w.programs, &program{s, rdb})
			}
			rt.Repeat(map[string]func(*rapid.T){
				"acquire": w.acquire, "acquire2": w.acquire, "acquire3": w.acquire, "try": w.try,
				"release": w.release, "release2": w.release, "give up": w.giveUp, "sleep": w.sleep, "die": w.die,
			})
		})
	})
}

// noDeadline hides a method that must not be called in a bubble.
type noDeadline struct{ testing.TB }
