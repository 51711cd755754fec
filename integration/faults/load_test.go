package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// load is a producer and what it was told. Its methods may be called concurrently.
type load struct {
	t      testing.TB
	to     queue.Executor        // what runs the tasks
	client *producer.Client      // that, if it is one
	rdb    redis.UniversalClient // the client's
	rec    *recorder
	chains bool // every seventh task is followed by another one

	last     atomic.Int64 // the last N
	accepted atomic.Int64
	heard    atomic.Int64 // futures that have said something
	waiting  sync.WaitGroup

	over   sync.Once
	gone   atomic.Bool // it is closed
	closed error
}

func newLoad(t testing.TB, c *producer.Client, rec *recorder) *load {
	return &load{t: t, to: c, client: c, rec: rec}
}

// submit submits one job once and writes down what comes of it. The future is
// followed unless the job is submitted without a reply.
func (l *load) submit(j job, opts ...queue.Option) (*queue.Future[answer], error) {
	j.N = int(l.last.Add(1))
	return l.resubmit(j, opts...)
}

// resubmit submits a job that has its N.
func (l *load) resubmit(j job, opts ...queue.Option) (*queue.Future[answer], error) {
	l.rec.add(record{Op: opSubmit, N: j.N, Poison: j.Poison != ""})
	then := l.chains && j.N%7 == 0
	if then {
		opts = append(opts, queue.Then(after))
	}
	fut, err := work.Submit(context.Background(), l.to, j, opts...)
	switch {
	case errors.Is(err, queue.ErrStoreFull):
		l.rec.add(record{Op: opRefuse, N: j.N, Error: err.Error()})
		return nil, err
	case err != nil:
		l.rec.add(record{Op: opUnsure, N: j.N, Error: err.Error()})
		return nil, err
	}
	noReply := errors.Is(fut.Err(), queue.ErrNoReply)
	l.rec.add(record{Op: opAccept, N: j.N, ID: fut.ID().String(), NoReply: noReply, Then: then})
	l.accepted.Add(1)
	if !noReply {
		l.follow(j.N, fut)
	}
	return fut, nil
}

// close ends the producer and its connections.
func (l *load) close() error {
	l.gone.Store(true)
	l.over.Do(func() { l.closed = errors.Join(l.client.Close(), l.rdb.Close()) })
	return l.closed
}

// follow writes down what the future says.
func (l *load) follow(n int, fut *queue.Future[answer]) {
	l.waiting.Add(1)
	fut.OnDone(func(a answer, err error) {
		defer l.waiting.Done()
		defer l.heard.Add(1)
		r := record{Op: opOutcome, N: n, ID: fut.ID().String(), Run: a.Run}
		switch {
		case err != nil:
			r.Error = err.Error()
		case a.N != n:
			r.Error = fmt.Sprintf("the value is that of submission %d", a.N)
		}
		l.rec.add(r)
	})
}

// insist submits one job under a key of its own, again and again until it is
// accepted.
func (l *load) insist(j job, opts ...queue.Option) error {
	j.N = int(l.last.Add(1))
	var err error
	if !within(func() bool {
		_, err = l.resubmit(j, append(slices.Clip(opts), queue.ID(fmt.Sprintf("job-%d", j.N)))...)
		return err == nil
	}) {
		return fmt.Errorf("submission %d was not accepted within %v: %w", j.N, patience, err)
	}
	return nil
}

// spread calls submit, from several goroutines, as long as more says so, and so
// that at most window of the submissions have futures that have not said anything.
// It returns when all are submitted. A submit that returns an error fails the test.
func (l *load) spread(window int, more func(i int) bool, submit func() error) {
	l.t.Helper()
	const hands = 16
	var wg sync.WaitGroup
	var failed atomic.Int64
	next := make(chan int)
	for range hands {
		wg.Go(func() {
			for range next {
				if err := submit(); err != nil && !l.gone.Load() {
					l.t.Error(err)
					failed.Add(1)
				}
			}
		})
	}
	base := l.heard.Load()
	for i := 0; !l.gone.Load() && more(i); i++ {
		if !within(func() bool { return l.gone.Load() || int64(i)-failed.Load()-(l.heard.Load()-base) < int64(window) }) {
			l.t.Errorf("waited %v in vain for the futures of earlier submissions", patience)
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
}

// strike submits tasks, whose jobs next makes, and calls at so many times: for each
// strike a share of the tasks is submitted, and it comes when some of them are done and
// others are not.
func (l *load) strike(rnd *rand.Rand, tasks, strikes int, next func() job, at func()) {
	l.t.Helper()
	share := int64(tasks / strikes)
	var released atomic.Int64
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		l.spread(1500, func(i int) bool {
			return i < tasks && within(func() bool { return int64(i) < released.Load() })
		}, func() error {
			_, err := l.submit(next())
			return err
		})
	}()
	for k := range int64(strikes) {
		released.Add(share)
		some := k*share + rnd.Int64N(max(share/2, 1))
		eventually(l.t, "a part of the work", func() bool { return l.heard.Load() >= some })
		at()
	}
	released.Store(int64(tasks))
	eventually(l.t, "all submissions", func() bool { return isClosed(submitted) })
}

// upTo is for spread: n submissions.
func upTo(n int) func(int) bool { return func(i int) bool { return i < n } }

// wait waits until every accepted future has said something, and returns false if
// it does not come to that.
func (l *load) wait() bool {
	done := make(chan struct{})
	go func() {
		l.waiting.Wait()
		close(done)
	}()
	return within(func() bool { return isClosed(done) })
}
