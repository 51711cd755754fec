package bubble_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/bubble"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// point is a moment at which a program dies: at its nth call of a script or command.
type point struct {
	who     string // "producer" or "worker"
	command string
	n       int
	moment  bubble.Moment
}

func (p point) String() string {
	return fmt.Sprintf("%s %s the %s number %d", p.who, map[bubble.Moment]string{bubble.Before: "before", bubble.After: "after"}[p.moment], p.command, p.n)
}

// calls counts what a program calls, and has it die at its point.
type calls struct {
	at    point
	mu    sync.Mutex
	count map[string]int
	died  bool
}

// scripts are the names of the scripts by their digests, as far as one was sent.
var scripts sync.Map

// deaths is how many calls of a kind are worth dying at: later ones are like those
// before.
const deaths = 3

func (c *calls) pick(command, arg string) bubble.Moment {
	switch command {
	case "hello", "client", "ping", "config":
		return bubble.Never // no call of the store's
	case "eval":
		sum := sha1.Sum([]byte(arg)) //nolint:gosec // see above
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-- "), ":")
		scripts.Store(hex.EncodeToString(sum[:]), name)
		command = name
	case "evalsha":
		name, ok := scripts.Load(arg)
		if !ok {
			return bubble.Never // its text follows
		}
		command = name.(string)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[command]++
	if c.at.command == command && c.at.n == c.count[command] {
		c.died = true
		return c.at.moment
	}
	return bubble.Never
}

// TestWhoeverDiesNothingIsLost has a producer or a worker die before and after
// each of its calls, and another one go on.
func TestWhoeverDiesNothingIsLost(t *testing.T) {
	t.Parallel()
	var counts map[string]map[string]int
	for range 2 { // the first time, the names of the scripts are learned
		counts = act(t, point{}).calls
	}
	var points []point
	for _, who := range []string{"producer", "worker"} {
		for _, command := range slices.Sorted(maps.Keys(counts[who])) {
			for n := 1; n <= min(deaths, counts[who][command]); n++ {
				points = append(points, point{who, command, n, bubble.Before}, point{who, command, n, bubble.After})
			}
		}
	}
	for who, want := range map[string][]string{
		"producer": {"submit", "cancel", "subscribe", "open"}, "worker": {"beat", "turn", "blmove", "declare"},
	} {
		for _, command := range want {
			if counts[who][command] == 0 {
				t.Errorf("the %s never calls %s; it calls %v", who, command, counts[who])
			}
		}
	}
	died := 0
	for _, p := range points {
		t.Run(p.String(), func(t *testing.T) {
			if act(t, p).died {
				died++
			}
		})
	}
	t.Logf("%d of %d points were come to", died, len(points))
	if died < len(points)*3/4 {
		t.Errorf("only %d of %d points were come to", died, len(points))
	}
}

type played struct {
	calls map[string]map[string]int
	died  bool
}

var next = queue.NewTask[int, int]("next")

// play is one performance: a producer and a worker of which one dies at a point.
type play struct {
	*room
	at      point
	worker  *calls
	maker   *calls
	mu      sync.Mutex
	runs    map[int]int // by argument: how often it ran to a good end
	tries   map[int]int
	results []*result
}

// result is what the dying producer was told of a submission.
type result struct {
	key     string
	n       int
	f       *queue.Future[int]
	err     error
	cancels bool
	answer  queue.CancelResult
	refused error // of the cancellation
}

func act(t *testing.T, at point) (out played) {
	t.Helper()
	bubble.Run(t, func(b *bubble.Bubble) {
		p := &play{
			at: at, worker: &calls{count: map[string]int{}}, maker: &calls{count: map[string]int{}},
			runs: map[int]int{}, tries: map[int]int{},
		}
		switch at.who {
		case "producer":
			p.maker.at = at
		case "worker":
			p.worker.at = at
		}
		rdb := b.Client() // of one who lives
		x, err := producer.New(rdb)
		if err != nil {
			b.T.Fatal(err)
		}
		b.T.Cleanup(func() { _ = x.Close() })
		p.room = &room{Bubble: b, t: b.T, ctx: b.T.Context(), x: x, rdb: rdb}
		p.perform()
		p.judge()
		out.calls = map[string]map[string]int{"producer": p.maker.count, "worker": p.worker.count}
		out.died = p.maker.died || p.worker.died
	})
	return out
}

func (p *play) routes() []queue.Route {
	return []queue.Route{job.Handler(p.handle), next.Handler(p.handle)}
}

// handle takes a second. The first try of 2 fails.
func (p *play) handle(ctx context.Context, n int) (int, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries[n]++
	if n == 2 && p.tries[n] == 1 {
		return 0, errors.New("not yet")
	}
	p.runs[n]++
	return n + 100, nil
}

func (p *play) perform() {
	rdb := p.Client()
	rdb.DieAt(p.maker.pick)
	x, err := producer.New(rdb)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = x.Close() })
	first := p.start(p.worker.pick)
	time.Sleep(3 * time.Second)

	p.submit(x, 1)
	p.submit(x, 2)
	p.submit(x, 3, queue.Delay(5*time.Second))
	p.submit(x, 4, queue.Then(next, queue.ID("after 4"), queue.Keep(time.Hour)))
	var all sync.WaitGroup
	for _, n := range []int{5, 6, 7} {
		all.Go(func() { p.submit(x, n) })
	}
	all.Wait()
	off := p.submit(x, 8, queue.Delay(20*time.Second))
	if off.cancels = off.err == nil; off.cancels {
		ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
		off.answer, off.refused = off.f.Cancel(ctx)
		cancel()
	}
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	_, _ = job.Open(ctx, x, queue.KeyTaskID("8", 1))
	cancel()
	time.Sleep(2 * time.Second)
	other := p.start(nil)
	time.Sleep(30 * time.Second)
	first.stop()
	<-first.done
	time.Sleep(10 * time.Second) // if it died signing off, its lease lapses
	other.stop()
	<-other.done
	if other.err != nil {
		p.t.Errorf("the worker that lives: Run returned %v", other.err)
	}
}

