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
	Type    string  // the task's name, of an outcome that is kept; "" is not known
	Sealed  *Sealed // how Value, and if it is encrypted Err, is protected; nil if it is not

	// Of a task that never left the process: its value, or the very error its
	// handler returned. They are not part of the wire form.
	Direct any
	Cause  error
}

// AppendWire appends the outcome's wire form to b: a version byte, then the
// array [id, state, attempt, value, codec, error, type, seal], where error is nil or the
// array [kind, code, text, stack, data].
func (o *Outcome) AppendWire(b []byte) []byte {
	n := o.used()
	b = o.appendHead(b, n)
	b = appendBin(b, o.Value)
	b = o.appendRest(b, n)
	if o.Sealed != nil {
		b = appendBin(b, o.Sealed.Seal)
	}
	return b
}

// AppendClear appends what a seal of the outcome covers besides its value: its sealed
// wire form without the value and the seal. It is for those who make seals.
func (o *Outcome) AppendClear(b []byte) []byte {
	sealed := *o
	sealed.Sealed = &Sealed{}
	return sealed.appendRest(sealed.appendHead(b, sealed.used()), sealed.used())
}

// used is how many leading fields have to be written.
func (o *Outcome) used() int {
	n := 4
	switch {
	case o.Sealed != nil:
		n = 8
	case o.Type != "":
		n = 7
	case o.Err != nil:
		n = 6
	case o.Codec != "":
		n = 5
	}
	return n
}

// appendHead appends what comes before the value.
func (o *Outcome) appendHead(b []byte, n int) []byte {
	version := byte(wireVersion)
	if o.Sealed != nil {
		version = sealedVersion
	}
	b = appendArray(append(b, version), n)
	b = appendBin(b, o.ID[:])
	b = appendUint(b, uint64(o.State))
	return appendUint(b, uint64(o.Attempt))
}

// appendRest appends the fields behind the value, but for the seal.
func (o *Outcome) appendRest(b []byte, n int) []byte {
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

// AppendWire appends the error's wire form to b, which is a part of an outcome's.
func (e *TaskError) AppendWire(b []byte) []byte { return appendError(b, e) }

// ParseTaskError reads what [TaskError.AppendWire] wrote. An error is [ErrMalformed].
func ParseTaskError(data []byte, attempt int) (*TaskError, error) {
	r := &reader{data: data}
	e := r.taskError(&TaskError{}, attempt)
	return e, r.end()
}

func appendError(b []byte, e *TaskError) []byte {
	b = appendArray(b, 5)
	b = appendStr(b, e.Kind)
	b = appendStr(b, e.Code)
	b = appendStr(b, e.Message)
	b = appendStr(b, e.Stack)
	return appendBin(b, e.Data)
}

// taskError reads an error into e.
func (r *reader) taskError(e *TaskError, attempt int) *TaskError {
	k := r.array("the error")
	if k < 5 && r.err == nil {
		r.err = fmt.Errorf("%w: %d fields, an error has at least 5", ErrMalformed, k)
	}
	*e = TaskError{
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
	o, err := r.outcome(data, &mould{})
	if err != nil {
		return nil, err
	}
	return o, r.end()
}

// ParseOutcomes reads any number of outcomes that stand one behind the other,
// as a reply carries them. each says whether it keeps the outcome; if not, the next
// one is written over it. So outcomes that nobody waits for cost no memory, however many
// there are.
func ParseOutcomes(data []byte, each func(*Outcome) (kept bool)) error {
	var m mould
	for len(data) > 0 {
		r, err := open(data)
		if err != nil {
			return err
		}
		o, err := r.outcome(data, &m)
		if err != nil {
			return err
		}
		if each(o) {
			m = mould{}
		}
		data = r.data
	}
	return nil
}

// mould is what an outcome is made in, which is made if it is not there.
type mould struct {
	outcome *Outcome
	err     *TaskError
	sealed  *Sealed
}

// fresh makes *p if it is not there, and empties it.
func fresh[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	} else {
		var zero T
		**p = zero
	}
	return *p
}

// outcome reads an outcome; data is what r is about to read, with the version byte
// before it.
func (r *reader) outcome(data []byte, m *mould) (*Outcome, error) {
	n := r.array("an array of fields")
	if n < 4 && r.err == nil {
		return nil, fmt.Errorf("%w: %d fields, an outcome has at least 4", ErrMalformed, n)
	}
	o := fresh(&m.outcome)
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
	cut := cutter{}
	cut.from(r)
	o.Value = r.bin("the value")
	cut.to(r)
	if n > 4 {
		o.Codec = r.str("the codec")
	}
	if n > 5 && !r.nilled() {
		o.Err = r.taskError(fresh(&m.err), o.Attempt)
	}
	if n > 6 {
		o.Type = r.str("the task's type")
	}
	if data[0] != sealedVersion {
		r.skip(n - 7)
		return o, r.err
	}
	o.Sealed = fresh(&m.sealed)
	cut.from(r)
	if n > 7 {
		o.Sealed.Seal = r.bin("the seal")
	}
	cut.to(r)
	r.skip(n - 8)
	if r.err == nil && len(o.Sealed.Seal) == 0 {
		r.err = fmt.Errorf("%w: version %d without a seal", ErrMalformed, sealedVersion)
	}
	if r.err != nil {
		return nil, r.err
	}
	end := len(r.data) // what follows is not of this outcome
	for i := range cut.left {
		cut.left[i] -= end
	}
	o.Sealed.Clear = cut.rest(data[:len(data)-end])
	return o, nil
}

// Failure makes the outcome of a task that ended with err in the given state.
func Failure(id TaskID, s State, attempt int, err error) *Outcome {
	e, ok := errors.AsType[*TaskError](err)
	if !ok {
		e = newTaskError(Msgpack, nil, err, attempt)
	}
	return &Outcome{ID: id, State: s, Attempt: attempt, Err: e}
}
