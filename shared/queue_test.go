package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestPutWaitsWhileFull(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p, c := b.queue(2), b.queue(2)
		b.puts(p, 0, 1)
		b.is(p.TryPut(b.ctx, 9), ErrFull)
		b.is(p.Put(b.soon(), 9), ErrFull, context.DeadlineExceeded)
		put := tubeRun(func() error { return p.Put(b.ctx, 2) })
		b.lined(putters, 1)
		b.gets(c, 0)
		b.ok(tubeWait(b, put))
		b.gets(c, 1, 2)
	})
}

func TestGetWaitsWhileEmpty(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p, c := b.queue(0), b.queue(0)
		_, err := c.TryGet(b.ctx)
		b.is(err, ErrEmpty)
		_, err = c.Get(b.soon())
		b.is(err, ErrEmpty, context.DeadlineExceeded)
		got := tubeRun(func() int { v, _ := c.Get(b.ctx); return v })
		b.lined(getters, 1)
		b.puts(p, 7)
		if v := tubeWait(b, got); v != 7 {
			b.Errorf("got %d", v)
		}
		for i := range 600 { // more than go with one script
			b.puts(p, i)
		}
		for i := range 600 {
			b.gets(c, i)
		}
	})
}

func TestAnUnencodablePutTakesNoPlace(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q, err := OpenQueue[any](b.manager(), "q", 1)
		b.ok(err)
		b.is(q.Put(b.ctx, make(chan int)), queue.ErrEncode)
		b.ok(q.TryPut(b.ctx, "fine"))
		v, err := q.Get(b.ctx)
		if err != nil || v != "fine" {
			b.Errorf("%v, %v", v, err)
		}
	})
}

func TestStatsAreExact(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q, p := b.queue(2), b.queue(2)
		look := func(want Stats, full bool) {
			b.Helper()
			s, err := p.Stats(b.ctx)
			b.ok(err)
			f, err := p.Full(b.ctx)
			b.ok(err)
			e, err := p.Empty(b.ctx)
			b.ok(err)
			if s != want || f != full || e != (want.Waiting == 0) {
				b.Errorf("%+v, full %v, empty %v; want %+v, %v", s, f, e, want, full)
			}
		}
		look(Stats{}, false)
		b.is(q.TaskDone(b.ctx), ErrDone)
		b.puts(q, 1, 2)
		look(Stats{Waiting: 2, Open: 2}, true)
		r, err := q.Reserve(b.ctx)
		b.ok(err)
		look(Stats{Waiting: 1, Reserved: 1, Open: 2}, false)
		b.gets(q, 2)
		joined := tubeRun(func() error { return p.Join(b.ctx) })
		b.lined(joiners, 1)
		b.ok(q.TaskDone(b.ctx))
		look(Stats{Reserved: 1, Open: 1}, false)
		b.ok(r.Ack(b.ctx))
		b.ok(tubeWait(b, joined))
		b.is(q.TaskDone(b.ctx), ErrDone)
		b.ok(q.CloseSend(b.ctx))
		look(Stats{Closed: true}, false)
		b.ok(p.Join(b.ctx))
	})
}

func TestCloseSendEndsEveryone(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p, c := b.queue(2), b.queue(2)
		b.puts(p, 0, 1)
		var puts []<-chan error
		for range 5 {
			puts = append(puts, tubeRun(func() error { return p.Put(b.ctx, 9) }))
		}
		b.lined(putters, 1)
		b.ok(c.CloseSend(b.ctx))
		b.ok(p.CloseSend(b.ctx))
		for _, put := range puts {
			b.is(tubeWait(b, put), queue.ErrClosed)
		}
		b.is(c.Put(b.ctx, 9), queue.ErrClosed)
		b.is(c.TryPut(b.ctx, 9), queue.ErrClosed)
		b.gets(c, 0, 1)
		_, err := p.Get(b.ctx)
		b.is(err, queue.ErrClosed)
	})
}

func TestCloseSendWakesWhoWaitsToGet(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		var ends []<-chan error
		for range 3 {
			q := b.queue(0)
			for range 3 {
				ends = append(ends, tubeRun(func() error { _, err := q.Get(b.ctx); return err }))
			}
		}
		b.lined(getters, 3)
		b.ok(b.queue(0).CloseSend(b.ctx))
		for _, end := range ends {
			b.is(tubeWait(b, end), queue.ErrClosed)
		}
	})
}

