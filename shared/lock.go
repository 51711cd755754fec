package shared

import "context"

// Lock excludes: one at a time holds it, among all programs that open its name. It is fair:
// who waits longest is next, passing over those that are not there any more. It is
// leased: a holder that is not heard of loses it. And it is not reentrant: a holder that
// acquires it once more waits for itself.
//
// A lock in Redis cannot promise that its holder is alone, only that it is told, see
// docs/shared.md: fence what it writes by [Held.Token].
//
// Its methods may be called concurrently, also by goroutines of one program.
type Lock struct{ permits }

// OpenLock opens the lock of that name.
func OpenLock(m *Manager, name string, opts ...Option) (*Lock, error) {
	p, err := openPermits(m, "lock", name, "", opts)
	if err != nil {
		return nil, err
	}
	return &Lock{p}, nil
}

// Acquire waits for the lock and holds it, until it is released or lost.
//
// A non-nil error means that it is not held: that of ctx, which bounds the wait and not the
// holding, or [queue.ErrClosed] if the manager is closed. A Redis that is away makes it wait.
func (l *Lock) Acquire(ctx context.Context) (*Held, error) { return l.acquire(ctx, true) }

// TryAcquire holds the lock if it is free and nobody waits for it, and reports whether it
// does. A Redis that is away is an error.
func (l *Lock) TryAcquire(ctx context.Context) (h *Held, ok bool, err error) {
	h, err = l.acquire(ctx, false)
	return h, h != nil, err
}
