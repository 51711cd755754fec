package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/shared"
)

// A sharer is a process that does to shared objects what it reads from its standard input, a
// line each, and writes what came of it. What begins while another one waits goes on beside it.

// order is one such line.
type order struct {
	ID    int
	Do    string
	Token uint64
	N     int
	For   time.Duration // how long to wait for it; 0 for as long as it takes
}

// answer is what came of an order.
type answer struct {
	ID    int
	N     int
	Token uint64
	OK    bool
	Error string // the name of the error, see sharedErrors
	Text  string // and what it says
}

// sharedErrors are those that are told apart here.
var sharedErrors = map[string]error{
	"not owner": shared.ErrNotOwner, "lost": shared.ErrLost, "stale": shared.ErrStale, "broken": shared.ErrBroken,
	"timeout": context.DeadlineExceeded, "closed": queue.ErrClosed,
}

// sharer's leases are short, since what is tested is that they lapse.
const sharedLease = 2 * time.Second

// tools are what a sharer has opened.
type tools struct {
	lock      *shared.Lock
	semaphore *shared.Semaphore
	event     *shared.Event
	barrier   *shared.Barrier
	fenced    *shared.Fenced[int]

	mu   sync.Mutex
	held map[uint64]*shared.Held // by token
}

func openTools(m *shared.Manager) (*tools, error) {
	t := &tools{held: map[uint64]*shared.Held{}}
	var errs [5]error
	t.lock, errs[0] = shared.OpenLock(m, "l")
	t.semaphore, errs[1] = shared.OpenSemaphore(m, "s", 2)
	t.event, errs[2] = shared.OpenEvent(m, "e")
	t.barrier, errs[3] = shared.OpenBarrier(m, "b", 3)
	t.fenced, errs[4] = shared.OpenFenced[int](m, "f")
	return t, errors.Join(errs[:]...)
}

func share(_ script, rdb *redis.Client, _ *producer.Client) error {
	m, err := shared.New(rdb, shared.Lease(sharedLease))
	if err != nil {
		return err
	}
	t, err := openTools(m)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		all.Go(func() {
			a := t.do(o)
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(a) // the test that wants it waits for it
		})
	}
	err = m.Close(context.Background()) // ends what still waits
	all.Wait()
	return err
}

func (t *tools) do(o order) (a answer) {
	a.ID = o.ID
	ctx, stop := context.WithCancel(context.Background())
	if o.For > 0 {
		ctx, stop = context.WithTimeout(context.Background(), o.For)
	}
	defer stop()
	var h *shared.Held
	var err error
	switch o.Do {
	case "acquire":
		h, err = t.lock.Acquire(ctx)
	case "try":
		h, a.OK, err = t.lock.TryAcquire(ctx)
	case "permit":
		h, err = t.semaphore.Acquire(ctx)
	case "try permit":
		h, a.OK, err = t.semaphore.TryAcquire(ctx)
	case "release":
		err = t.of(o.Token).Release(ctx)
	case "lost": // waits until it is
		held := t.of(o.Token).Context()
		select {
		case <-held.Done():
			err = context.Cause(held)
		case <-ctx.Done():
			err = ctx.Err()
		}
	case "write":
		err = t.fenced.Write(ctx, o.Token, o.N)
	case "read":
		a.N, a.Token, a.OK, err = t.fenced.Read(ctx)
	case "set":
		err = t.event.Set(ctx)
	case "clear":
		err = t.event.Clear(ctx)
	case "is set":
		a.OK, err = t.event.IsSet(ctx)
	case "wait":
		err = t.event.Wait(ctx)
	case "meet":
		a.N, err = t.barrier.Wait(ctx)
	case "abort":
		err = t.barrier.Abort(ctx)
	case "reset":
		err = t.barrier.Reset(ctx)
	default:
		err = fmt.Errorf("no such order: %q", o.Do)
	}
	if h != nil {
		a.Token = h.Token()
		t.mu.Lock()
		t.held[a.Token] = h
		t.mu.Unlock()
	}
	if err != nil {
		a.Error, a.Text = "other", err.Error()
		for _, name := range []string{"timeout", "broken", "not owner", "lost", "stale", "closed"} {
			if errors.Is(err, sharedErrors[name]) {
				a.Error = name
				break
			}
		}
	}
	return a
}

// of is what is held by a token; never held, if it is another process's.
func (t *tools) of(token uint64) *shared.Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.held[token]; h != nil {
		return h
	}
	return new(shared.Held)
}

// sharer is such a process, from outside.
type sharer struct {
	*process
	b *bed

	mu      sync.Mutex
	orders  int
	waiting map[int]chan answer
}

func (s *site) sharer(b *bed) *sharer {
	b.Helper()
	p := &sharer{process: s.play(script{Part: "sharer"}), b: b, waiting: map[int]chan answer{}}
	go func() {
		for {
			line, err := p.out.ReadBytes('\n')
			if err != nil {
				return
			}
			var a answer
			if json.Unmarshal(line, &a) == nil {
				p.mu.Lock()
				p.waiting[a.ID] <- a
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// begin gives an order, whose answer comes from the channel.
func (p *sharer) begin(o order) <-chan answer {
	p.b.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders++
	o.ID = p.orders
	c := make(chan answer, 1)
	p.waiting[o.ID] = c
	line, err := json.Marshal(o)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	if err != nil {
		p.b.Fatal(err)
	}
	return c
}

// do gives an order and waits for its answer, which must be of the given error, or none.
func (p *sharer) do(o order, want string) answer {
	p.b.Helper()
	return p.came(o.Do, p.begin(o), want)
}

// came waits for an answer, which must be of the given error.
func (p *sharer) came(what string, c <-chan answer, want string) answer {
	p.b.Helper()
	a := wait(p.b, c)
	if a.Error != want {
		p.b.Errorf("%s came to the error %q, want %q: %s", what, a.Error, want, a.Text)
	}
	return a
}
