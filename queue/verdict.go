package queue

import (
	"context"
	"errors"
	"time"
)

// VerdictKind says what becomes of a task after an attempt.
type VerdictKind uint8

// What may become of a task.
const (
	VerdictDone     VerdictKind = iota // finished with a value
	VerdictRetry                       // try again after a delay
	VerdictDead                        // give up, keep for a look and a replay
	VerdictCancel                      // called off
	VerdictExpire                      // too late to start
	VerdictGiveBack                    // unfinished through no fault of its own: next worker, at once
	VerdictPark                        // this worker does not know the type: try elsewhere, later
	VerdictDrop                        // the lease is lost: say nothing
)

// Verdict is what becomes of a task, and when.
type Verdict struct {
	Kind  VerdictKind
	Delay time.Duration // for VerdictRetry
}

// Attempt is what is known about one run of a task.
type Attempt struct {
	Number  int     // this attempt, counted from 1
	Crashes int     // how many earlier deliveries ended with a lost worker
	Retries int     // how many failed attempts may be tried again
	Backoff Backoff // how they are spaced
	Jitter  float64 // in [0, 1): the random part of the backoff
}

// Decide says what becomes of a task whose attempt ended with err. It depends
// on its arguments only.
func Decide(err error, a Attempt) Verdict {
	var later *retryAfter
	// The error of another task, which the handler waited for, is an ordinary
	// failure of this one: that it was cancelled does not cancel this one.
	foreign := IsTaskError(err)
	switch {
	case err == nil:
		return Verdict{Kind: VerdictDone}
	case errors.Is(err, ErrLeaseLost):
		return Verdict{Kind: VerdictDrop}
	case errors.Is(err, ErrShutdown):
		return Verdict{Kind: VerdictGiveBack}
	case errors.Is(err, ErrUnknownType):
		return Verdict{Kind: VerdictPark}
	case errors.Is(err, ErrCancelled) && !foreign:
		return Verdict{Kind: VerdictCancel}
	case errors.Is(err, ErrExpired) && !foreign:
		return Verdict{Kind: VerdictExpire}
	case final(err) || a.Number > a.Retries:
		return Verdict{Kind: VerdictDead}
	case errors.As(err, &later):
		return Verdict{Kind: VerdictRetry, Delay: later.after}
	}
	return Verdict{Kind: VerdictRetry, Delay: a.Backoff.Delay(a.Number, a.Jitter)}
}

// final reports whether trying again cannot help.
func final(err error) bool {
	if errors.Is(err, errNoRetry) {
		return true
	}
	if IsTaskError(err) {
		return false
	}
	for _, e := range [...]error{ErrEncode, ErrDecode, ErrMalformed, ErrVersion, ErrTooLarge, ErrUnauthenticated} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

var errNoRetry = errors.New("no retry")

type noRetry struct{ error }

func (e noRetry) Unwrap() []error { return []error{e.error, errNoRetry} }

// NoRetry makes a handler's error final: the task is dead, whatever retries it
// has left.
func NoRetry(err error) error { return noRetry{err} }

type retryAfter struct {
	error
	after time.Duration
}

func (e *retryAfter) Unwrap() error { return e.error }

// RetryAfter makes a handler's error ask for the next attempt after d instead
// of the task's backoff. It uses up a retry like any other failure.
func RetryAfter(d time.Duration, err error) error { return &retryAfter{err, max(d, 0)} }

// AttemptError returns what an attempt that returned err really ended with: the
// cause its context was cancelled with, if that is why it failed. A [Mux] has done
// that already.
func AttemptError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	cause := context.Cause(ctx)
	if errors.Is(err, cause) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return cause
	}
	// The handler failed on its own while being told to stop. A lost lease or a
	// shutdown decides all the same: the failure may be theirs.
	if errors.Is(cause, ErrLeaseLost) || errors.Is(cause, ErrShutdown) || errors.Is(cause, ErrCancelled) {
		return errors.Join(cause, err)
	}
	return err
}
