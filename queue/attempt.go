package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// An attempt that ran in a child process ends there, and what becomes of its task is
// decided in the parent. The error goes from one to the other as what a TaskError
// holds and the marks that [Decide] and others look at.

// attemptError is the error of an attempt in another process.
type attemptError struct {
	form *TaskError // as it goes on, over whatever comes next
	is   []error
}

func (e *attemptError) Error() string { return e.form.Message }

func (e *attemptError) Unwrap() []error { return e.is }

// marks are the errors that an attempt's error keeps being. Both sides are the same
// program: a mark is its place here.
var marks = [...]error{
	errNoRetry, ErrShutdown, ErrLeaseLost, ErrUnknownType, ErrTerminated, ErrClosed, ErrWouldDeadlock, ErrOption,
	ErrNotKillable, ErrPoolBroken, ErrPoolRunning, ErrName, ErrTaskID, ErrStoreFull, ErrUnavailable, ErrResultExpired,
	ErrTaskMismatch, ErrNotReady, ErrNoReply, context.Canceled, context.DeadlineExceeded,
	ErrPanic, ErrExited, ErrTimeout, ErrEncode, ErrDecode, ErrWorkerLost, ErrOutOfMemory, ErrCancelled, ErrExpired,
	ErrMalformed, ErrVersion, ErrTooLarge, ErrUnauthenticated,
}

// AppendAttempt appends to b the form in which the error of an attempt of a task of
// the given type goes from a child process to its parent. [Mux.ParseAttempt] reads it.
func (m *Mux) AppendAttempt(b []byte, taskType string, err error) []byte {
	r := m.routes[taskType]
	if r.codec == nil {
		r.codec = Msgpack
	}
	var set uint64
	for i, mark := range marks {
		if errors.Is(err, mark) {
			set |= 1 << i
		}
	}
	wait := uint64(0)
	if later, ok := errors.AsType[*retryAfter](err); ok {
		wait = uint64(later.after) + 1 //nolint:gosec // not negative
	}
	b = appendArray(b, 4)
	b = appendError(b, newTaskError(r.codec, r.forms, err, 0))
	b = appendUint(b, set)
	b = appendUint(b, wait)
	foreign := uint64(0)
	if IsTaskError(err) {
		foreign = 1
	}
	return appendUint(b, foreign)
}

// ParseAttempt returns the error that [Mux.AppendAttempt] wrote. It has the text of
// the one in the child, is the same errors of this package and of the task's
// definition, and gets the same verdict. What cannot be read is [ErrMalformed].
func (m *Mux) ParseAttempt(data []byte, taskType string) error {
	r := &reader{data: data}
	if n := r.array("an attempt's error"); n != 4 && r.err == nil {
		r.fail("an attempt's error of 4 fields")
	}
	form := r.taskError(&TaskError{}, 0)
	set, wait, foreign := r.uint("the marks"), r.uint("the wait"), r.uint("whose it is")
	if err := r.end(); err != nil {
		return err
	}
	route := m.routes[taskType]
	if route.codec == nil {
		route.codec = Msgpack
	}
	e := &attemptError{form: form}
	for i, mark := range marks {
		if set&(1<<i) != 0 {
			e.is = append(e.is, mark)
		}
	}
	known := form.resolve(route.codec, route.forms)
	if known.err != nil {
		e.is = append(e.is, known.err)
	}
	if foreign > 0 {
		e.is = append(e.is, known)
	}
	e.is = slices.Clip(e.is)
	if wait > 0 {
		return &retryAfter{e, time.Duration(wait - 1)} //nolint:gosec // the reader allows no more
	}
	return e
}
