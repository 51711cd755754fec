package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cenote-go/cenote/queue"
)

// tell is the caller's side: it tells the errors apart as if the handler had been
// called here.
func tell(left int, err error) string {
	var failed *queue.TaskError
	switch limit, over := errors.AsType[LimitError](err); {
	case err == nil:
		return fmt.Sprintf("%d left", left)
	case errors.Is(err, ErrNoAccount):
		return "no account: " + err.Error()
	case over:
		return fmt.Sprintf("over the limit by %d", limit.Asked-limit.Limit)
	case errors.Is(err, queue.ErrPanic) && errors.As(err, &failed):
		return fmt.Sprintf("a bug, seen at attempt %d: %v", failed.Attempt, err)
	case queue.IsTaskError(err):
		return "failed: " + err.Error()
	default:
		return "not known: " + err.Error() // the wait ended, or Redis is gone; the task may go on
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
