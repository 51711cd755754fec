package queue

import (
	"context"
	"fmt"
	"runtime/debug"
)

// typed is a task's handler: the edge at which bytes become the argument's type, and
// the value bytes again.
type typed[In, Out any] struct {
	f     func(ctx context.Context, in In) (Out, error)
	codec Codec
}

// Handle calls the function.
func (h *typed[In, Out]) Handle(ctx context.Context, m *Message) ([]byte, error) {
	if d := m.Direct; d != nil {
		var err error
		d.Out, err = h.direct(ctx, m, d.In)
		return nil, err
	}
	if m.Codec != h.codec.Name() {
		return nil, fmt.Errorf("%w: the argument of %q is encoded as %q, the worker's definition says %q; use one definition on both sides",
			ErrDecode, m.Type, codecName(m.Codec), codecName(h.codec.Name()))
	}
	in, err := decodeOf[In](h.codec, "argument", m.Payload)
	if err != nil {
		return nil, err
	}
	out, err := h.f(ctx, in)
	if err != nil {
		return nil, err
	}
	value, err := encodeOf(m.room, h.codec, "value", &out)
	return value[:len(value):len(value)], err // what is behind it in the room is not the caller's
}

// row runs items of a chunk, see [rowHandler].
func (h *typed[In, Out]) row(r *itemRunner, in *reader) (err error) {
	if r.msg.Codec != h.codec.Name() {
		return r.next(in) // which says so
	}
	_, plain := h.codec.(msgpackCodec)               // a number goes straight in and out
	data, values, arg := in.data, r.out, []byte(nil) // here, where the garbage collector does not watch each change
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		r.out = values
		if in.err == nil {
			in.data = data
		}
		if err != nil {
			r.item.Payload = arg
		}
	}()
	for r.busy() {
		if n := shortBin(data); n > 0 {
			arg, data = data[2:n:n], data[n:]
		} else {
			in.data = data
			if arg = in.bin("an argument"); in.err != nil {
				return nil
			}
			data = in.data
		}
		var v In
		if n, ok := any(&v).(*int); !ok || !plain || !readInt(arg, n) {
			if v, err = decodeOf[In](h.codec, "argument", arg); err != nil {
				return AttemptError(r.ctx, err)
			}
		}
		out, err := h.f(r.ctx, v)
		if err != nil {
			return AttemptError(r.ctx, err)
		}
		if n, ok := any(&out).(*int); ok && plain {
			values = appendInts(values, *n)
		} else {
			with, err := appendItem(values, h.codec, "value", &out)
			if err != nil {
				return AttemptError(r.ctx, err)
			}
			values = with
		}
		r.at++
	}
	return nil
}

// direct is Handle of an argument that never left the process.
func (h *typed[In, Out]) direct(ctx context.Context, m *Message, in any) (any, error) {
	arg, ok := in.(In)
	if !ok && in != nil { // nil is the zero of an interface type
		return nil, fmt.Errorf("%w: %q was submitted with a %T, its handler takes a %T", ErrTaskMismatch, m.Type, in, arg)
	}
	return h.f(ctx, arg)
}

// nth returns the i-th of the arguments of a chunk that never left the process.
func nth[In any](slice any, i int) (in any, n int, err error) {
	s, ok := slice.([]In)
	if !ok || i >= len(s) {
		return nil, 0, fmt.Errorf("%w: a chunk of %T, the handler takes %T", ErrTaskMismatch, slice, s)
	}
	return s[i], len(s), nil
}
