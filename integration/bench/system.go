package main

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// queueName is the queue (or stream, or list) every system uses.
const queueName = "bench"

// batch is how many tasks a bulk submission carries, and how many a raw reader takes.
const batch = 100

// errNone says that a system has no such thing: its place in the table is "-".
var errNone = errors.New("the system has no such thing")

// system is one contestant.
type system interface {
	Name() string
	// Open connects a fresh client. It sends as little as the system allows
	// until a method of the session is called.
	Open(ctx context.Context, s *server) (session, error)
	// Close ends what lives across sessions.
	Close() error
}

// load describes tasks to submit.
type load struct {
	n          int
	size       int       // bytes of payload
	goroutines int       // callers, each sending one task a call
	at         time.Time // when the tasks fall due; zero means now
}

// session is one system connected for one measure. Methods that a system cannot
// serve return errNone. Only one method runs at a time, except that a worker may
// run while tasks are submitted or awaited.
type session interface {
	// Submit sends l.n tasks without a result, one a call, from l.goroutines callers.
	Submit(ctx context.Context, l load) error
	// SubmitBulk sends l.n tasks without a result, batch by batch, from one caller.
	SubmitBulk(ctx context.Context, l load) error
	// Await submits l.n tasks that return their payload, one a call from
	// l.goroutines callers, and returns when every caller has every result.
	Await(ctx context.Context, l load) error
	// Work starts a worker that runs concurrency tasks at a time.
	Work(ctx context.Context, concurrency int) (worker, error)
	// Left says through rdb how many tasks Redis still holds.
	Left(ctx context.Context, rdb *redis.Client) (int64, error)
	// Latency submits n tasks one after another to an idle worker of its own.
	Latency(ctx context.Context, n int) (latencies, error)
	// Close disconnects. The keys stay; the harness flushes.
	Close() error
}

// feeder is a session with a faster way than Submit for the submit+drain case:
// the raw ones, which are there to show the limit.
type feeder interface {
	Feed(ctx context.Context, l load) error
}

// worker is a running worker.
type worker interface {
	// Handled waits until n tasks have been handled since the worker started
	// and returns when the first of them started.
	Handled(ctx context.Context, n int) (first time.Time, err error)
	Stop(ctx context.Context) error
}

// tally counts handled tasks in this process.
type tally struct {
	n     atomic.Int64
	first atomic.Int64 // nanoseconds since base
	base  time.Time
}

func newTally() *tally { return &tally{base: time.Now()} }

// hit counts n tasks as started and done; the no-op handlers call it.
func (t *tally) hit(n int) {
	if t.n.Add(int64(n)) == int64(n) {
		t.first.Store(int64(time.Since(t.base)))
	}
}

func (t *tally) Handled(ctx context.Context, n int) (time.Time, error) {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for t.n.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return time.Time{}, stuckError{t.n.Load(), int64(n)}
		case <-tick.C:
		}
	}
	return t.base.Add(time.Duration(t.first.Load())), nil
}

// payload returns size bytes that mean nothing and are text, since BullMQ's are JSON.
func payload(size int) []byte {
	return bytes.Repeat([]byte("cenote:bench/01234567890abcdefgh"), size/32+1)[:size]
}

// share calls send n times, spread over goroutines callers, and returns the first error.
func share(n, goroutines int, send func(caller, i int) error) error {
	var (
		wg   sync.WaitGroup
		once sync.Once
		errs error
		bad  atomic.Bool
	)
	for caller := range goroutines {
		wg.Go(func() {
			for i := caller; i < n && !bad.Load(); i += goroutines {
				if err := send(caller, i); err != nil {
					once.Do(func() { errs = err })
					bad.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	return errs
}
