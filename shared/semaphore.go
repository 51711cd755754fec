package shared

import (
	"context"
	"fmt"
	"strconv"

	"github.com/cenote-go/cenote/queue"
)

// Semaphore has a number of permits for all programs that open its name. It is fair and
// leased, as [Lock] is; a permit that is lost goes to the next who waits. Nobody can
// release more than was acquired. Its methods may be called concurrently.
type Semaphore struct{ permits }

// MaxPermits is how many permits a semaphore may have.
const MaxPermits = 1 << 20

// OpenSemaphore opens the semaphore of that name, of n permits.
//
// While it is in use, which is while anybody holds a permit or waits for one, its n stays
// what it is: to acquire one from what was opened with another n fails with [ErrMismatch].
func OpenSemaphore(m *Manager, name string, n int, opts ...Option) (*Semaphore, error) {
	if n < 1 || n > MaxPermits {
		return nil, fmt.Errorf("%w: a semaphore of %d permits; give 1 to %d", queue.ErrOption, n, MaxPermits)
	}
	p, err := openPermits(m, "semaphore", name, strconv.Itoa(n), opts)
	if err != nil {
		return nil, err
	}
	return &Semaphore{p}, nil
}

// Acquire waits for a permit and holds it, until it is released or lost.
//
// A non-nil error means that none is held: that of ctx, which bounds the wait and not the
// holding, [ErrMismatch], or [queue.ErrClosed] if the manager is closed. A Redis that is away
// makes it wait.
func (s *Semaphore) Acquire(ctx context.Context) (*Held, error) { return s.acquire(ctx, true) }

// TryAcquire holds a permit if there is one that nobody waits for, and reports whether it
// does. A Redis that is away is an error.
func (s *Semaphore) TryAcquire(ctx context.Context) (h *Held, ok bool, err error) {
	h, err = s.acquire(ctx, false)
	return h, h != nil, err
}