// Whoever waits at a closed queue may still get what another one has reserved.
func TestTheEndComesAfterTheLastReservation(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q, c := b.queue(0), b.queue(0)
		b.puts(q, 1)
		r, err := q.Reserve(b.ctx)
		b.ok(err)
		b.ok(q.CloseSend(b.ctx))
		got := tubeRun(func() error { _, err := c.Get(b.ctx); return err })
		b.lined(getters, 1)
		b.ok(r.Return(b.ctx))
		b.ok(tubeWait(b, got))
		_, err = c.Get(b.ctx)
		b.is(err, queue.ErrClosed)
	})
}

func TestAllEndsWithTheQueue(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p, c := b.queue(3), b.queue(3)
		sent := tubeRun(func() error {
			for i := range 50 {
				if err := p.Put(b.ctx, i); err != nil {
					return err
				}
			}
			return p.CloseSend(b.ctx)
		})
		var got []int
		for v, err := range c.All(b.ctx) {
			b.ok(err)
			got = append(got, v)
		}
		b.ok(tubeWait(b, sent))
		if len(got) != 50 || !slices.IsSorted(got) {
			b.Errorf("got %v", got)
		}
		for range c.All(b.ctx) {
			b.Error("a closed queue has something")
		}
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		q, err := OpenQueue[int](b.manager(), "other", 0)
		b.ok(err)
		for _, err := range q.All(ctx) {
			b.is(err, context.Canceled)
		}
	})
}

func TestWhoOpensFirstSaysTheSize(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q, other := b.queue(2), b.queue(3)
		b.puts(q, 1)
		b.is(other.Put(b.ctx, 1), ErrMismatch)
		_, err := other.TryGet(b.ctx)
		b.is(err, ErrMismatch)
		_, err = other.Len(b.ctx)
		b.is(err, ErrMismatch)
		b.is(other.Join(b.ctx), ErrMismatch)
		b.is(other.CloseSend(b.ctx), ErrMismatch)
		b.ok(q.Delete(b.ctx))
		b.puts(other, 1)
		_, err = OpenQueue[int](b.manager(), "q", -1)
		b.is(err, queue.ErrOption)
	})
}

func TestAnotherTypeIsRefused(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		b.puts(b.queue(0), 1, 2)
		q, err := OpenQueue[string](b.manager(), "q", 0)
		b.ok(err)
		_, err = q.Get(b.ctx)
		b.is(err, ErrMismatch)
		_, err = q.Reserve(b.ctx)
		b.is(err, ErrMismatch)
	})
}

// Who was rung and has left passes the word on.
func TestAWaiterThatLeavesSwallowsNothing(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p, c := b.queue(0), b.queue(0)
		for range 20 {
			ctx, leave := context.WithCancel(b.ctx)
			q := b.queue(0)
			first := tubeRun(func() error { _, err := q.Get(ctx); return err })
			b.lined(getters, 1)
			second := tubeRun(func() error { _, err := c.Get(b.ctx); return err })
			b.lined(getters, 2)
			var all sync.WaitGroup
			all.Go(leave)
			all.Go(func() { b.ok(p.Put(b.ctx, 1)) })
			all.Wait()
			if tubeWait(b, first) == nil {
				b.puts(p, 1)
			}
			b.ok(tubeWait(b, second))
			b.lined(getters, 0)
		}
	})
}

// A Put wakes one of those who wait, and not all.
func TestAPutWakesOne(t *testing.T) {
	b := tubesOnRedis(t)
	p := b.queue(0)
	count := &tubeCounter{}
	b.hook = count
	const herd = 20
	got := make(chan error, herd)
	for range herd {
		q := b.queue(0)
		go func() { _, err := q.Get(b.ctx); got <- err }()
	}
	b.lined(getters, herd)
	for range herd / 2 {
		b.puts(p, 1)
		b.ok(tubeWait(b, got))
	}
	// Two looks before anybody waited, one for the item; some waiters may have looked once more
	// after a few seconds. A herd would look herd*herd/4 times.
	if n := count.count(); n > 5*herd {
		b.Errorf("%d scripts for %d waiters and %d items", n, herd, herd/2)
	}
	b.ok(p.CloseSend(b.ctx))
	for range herd - herd/2 {
		b.is(tubeWait(b, got), queue.ErrClosed)
	}
}

