package queue

import (
	"fmt"
	"slices"
	"time"
)

// part is what travels in one message of a Map, arguments in a row, and what became
// of them. It does not change once it is done.
type part[In, Out any] struct {
	first   int // the position of the first argument
	ins     []In
	msg     *Message
	promise *Promise // once it was sent

	done bool
	outs []Out   // nil if there are no values
	errs []error // nil if none of them has failed
}

// item is the i-th item of a part that is done.
func (p *part[In, Out]) item(i int) Item[In, Out] {
	it := Item[In, Out]{Index: p.first + i, In: p.ins[i]}
	if p.outs != nil {
		it.Out = p.outs[i]
	}
	if p.errs != nil {
		it.Err = p.errs[i]
	}
	return it
}

// pack makes the parts of a chunk that begins at a position: one, unless it would be
// too large. An argument that cannot be encoded is a part that is done.
func (m *mapping[In, Out]) pack(first int, ins []In) (parts []*part[In, Out]) {
	refuse := func(at, n int, err error) {
		parts = append(parts, &part[In, Out]{
			first: first + at, ins: ins[at : at+n], done: true, errs: slices.Repeat([]error{err}, n),
		})
	}
	if m.sizes.never {
		msg, err := m.t.message(m.ctx, m.x, ins[0], nil)
		if err != nil {
			refuse(0, 1, err)
			return parts
		}
		return []*part[In, Out]{{first: first, ins: ins, msg: msg}}
	}
	outline, codec, err := m.t.outline(m.ctx, m.x, nil)
	if err != nil {
		refuse(0, len(ins), err)
		return parts
	}
	from := 0
	flush := func(to int, payload []byte) {
		n := to - from
		if n > 0 {
			msg := *outline
			msg.Payload, msg.Items = payload, n
			if t := msg.Timeout; t > 0 {
				msg.Timeout = time.Duration(min(uint64(t), uint64(1<<63-1)/uint64(n))) * time.Duration(n) //nolint:gosec // bounded
			}
			if msg.Direct != nil {
				msg.Direct.In = ins
			}
			parts = append(parts, &part[In, Out]{first: first + from, ins: ins[from:to], msg: &msg})
		}
		from = to
	}
	if outline.Direct != nil {
		flush(len(ins), nil)
		return parts
	}
	if payload, ok := appendRow(nil, codec, ins); ok {
		flush(len(ins), payload)
		return parts
	}
	payload := make([]byte, 0, min(8*len(ins), maxChunkBytes)) // what numbers take, and some room
	for i := range ins {
		with, err := appendItem(payload, codec, "argument", &ins[i])
		switch {
		case err != nil:
			flush(i, payload)
			refuse(i, 1, err)
			from, payload = i+1, nil
		case len(with) > maxChunkBytes && i > from:
			flush(i, payload)
			payload = slices.Clone(with[len(payload):])
		default:
			payload = with
		}
	}
	flush(len(ins), payload)
	return parts
}

// results are the edge at which the bytes of a message's outcome become n values. took
// is 0 if it is not known, errs nil if nothing failed. The values are stored in to, n
// zero ones, or nil for a slice of their own.
func (m *mapping[In, Out]) results(p *Promise, n int, to []Out) (took time.Duration, outs []Out, errs []error) {
	f := m.t.future(p)
	whole := func(err error) (time.Duration, []Out, []error) {
		clear(to)
		return 0, nil, slices.Repeat([]error{err}, n)
	}
	if m.sizes.never {
		out, err := f.Result()
		if err != nil {
			return whole(err)
		}
		if outs = to; outs == nil {
			outs = make([]Out, 1)
		}
		outs[0] = out
		return 0, outs, nil
	}
	if outs = to; outs == nil {
		outs = make([]Out, n)
	}
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, n)
		}
		errs[i] = err
	}
	o, err, _ := p.Outcome()
	switch {
	case err != nil:
		return whole(err)
	case o.Cause != nil || o.Err != nil || o.State != StateSucceeded:
		return whole(f.Err())
	case o.Direct != nil:
		rs, ok := o.Direct.([]itemResult)
		if !ok || len(rs) != n {
			return whole(fmt.Errorf("%w: the value of a chunk is a %T", ErrTaskMismatch, o.Direct))
		}
		for i, r := range rs {
			if r.err != nil {
				fail(i, r.err)
			} else if outs[i], ok = r.out.(Out); !ok && r.out != nil { // nil is the zero of an interface type
				fail(i, fmt.Errorf("%w: the value is a %T, this program's definition says %T", ErrTaskMismatch, r.out, outs[i]))
			}
		}
		return rs[0].took, outs, errs
	case o.Codec != m.t.codec.Name():
		return whole(fmt.Errorf("%w: the value is encoded as %q, this program's definition says %q", ErrDecode, codecName(o.Codec), codecName(m.t.codec.Name())))
	}
	r := &reader{data: o.Value}
	took = r.took()
	for i := 0; i < n; i++ {
		if i += r.row(m.t.codec, outs[i:]); i == n {
			break
		}
		it := r.item()
		switch {
		case r.err != nil:
			return whole(r.err)
		case it.err != nil:
			it.err.Attempt = o.Attempt
			fail(i, it.err.resolve(m.t.codec, m.t.forms))
		default:
			if outs[i], err = decodeOf[Out](m.t.codec, "value", it.value); err != nil {
				fail(i, err)
			}
		}
	}
	if err := r.end(); err != nil {
		return whole(err)
	}
	return max(took, 1), outs, errs
}
