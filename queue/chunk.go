package queue

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// A chunk is one message that carries many arguments of a Map, so that short tasks
// share the cost of a trip. Its payload is the arguments, each as a msgpack bin of
// what the codec made of it. Its value is the microseconds that running them took,
// as a msgpack uint, and then for each argument, in the same order, what became of
// it: a bin of the value, or an error as in an [Outcome].

// recordEvery is how often a long chunk puts on record what it has done, so that a
// worker that takes it over goes on from there.
const recordEvery = 250 * time.Millisecond

// itemRunner runs the items of one chunk, one after the other.
type itemRunner struct {
	ctx     context.Context
	h       Handler
	msg     *Message
	item    Message // the one that runs
	codec   Codec
	forms   []errorForm
	out     []byte
	told    int // of out was recorded
	at      int // the next item
	attempt int
	host    Host        // nil if there is nobody to tell
	clock   *time.Timer // for that
	tell    atomic.Bool // it is time to
}

// itemResult is what became of one item of a chunk that never left the process.
type itemResult struct {
	out  any
	err  error
	took time.Duration // of the first: how long all of them took
}

// runChunk runs the items of m and returns its value. What the items come to is
// part of that; an error means that the chunk as a whole did not come to its end.
func runChunk(ctx context.Context, h Handler, m *Message, route Route) ([]byte, error) {
	began := time.Now()
	r := &itemRunner{ctx: ctx, h: h, msg: m, codec: route.codec, forms: route.forms, item: *m, attempt: FromContext(ctx).Attempt}
	r.item.Items, r.item.Payload, r.item.Direct, r.item.Then = 0, nil, nil, nil
	if m.Direct != nil {
		results := make([]itemResult, m.Items)
		for ; r.at < m.Items && ctx.Err() == nil; r.at++ {
			in, n, err := route.nth(m.Direct.In, r.at)
			if err == nil && n != m.Items {
				err = fmt.Errorf("%w: %d arguments, the message says %d", ErrMalformed, n, m.Items)
			}
			if err != nil {
				return nil, err
			}
			d := Direct{In: in, Common: m.Direct.Common}
			r.item.Direct = &d
			_, err = r.tries()
			results[r.at] = itemResult{out: d.Out, err: err}
		}
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		results[0].took = time.Since(began)
		m.Direct.Out = results
		return nil, nil
	}
	if err := r.recall(); err != nil {
		return nil, err
	}
	if host := hostOf(ctx); host != nil && host.host != nil {
		r.host = host.host
		r.clock = time.AfterFunc(recordEvery, func() { r.tell.Store(true) }) // to look at the time costs as much as a short item
		defer r.clock.Stop()
	}
	// How long it took comes first, and is known last.
	r.out = append(make([]byte, headRoom, headRoom+len(r.out)+len(m.Payload)*9/8+roomFor), r.out...)
	r.told += headRoom
	in := &reader{data: m.Payload}
	for range r.at { // on record since an earlier delivery
		in.bin("an argument")
	}
	rows, inRows := h.(rowHandler)
	for r.at < m.Items {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		var err error
		if inRows {
			err = rows.row(r, in)
		} else {
			err = r.next(in)
		}
		if in.err != nil {
			return nil, in.err
		}
		if err != nil {
			r.item.room = r.room()
			value, err := r.again(nil, err)
			r.at++
			if err == nil {
				r.add(value)
			} else if cause := r.interrupted(); cause != nil {
				return nil, cause
			} else {
				r.out = appendError(r.out, newTaskError(r.codec, r.forms, err, r.attempt))
			}
		}
		r.record()
	}
	if err := in.end(); err != nil {
		return nil, err
	}
	took := appendUint(make([]byte, 0, headRoom), uint64(max(time.Since(began), 0)/time.Microsecond)) //nolint:gosec // not negative
	value := r.out[headRoom-len(took):]
	copy(value, took)
	return value, nil
}

const (
	headRoom = 9  // the most that a uint takes
	roomFor  = 64 // the longest value that has a place made for it
)

// room is where the next value goes if it is short: where it belongs in out, behind
// the head of a short bin, so that it need be neither allocated nor moved.
func (r *itemRunner) room() []byte {
	r.out = slices.Grow(r.out, 2+roomFor)
	at := len(r.out) + 2
	return r.out[at : at : at+roomFor] // a longer one must not begin where its own head goes
}

