package shared

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
)

// Manager opens shared objects. One is enough for a program: all objects wait for
// changes over its one connection. Its methods, and those of the objects, may be called
// concurrently.
type Manager struct {
	store    *store.Store
	name     string // of this manager among all: who holds something is known by it
	defaults settings
	ears     *ears
	keeper   *keeper
	mail     *mail
	number   atomic.Int64 // of the last batch that was sent
	verbs    lanes[*verb]
	swaps    lanes[*swap]
	desk     desk

	life context.Context // ends with Close
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	closers []func(context.Context) error // what Close gives back, the last first
}

// New makes a manager over rdb, which stays the caller's to close, after the manager. The
// options hold for all that it opens and that is not opened with others.
func New(rdb redis.UniversalClient, opts ...Option) (*Manager, error) {
	s, err := store.New(rdb)
	if err != nil {
		return nil, err
	}
	defaults, err := settings{ttl: defaultTTL, lease: DefaultLease}.with(opts)
	if err != nil {
		return nil, err
	}
	m := &Manager{store: s, name: managerName(), defaults: defaults}
	m.life, m.end = context.WithCancel(context.Background())
	m.ears = newEars(m)
	m.keeper = newKeeper(m)
	m.mail = newMail(m)
	m.closers = append(m.closers, m.keeper.close)
	m.verbs = lanes[*verb]{m: m, serve: m.serveVerbs}
	m.swaps = lanes[*swap]{m: m, serve: m.serveSwaps}
	return m, nil
}

// start has f run beside the rest, and Close wait for it.
func (m *Manager) start(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	m.work.Go(f)
	return nil
}

// managerName is a name that no other manager has, and that tells a person whose it is.
func managerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Close gives back what is held through the manager, and ends every wait with
// [queue.ErrClosed]. The objects themselves stay in Redis. ctx bounds it.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	closers := m.closers
	m.closers = nil
	m.mu.Unlock()
	var first error
	for i := len(closers) - 1; i >= 0; i-- {
		if err := closers[i](ctx); err != nil && first == nil {
			first = err
		}
	}
	m.end()
	if err := m.ears.close(); err != nil && first == nil {
		first = err
	}
	m.work.Wait()
	return first
}