func TestCallsTravelTogether(t *testing.T) {
	b := tubesOnRedis(t)
	count := &tubeCounter{}
	b.hook = count
	q := b.queue(0)
	const n = 2000
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := q.Put(b.ctx, i); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	if s := count.count(); s > n/4 {
		b.Errorf("%d scripts for %d Puts at the same time", s, n)
	}
	for range n {
		all.Go(func() {
			if _, err := q.Get(b.ctx); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	if s := count.count(); s > n/2 {
		b.Errorf("%d scripts for %d Puts and Gets", s, n)
	}
}

func TestManyProducersAndConsumers(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		const producers, consumers, each = 4, 4, 200
		type item struct{ From, N int }
		open := func() *Queue[item] {
			q, err := OpenQueue[item](b.manager(), "many", 10)
			b.ok(err)
			return q
		}
		var sending, getting sync.WaitGroup
		for p := range producers {
			q := open()
			sending.Go(func() {
				for i := range each {
					if err := q.Put(b.ctx, item{p, i}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		var mu sync.Mutex
		seen := map[item]int{}
		for range consumers {
			q := open()
			getting.Go(func() {
				last := map[int]int{}
				for v, err := range q.All(b.ctx) {
					if err != nil {
						b.Error(err)
						return
					}
					if l, ok := last[v.From]; ok && v.N <= l {
						b.Errorf("%d after %d of producer %d", v.N, l, v.From)
					}
					last[v.From] = v.N
					mu.Lock()
					seen[v]++
					mu.Unlock()
				}
			})
		}
		sending.Wait()
		b.ok(open().CloseSend(b.ctx))
		getting.Wait()
		for p := range producers {
			for i := range each {
				if n := seen[item{p, i}]; n != 1 {
					b.Fatalf("item %d of producer %d came %d times", i, p, n)
				}
			}
		}
	})
}

func TestEveryKeyOfAQueueExpires(t *testing.T) {
	b := tubesOnRedis(t)
	q := b.queue(2, TTL(time.Hour))
	b.puts(q, 1, 2)
	put := tubeRun(func() error { return q.Put(b.ctx, 3) })
	b.lined(putters, 1)
	_, err := q.Reserve(b.ctx)
	b.ok(err)
	b.ok(tubeWait(b, put))
	b.gets(q, 2, 3)
	got := tubeRun(func() error { _, err := q.Get(b.ctx); return err })
	b.lined(getters, 1)
	joined := tubeRun(func() error { return q.Join(b.soon()) })
	b.lined(joiners, 1)
	p, err := OpenPipe[int](b.manager(), "p", TTL(time.Hour))
	b.ok(err)
	e, err := p.A(b.ctx)
	b.ok(err)
	b.ok(e.Send(b.ctx, 1))
	keys := b.rdb.Keys(b.ctx, "*").Val()
	if len(keys) < 9 {
		b.Errorf("only %v", keys)
	}
	for _, k := range keys {
		if ttl := b.rdb.PTTL(b.ctx, k).Val(); ttl <= 0 || ttl > time.Hour {
			b.Errorf("%s expires in %v", k, ttl)
		}
	}
	b.ok(q.CloseSend(b.ctx))
	b.is(tubeWait(b, joined), context.DeadlineExceeded)
	b.ok(q.Delete(b.ctx))
	b.puts(q, 5)
	b.ok(tubeWait(b, got))
}

func TestCloseOfTheManagerEndsWaits(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		m := b.manager()
		q, err := OpenQueue[int](m, "q", 1)
		b.ok(err)
		got := tubeRun(func() error { _, err := q.Get(b.ctx); return err })
		b.lined(getters, 1)
		b.ok(m.Close(b.ctx))
		b.is(tubeWait(b, got), queue.ErrClosed)
		b.is(q.Put(b.ctx, 1), queue.ErrClosed)
		b.lined(getters, 0)
	})
}

func TestAFullRedisCanBeDrained(t *testing.T) {
	b := tubesOnRedis(t, "--maxmemory", "3mb")
	q, err := OpenQueue[string](b.manager(), "q", 0)
	b.ok(err)
	text := fmt.Sprintf("%010000d", 0)
	n := 0
	for ; ; n++ {
		if err = q.Put(b.ctx, text); err != nil {
			break
		}
	}
	b.is(err, queue.ErrStoreFull)
	r, err := q.Reserve(b.ctx)
	b.ok(err)
	b.ok(r.Ack(b.ctx))
	_, err = q.Get(b.ctx)
	b.ok(err)
	b.ok(q.TaskDone(b.ctx))
	b.ok(q.CloseSend(b.ctx))
	for range q.All(b.ctx) {
		n--
	}
	if n != 2 {
		b.Errorf("%d items are gone", n-2)
	}
	if err := q.Put(b.ctx, text); !errors.Is(err, queue.ErrClosed) {
		b.Error(err)
	}
}
