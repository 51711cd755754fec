package queue

import (
	"fmt"
	"strings"
	"time"
)

// ErrOutOfMemory is how a task ends whose process was killed because it used more
// memory than its limit. It is an [ErrWorkerLost].
var ErrOutOfMemory = fmt.Errorf("%w: it used more memory than its limit", ErrWorkerLost)

// CrashError is the end of the process that a task ran in. It is an [ErrWorkerLost].
// Its text crosses the wire, the rest does not.
type CrashError struct {
	PID     int
	Exit    int           // the exit status; -1 if a signal ended it
	Signal  string        // the signal's name; "" if it exited
	Stderr  string        // the last that it wrote there
	User    time.Duration // the processor time it took
	System  time.Duration
	MaxRSS  int64 // the most memory it had itself, without what it had started, in bytes; 0 if that is not known
	Memory  bool  // it was killed for its memory: the error is an [ErrOutOfMemory] as well
	History []error
}

func (e *CrashError) Error() string {
	var b strings.Builder
	if e.Memory {
		b.WriteString(ErrOutOfMemory.Error())
	} else {
		b.WriteString(ErrWorkerLost.Error())
	}
	fmt.Fprintf(&b, ": process %d ", e.PID)
	if e.Signal != "" {
		fmt.Fprintf(&b, "was ended by a signal: %s", e.Signal)
	} else {
		fmt.Fprintf(&b, "exited with status %d", e.Exit)
	}
	fmt.Fprintf(&b, " (user %v, system %v, %d MiB)", e.User.Round(time.Millisecond), e.System.Round(time.Millisecond), e.MaxRSS>>20)
	for i, old := range e.History { // before what may be cut off
		fmt.Fprintf(&b, "\nearlier crash %d: %s", i+1, clip(old.Error(), 512))
	}
	if e.Stderr != "" {
		fmt.Fprintf(&b, "\n%s", e.Stderr)
	}
	return b.String()
}

// Unwrap makes a CrashError satisfy [errors.Is] for [ErrWorkerLost], and for
// [ErrOutOfMemory] if it was that.
func (e *CrashError) Unwrap() error {
	if e.Memory {
		return ErrOutOfMemory
	}
	return ErrWorkerLost
}
