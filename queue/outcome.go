package queue

import (
	"errors"
	"fmt"
)

// Outcome is how a task ended, as it travels back: a value or an error.
type Outcome struct {
	ID      TaskID
	State   State  // a terminal state
	Attempt int    // the attempt that ended it, counted from 1; 0 if it never ran
	Value   []byte // what the codec made of the handler's value
	Codec   string // the codec's name; "" is msgpack
	Err     *TaskError
	Type    string // the task's name, of an outcome that is kept; "" is not known

	// Of a task that never left the process: its value, or the very error its
	// handler returned. They are not part of the wire form.
	Direct any
	Cause  error
}

// AppendWire appends the outcome's wire form to b: a version byte, then the
// array [id, state, attempt, value, codec, error, type], where error is nil or the
// array [kind, code, text, stack, data].
func (o *Outcome) AppendWire(b []byte) []byte {
	n := 4
	switch {
	case o.Type != "":
		n = 7
	case o.Err != nil:
		n = 6
	case o.Codec != "":
		n = 5
	}
	b = appendArray(append(b, wireVersion), n)
	b = appendBin(b, o.ID[:])
	b = appendUint(b, uint64(o.State))
	b = appendUint(b, uint64(o.Attempt))
	b = appendBin(b, o.Value)
	if n > 4 {
		b = appendStr(b, o.Codec)
	}
	if n > 5 && o.Err == nil {
		b = append(b, 0xc0) // nil
	} else if n > 5 {
		b = appendError(b, o.Err)
	}
	if n > 6 {
		b = appendStr(b, o.Type)
	}
	return b
}

func appendError(b []byte, e *TaskError) []byte {
	b = appendArray(b, 5)
	b = appendStr(b, e.Kind)
	b = appendStr(b, e.Code)
	b = appendStr(b, e.Message)
	b = appendStr(b, e.Stack)
	return appendBin(b, e.Data)
}

func (r *reader) taskError(attempt int) *TaskError {
	k := r.array("the error")
	if k < 5 && r.err == nil {
		r.err = fmt.Errorf("%w: %d fields, an error has at least 5", ErrMalformed, k)
	}
	e := &TaskError{
		Kind:    r.str("the error's kind"),
		Code:    r.str("the error's code"),
		Message: r.str("the error's text"),
		Stack:   r.str("the error's stack"),
		Data:    r.bin("the error's data"),
		Attempt: attempt,
	}
	r.skip(k - 5)
	return e
}

// ParseOutcome reads the wire form of an outcome. An error is [ErrMalformed] or
// [ErrVersion]. The outcome's Value is a part of data.
func ParseOutcome(data []byte) (*Outcome, error) {
	r, err := open(data)
	if err != nil {
		return nil, err
	}
	o, err := r.outcome()
	if err != nil {
		return nil, err
	}
	return o, r.end()
}

// ParseOutcomes reads any number of outcomes that stand one behind the other,
// as a reply carries them.
func ParseOutcomes(data []byte, each func(*Outcome)) error {
	for len(data) > 0 {
		r, err := open(data)
		if err != nil {
			return err
		}
		o, err := r.outcome()
		if err != nil {
			return err
		}
		each(o)
		data = r.data
	}
	return nil
}

func (r *reader) outcome() (*Outcome, error) {
	n := r.array("an array of fields")
	if n < 4 && r.err == nil {
		return nil, fmt.Errorf("%w: %d fields, an outcome has at least 4", ErrMalformed, n)
	}
	o := &Outcome{}
	if id := r.bin("the task id"); len(id) == len(o.ID) {
		o.ID = TaskID(id)
	} else if r.err == nil {
		return nil, fmt.Errorf("%w: a task id of %d bytes", ErrMalformed, len(id))
	}
	o.State = State(min(r.uint("the state"), 255))
	if !o.State.Terminal() && r.err == nil {
		return nil, fmt.Errorf("%w: state %d is not terminal", ErrMalformed, o.State)
	}
	o.Attempt = int(min(r.uint("the attempt"), 1<<30))
	o.Value = r.bin("the value")
	if n > 4 {
		o.Codec = r.str("the codec")
	}
	if n > 5 && !r.nilled() {
		o.Err = r.taskError(o.Attempt)
	}
	if n > 6 {
		o.Type = r.str("the task's type")
	}
	r.skip(n - 7)
	return o, r.err
}

// Failure makes the outcome of a task that ended with err in the given state.
func Failure(id TaskID, s State, attempt int, err error) *Outcome {
	e, ok := errors.AsType[*TaskError](err)
	if !ok {
		e = newTaskError(Msgpack, nil, err, attempt)
	}
	return &Outcome{ID: id, State: s, Attempt: attempt, Err: e}
}
