package child

import (
	"context"
	"errors"
	"fmt"

	"github.com/cenote-go/cenote/queue"
)

// causes are what a context may be cancelled with that a child's is told. A cause is
// its place here, which is the same in parent and child.
var causes = [...]error{
	queue.ErrTimeout, queue.ErrCancelled, queue.ErrLeaseLost, queue.ErrShutdown, queue.ErrTerminated, queue.ErrClosed,
	context.DeadlineExceeded, context.Canceled,
}

// causeOf is what a cause is called on the pipe.
func causeOf(err error) (which uint64, text string) {
	for i, c := range causes {
		if errors.Is(err, c) {
			return uint64(i), err.Error() //nolint:gosec // a place
		}
	}
	return uint64(len(causes)), err.Error()
}

// causeBy is the cause that is called so.
func causeBy(which uint64, text string) error {
	if which >= uint64(len(causes)) {
		return errors.New(text)
	}
	if c := causes[which]; c.Error() == text {
		return c
	}
	return fmt.Errorf("%s%w", text, silent{causes[which]})
}

// silent is an error that adds nothing to a text.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (e silent) Unwrap() error { return e.error }
