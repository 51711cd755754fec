package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// tubeHistory is what came out of a queue.
type tubeHistory struct {
	mu   sync.Mutex
	seen map[int]int
}

func (h *tubeHistory) note(v int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[int]int{}
	}
	h.seen[v]++
}

// exactly checks that each of 0 to n-1 came once, and nothing else.
func (h *tubeHistory) exactly(b *tubeBed, n int) {
	b.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range n {
		if h.seen[i] != 1 {
			b.Errorf("item %d came %d times", i, h.seen[i])
		}
	}
	if len(h.seen) != n {
		b.Errorf("%d items came of %d", len(h.seen), n)
	}
}

func TestHundredsWaitWhileRedisIsStartedAgain(t *testing.T) {
	b := tubesOnRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	const n, programs = 300, 3
	var all sync.WaitGroup
	var h tubeHistory
	for range programs { // these wait for items
		q := b.queue(5)
		for range n / programs {
			all.Go(func() {
				v, err := q.Get(b.ctx)
				if err != nil {
					b.Error(err)
					return
				}
				h.note(v)
			})
		}
	}
	var puts sync.WaitGroup
	full, err := OpenQueue[int](b.manager(), "full", 1)
	b.ok(err)
	b.ok(full.Put(b.ctx, 0))
	for i := range n - 1 { // and these for room
		puts.Go(func() { b.ok(full.Put(b.ctx, i+1)) })
	}
	b.lined(getters, programs)
	b.until("the Puts to wait", func() bool { return b.rdb.ZCard(b.ctx, "cenote:shared:queue:{full}:putters").Val() == 1 })
	b.real.Kill()
	b.real.Restart()
	p := b.queue(5)
	var sends sync.WaitGroup
	for i := range n {
		sends.Go(func() { b.ok(p.Put(b.ctx, i)) })
	}
	sends.Wait()
	all.Wait()
	h.exactly(b, n)
	var f tubeHistory
	c, err := OpenQueue[int](b.manager(), "full", 1)
	b.ok(err)
	for i := range n {
		v, err := c.Get(b.ctx)
		b.ok(err)
		f.note(v)
		if i == n/2 {
			b.real.Kill()
			b.real.Restart()
		}
	}
	puts.Wait()
	f.exactly(b, n)
}

// lossy is a network that loses replies: what was sent has arrived, and the connection is
// cut before anything comes back.
type lossy struct {
	one  atomic.Int64 // in so many writes
	lost atomic.Int64
}

type lossyConn struct {
	net.Conn
	l   *lossy
	cut atomic.Bool
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if one := c.l.one.Load(); one > 0 && rand.N(one) == 0 {
		c.cut.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.cut.Load() {
		c.l.lost.Add(1)
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c *lossyConn) dial(o *redis.Options) {
	var d net.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lossyConn{Conn: conn, l: c.l}, nil
	}
}

func TestNoItemIsLostOrDoubledWithItsReply(t *testing.T) {
	b := tubesOnRedis(t)
	l := &lossy{}
	dial := b.options
	b.options = func() *redis.Options { o := dial(); (&lossyConn{l: l}).dial(o); return o }
	const n, programs = 400, 2
	var putting, getting sync.WaitGroup
	var h tubeHistory
	var qs []*Queue[int]
	for range 2 * programs {
		qs = append(qs, b.queue(20))
	}
	l.one.Store(12)
	for p := range programs {
		putting.Go(func() {
			for i := range n / programs {
				b.ok(qs[p].Put(b.ctx, p*n/programs+i))
			}
		})
		for k := range 4 {
			getting.Go(func() {
				q := qs[programs+p]
				for {
					ctx, cancel := context.WithCancel(b.ctx)
					if k == 0 { // one of them gives up now and then
						if rand.N(2) == 0 {
							go cancel()
						}
					}
					if k == 1 {
						r, err := q.Reserve(ctx)
						if err == nil {
							h.note(r.Value)
							b.ok(r.Ack(b.ctx))
						} else if !errors.Is(err, ErrEmpty) {
							cancel()
							return
						}
						cancel()
						continue
					}
					v, err := q.Get(ctx)
					cancel()
					if err == nil {
						h.note(v)
						b.ok(q.TaskDone(b.ctx))
					} else if !errors.Is(err, ErrEmpty) && !errors.Is(err, errUnknown) {
						return
					}
				}
			})
		}
	}
	putting.Wait()
	b.ok(qs[0].CloseSend(b.ctx))
	getting.Wait()
	l.one.Store(0)
	h.exactly(b, n)
	if s, err := qs[0].Stats(b.ctx); err != nil || s != (Stats{Closed: true}) {
		b.Errorf("at the end: %+v, %v", s, err)
	}
	if l.lost.Load() < 20 {
		b.Errorf("only %d replies were lost", l.lost.Load())
	}
}

// A Redis without PUBLISH tells nobody anything.
func TestAllGoesOnWithoutHints(t *testing.T) {
	b := tubesOnRedis(t, "--rename-command", "PUBLISH", "")
	p, c := b.queue(1), b.queue(1)
	got := tubeRun(func() error {
		for i := range 3 {
			if v, err := c.Get(b.ctx); err != nil || v != i {
				return fmt.Errorf("%d, %w; want %d", v, err, i)
			}
		}
		return nil
	})
	b.lined(getters, 1)
	b.puts(p, 0)
	b.puts(p, 1) // it waits for the Get, which waits for its next look
	b.puts(p, 2)
	b.ok(tubeWait(b, got))
	joined := tubeRun(func() error { return p.Join(b.ctx) })
	b.lined(joiners, 1)
	for range 3 {
		b.ok(c.TaskDone(b.ctx))
	}
	b.ok(tubeWait(b, joined))
}
