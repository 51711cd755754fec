package shared

import (
	"errors"
	"fmt"

	"github.com/cenote-go/cenote/queue"
)

// Errors of shared objects, besides those of package queue.
var (
	// ErrMismatch says that the object, or an element of it, is of another kind, type or
	// length than it was opened with.
	ErrMismatch = errors.New("the shared object is of another type")
	// ErrIndex says that there is no element at an index.
	ErrIndex = errors.New("index out of range")
	// ErrOverflow says that a number would not fit into its type. Nothing was changed.
	ErrOverflow = errors.New("the number would overflow")
	// ErrEmpty says that there is nothing to take.
	ErrEmpty = errors.New("the shared object is empty")
	// ErrFull says that there is no room to put something.
	ErrFull = errors.New("the shared object is full")

	// ErrLost says that a lease has lapsed before it was renewed, or that Redis has
	// forgotten it: somebody else may hold by now what it was for.
	ErrLost = errors.New("the lease is lost, and somebody else may hold it by now; stop what it protected, and fence what that writes by the token")
	// ErrNotOwner says that something is to be released that is not held: it was released
	// before.
	ErrNotOwner = errors.New("it is not held any more; release once what was acquired once")
	// ErrStale says that a write is fenced off: its token is older than one that was seen
	// before. Nothing was written.
	ErrStale = errors.New("the token is older than one that was seen; the lock was lost to somebody else: acquire it again and begin anew")
	// ErrBroken says that a barrier is broken: not all will come. It stays so until Reset.
	ErrBroken = errors.New("the barrier is broken; see why a party does not come, then Reset it")
)

var errClosed = fmt.Errorf("%w: the manager", queue.ErrClosed)
