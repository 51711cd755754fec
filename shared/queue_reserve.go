package shared

import (
	"context"
	"errors"
	"strconv"
)

// errSettled is the cause that the context of what was settled ends with.
var errSettled = errors.New("the reservation was acknowledged or returned")

// Reserved is an item that was taken out of a queue and is not done yet. It goes back to
// the front if its holder dies, so that another one gets it: whoever reserves may get an
// item that somebody has worked on before, and never loses one. Its methods may be called
// concurrently.
type Reserved[T any] struct {
	Value T

	t *tube
	h *holding
}

// Reserve takes the first item as Get does, but as a loan: it is done with Ack, and goes
// back with Return, or when the process dies, its [Lease] after that. A reserved item takes
// no place in the queue: there is room for another. One that comes back is put in front
// even of a full queue, whose Len is then above maxsize.
//
// An item that cannot be decoded is done, and the error says why it is of no use.
func (q *Queue[T]) Reserve(ctx context.Context) (*Reserved[T], error) {
	lease := q.t.lease
	for {
		h, err := q.t.m.keeper.take(ctx, leased{tubeLeases, q.t.root, lease}, nil)
		if err != nil {
			return nil, q.t.about(err)
		}
		data := strconv.FormatInt(lease.Milliseconds(), 10) + ":" + h.ticket
		r, err := q.t.gets.do(ctx, &call{verb: callGet, data: data, none: ErrEmpty})
		if err != nil {
			h.end(err)
			return nil, q.t.about(err)
		}
		if !h.renewed(r.sent, r.lapse) { // the reply came so late that it may be another's by now
			h.giveBack()
			continue
		}
		res := &Reserved[T]{t: q.t, h: h}
		if res.Value, err = q.codec.decode(r.item); err != nil {
			return nil, q.t.about(errors.Join(err, res.Ack(ctx)))
		}
		return res, nil
	}
}

// Context ends when the reservation does: with [ErrLost] as its cause when its lease has
// lapsed, before another one may get the item. It has the values of Reserve's.
func (r *Reserved[T]) Context() context.Context { return r.h.ctx }

// Ack says that the item is done, for Join as well. [ErrLost] says that the lease had
// lapsed: somebody else has got the item, or will. If ctx ends before Redis has answered,
// the item may come back.
func (r *Reserved[T]) Ack(ctx context.Context) error { return r.settle(ctx, callAck) }

// Return gives the item back to the front of the queue, for others, or this one again. The
// errors are those of Ack.
func (r *Reserved[T]) Return(ctx context.Context) error { return r.settle(ctx, callReturn) }

func (r *Reserved[T]) settle(ctx context.Context, verb rune) error {
	if err := r.h.cause(); err != nil {
		return r.t.about(err)
	}
	_, err := r.t.gets.do(ctx, &call{verb: verb, data: r.h.ticket})
	if err == nil || errors.Is(err, errUnknown) { // what it did not reach lapses
		r.h.end(errSettled)
	} else if errors.Is(err, ErrLost) {
		r.h.end(ErrLost)
	}
	return r.t.about(err)
}