// add adds a value to out.
func (r *itemRunner) add(value []byte) {
	n, at := len(value), len(r.out)
	if n > 0 && n <= roomFor && at+2 < cap(r.out) && &value[0] == &r.out[:at+3][at+2] {
		r.out = r.out[:at+2+n]
		r.out[at], r.out[at+1] = 0xc4, byte(n)
		return
	}
	r.out = appendBin(r.out, value)
}

// interrupted returns why the chunk must end before its last item, if it must.
func (r *itemRunner) interrupted() error {
	if r.ctx.Err() == nil {
		return nil
	}
	return context.Cause(r.ctx)
}

// next runs the next item once. With an error the item is still to be settled.
func (r *itemRunner) next(in *reader) error {
	if r.item.Payload = in.bin("an argument"); in.err != nil {
		return nil
	}
	r.item.room = r.room()
	value, err := r.call()
	if err == nil {
		r.add(value)
		r.at++
	}
	return err
}

// rowHandler is a handler that can run the items of a chunk in a loop of its own,
// which costs a short item less than the way to [Handler.Handle] and back.
type rowHandler interface {
	// row is as [itemRunner.next] for each item in turn, until one has failed, or the
	// runner has something else to do.
	row(r *itemRunner, in *reader) error
}

// busy reports whether the next item should be run at once.
func (r *itemRunner) busy() bool { return r.at < r.msg.Items && !r.tell.Load() && r.ctx.Err() == nil }

// tries runs the item, and again while it fails and has retries left.
func (r *itemRunner) tries() ([]byte, error) { return r.again(r.call()) }

// again is what is left of tries when the item has run once.
func (r *itemRunner) again(value []byte, err error) ([]byte, error) {
	for n := 1; err != nil && r.ctx.Err() == nil; n++ {
		v := Decide(err, Attempt{Number: n, Retries: r.msg.Retries, Backoff: r.msg.Backoff, Jitter: 0.5})
		if v.Kind != VerdictRetry {
			return nil, err
		}
		wait := time.NewTimer(v.Delay)
		select {
		case <-wait.C:
		case <-r.ctx.Done():
			wait.Stop()
			return nil, err
		}
		value, err = r.call()
	}
	return value, err
}

// call runs the item once.
func (r *itemRunner) call() (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	value, err = r.h.Handle(r.ctx, &r.item)
	if err != nil {
		err = AttemptError(r.ctx, err)
	}
	return value, err
}

// recall takes up what an earlier delivery has put on record.
func (r *itemRunner) recall() error {
	host := hostOf(r.ctx)
	if host == nil || host.host == nil || host.about().Token <= 1 {
		return nil
	}
	part, err := host.host.Recall(r.ctx)
	if err != nil || len(part) == 0 {
		return err
	}
	in := &reader{data: part}
	for len(in.data) > 0 && r.at < r.msg.Items {
		if in.item(); in.err != nil {
			return in.err
		}
		r.at++
	}
	r.out = append(r.out, part[:len(part)-len(in.data)]...)
	r.told = len(r.out)
	return nil
}

// record puts on record what was done since the last time, every now and then.
func (r *itemRunner) record() {
	if r.host == nil || r.at == r.msg.Items || !r.tell.Load() {
		return
	}
	r.tell.Store(false)
	if r.host.Record(r.ctx, r.out[r.told:]) == nil {
		r.told = len(r.out)
	}
	r.clock.Reset(recordEvery)
}

// appendItem adds an argument to the payload of a chunk, or a value to its value.
func appendItem[T any](b []byte, c Codec, what string, v *T) ([]byte, error) {
	at := len(b)
	with, err := encodeOf(append(b, 0xc4, 0), c, what, v)
	if err != nil {
		return nil, err
	}
	if n := len(with) - at - 2; n <= math.MaxUint8 { // the head of a short one was guessed
		with[at+1] = byte(n)
		return with, nil
	}
	return appendBin(with[:at], slices.Clone(with[at+2:])), nil
}

// chunkItem is what became of one item of a chunk.
type chunkItem struct {
	value []byte
	err   *TaskError
}

// item reads what became of one item.
func (r *reader) item() chunkItem {
	if r.err == nil && len(r.data) > 0 && isBin(r.data[0]) {
		return chunkItem{value: r.bin("a value")}
	}
	return chunkItem{err: r.taskError(&TaskError{}, 0)}
}

// took reads how long a chunk took.
func (r *reader) took() time.Duration {
	return time.Duration(min(r.uint("the time it took"), 1<<40)) * time.Microsecond //nolint:gosec // bounded
}
