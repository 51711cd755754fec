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
)

var errClosed = fmt.Errorf("%w: the manager", queue.ErrClosed)
