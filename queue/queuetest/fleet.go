package queuetest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/producer"
)

// Fleet is all of Cenote in a test: a store in memory that listens nowhere, producers
// and workers, which can be killed. It ends with the test. Its methods may be called
// concurrently.
//
// Made inside a bubble of testing/synctest it lives in virtual time, leases and
// heartbeats included. There a worker costs about 0.3 s of computing for each virtual
// hour: for days, take [Local].
type Fleet struct {
	t     testing.TB
	store *embedded.Store
}

// NewFleet makes a fleet without workers.
func NewFleet(t testing.TB) *Fleet {
	t.Helper()
	store, err := embedded.StartPrivate()
	if err != nil {
		t.Fatalf("queuetest: %v", err)
	}
	t.Cleanup(store.Close)
	return &Fleet{t: t, store: store}
}

// Redis makes a client of the store, for code that makes its own producers or workers.
// It is closed with the test.
func (f *Fleet) Redis() *redis.Client {
	rdb := f.dial(&link{})
	f.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Client makes a producer's client, which is closed with the test.
func (f *Fleet) Client() *producer.Client {
	f.t.Helper()
	c, err := producer.New(f.Redis())
	if err != nil {
		f.t.Fatalf("queuetest: %v", err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// dial makes a client of the store over a link. The caller closes it.
func (f *Fleet) dial(l *link) *redis.Client {
	o := f.store.Options()
	o.Dialer = l.dialer(o.Dialer)
	// go-redis keeps the timers of those who wait for a connection for the next one,
	// which would be in another bubble: nobody is to wait.
	o.PoolSize = 1000
	return redis.NewClient(o)
}
