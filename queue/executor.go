package queue

import (
	"context"
	"fmt"
)

// Executor runs messages: a producer.Client over Redis, a pool on goroutines, a
// test double. Its methods may be called concurrently.
//
// Users call the typed verbs of [Task]; this is the side for those who write
// executors.
type Executor interface {
	// Submit accepts m and returns the promise of its outcome. It sets m.ID
	// unless m.Key gives one. A non-nil error means that m was not accepted,
	// except that a timeout may hide an acceptance.
	Submit(ctx context.Context, m *Message) (*Promise, error)

	// SubmitAll accepts many messages at once, with an outcome each: promises[i]
	// is nil exactly if ms[i] was not accepted, and then errs[i] says why. errs is
	// nil if all were accepted.
	SubmitAll(ctx context.Context, ms []*Message) (promises []*Promise, errs []error)

	// Open returns the promise of the task m.ID on m.Queue, which was submitted
	// before, maybe by another process. For a stream m.Group says whose outcome is
	// meant. Nothing else of m is looked at.
	Open(ctx context.Context, m *Message) (*Promise, error)
}

// DirectExecutor is an executor of the same process that takes arguments as they
// are: messages come with Direct set and no Payload.
type DirectExecutor interface {
	Executor
	// Direct reports whether it does.
	Direct() bool
}

// LeanExecutor is a DirectExecutor that can do without a message of its own for each
// of many tasks.
type LeanExecutor interface {
	DirectExecutor
	// SubmitLean is Submit of the argument in, where all else is as m says, which is
	// that of other tasks as well: it is not to be changed. It has neither an ID, nor
	// a Key, nor Direct. A handler gets it by [Mux.HandleLean].
	SubmitLean(ctx context.Context, m *Message, in any) (*Promise, error)
}

// Sizer is an executor that knows how many tasks it runs at once; 0 means that it
// does not.
type Sizer interface{ Workers() int }

// BulkError says which items of a bulk submission were not accepted, and why.
type BulkError struct {
	Total int
	Errs  map[int]error // by position
}

func (e *BulkError) Error() string {
	for i := range e.Total {
		if err := e.Errs[i]; err != nil {
			return fmt.Sprintf("%d of %d tasks were not accepted; number %d: %v", len(e.Errs), e.Total, i, err)
		}
	}
	return fmt.Sprintf("%d of %d tasks were not accepted", len(e.Errs), e.Total)
}

// Unwrap returns the items' errors in the order of their positions.
func (e *BulkError) Unwrap() []error {
	errs := make([]error, 0, len(e.Errs))
	for i := range e.Total {
		if err := e.Errs[i]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