// start starts a worker that dies at pick's choice.
func (p *play) start(pick func(command, arg string) bubble.Moment) *hand {
	rdb := p.Client()
	if pick != nil {
		rdb.DieAt(pick)
	}
	return p.workOn(rdb, consumer.Config{Concurrency: 2, Lease: 3 * time.Second}, p.routes()...)
}

func (p *play) submit(x *producer.Client, n int, opts ...queue.Option) *result {
	r := &result{key: fmt.Sprint(n), n: n}
	p.mu.Lock()
	p.results = append(p.results, r)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	opts = append(opts, queue.ID(r.key), queue.Keep(time.Hour), queue.Retries(3))
	r.f, r.err = job.Submit(ctx, x, n, opts...)
	if r.err != nil && p.at.who != "producer" {
		p.t.Errorf("task %d: %v", n, r.err)
	}
	return r
}

// outcome asks for a task's outcome, as somebody who was not there.
func (p *play) outcome(key string) (int, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	f, err := job.Open(ctx, p.x, queue.KeyTaskID(key, 1))
	if err != nil {
		return 0, err
	}
	return f.Get(ctx)
}

// judge holds what is on record against what was promised.
func (p *play) judge() {
	for _, r := range p.results {
		v, err := p.outcome(r.key)
		switch {
		case r.err != nil: // it may have been accepted or not; if it was, it was carried out
			if err == nil && v != r.n+100 || err != nil && !errors.Is(err, queue.ErrResultExpired) {
				p.t.Errorf("task %d, of which the producer knows nothing (%v): %d, %v", r.n, r.err, v, err)
			}
			if (err == nil) != (p.runs[r.n] > 0) {
				p.t.Errorf("task %d ran %d times and its outcome is %v", r.n, p.runs[r.n], err)
			}
		case r.cancels && r.refused == nil:
			if !errors.Is(err, queue.ErrCancelled) || r.answer != queue.CancelBeforeStart || p.runs[r.n] != 0 {
				p.t.Errorf("task %d, whose cancellation was answered %v: %d, %v; it ran %d times", r.n, r.answer, v, err, p.runs[r.n])
			}
		case r.cancels && errors.Is(err, queue.ErrCancelled):
			if p.runs[r.n] != 0 {
				p.t.Errorf("task %d was cancelled and ran %d times", r.n, p.runs[r.n])
			}
		case err != nil || v != r.n+100:
			p.t.Errorf("task %d was accepted: %d, %v", r.n, v, err)
		}
		most := 1
		if p.worker.died && p.at.who == "worker" {
			most = 2
		}
		if p.runs[r.n] > most {
			p.t.Errorf("task %d ran %d times", r.n, p.runs[r.n])
		}
		if r.err == nil && p.at.who != "producer" && !r.cancels {
			ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
			if v, err := r.f.Get(ctx); err != nil || v != r.n+100 {
				p.t.Errorf("the producer of task %d got %d, %v", r.n, v, err)
			}
			cancel()
		}
	}
	if _, err := p.outcome("4"); err == nil { // what follows it is of another type, and its outcome there
		if n := p.rdb.Exists(p.ctx, "cenote:{default}:result:"+string(idOf("after 4"))).Val(); n != 1 || p.runs[104] == 0 {
			p.t.Errorf("what follows task 4: %d outcomes, ran %d times", n, p.runs[104])
		}
	}
	for _, key := range []string{"tasks", "notes", "ready:0", "ready:1", "ready:2", "due", "alone", "alive", "dead"} {
		if n := p.rdb.Exists(p.ctx, "cenote:{default}:"+key).Val(); n != 0 {
			p.t.Errorf("%s is left", key)
		}
	}
	p.toldOnce()
}

func idOf(key string) []byte {
	id := queue.KeyTaskID(key, 1)
	return id[:]
}

// toldOnce checks that no log has two outcomes of one task.
func (p *play) toldOnce() {
	for _, log := range p.rdb.Keys(p.ctx, "cenote:{default}:reply:*").Val() {
		told := map[queue.TaskID]int{}
		for _, e := range p.rdb.XRange(p.ctx, log, "-", "+").Val() {
			if err := queue.ParseOutcomes([]byte(e.Values["o"].(string)), func(o *queue.Outcome) bool { told[o.ID]++; return false }); err != nil {
				p.t.Error(err)
			}
		}
		for id, n := range told {
			if n > 1 {
				p.t.Errorf("%s was told the outcome of %s %d times", log, id, n)
			}
		}
	}
}
