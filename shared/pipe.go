package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// ErrTaken says that somebody else has the end of the pipe.
var ErrTaken = errors.New("the end of the pipe is taken; wait until its owner has released it, or is dead")

// PipeBuffer is how many items are on their way in each direction before Send waits.
const PipeBuffer = 64

// Pipe is a connection of two ends, A and B, each of which sends to the other. An end has
// one owner, which holds it by a lease. A Pipe may be used concurrently.
type Pipe[T any] struct {
	object
	codec codec[T]
}

// OpenPipe opens a pipe. That makes none of its ends the caller's.
func OpenPipe[T any](m *Manager, name string, opts ...Option) (*Pipe[T], error) {
	o, err := m.open("pipe", name, opts)
	if err != nil {
		return nil, err
	}
	return &Pipe[T]{object: o, codec: newCodec[T]()}, nil
}

// A makes end A the caller's, until it is closed or released. [ErrTaken] says that it is
// somebody else's; that of a process that died is free when its lease has lapsed.
//
// An end that was closed, or whose owner has died, is not to be had again before the other
// one was closed as well: that is [queue.ErrClosed]. Then both begin anew. An end whose
// peer is gone already reads what the peer has left.
func (p *Pipe[T]) A(ctx context.Context) (*PipeEnd[T], error) {
	return p.take(ctx, ":a", ":b")
}

// B makes end B the caller's, as A does.
func (p *Pipe[T]) B(ctx context.Context) (*PipeEnd[T], error) {
	return p.take(ctx, ":b", ":a")
}

// Delete deletes the pipe with all that is in it. Its owners have lost their ends.
func (p *Pipe[T]) Delete(ctx context.Context) error {
	return p.about(p.m.await(ctx, "", func() (bool, time.Duration, error) {
		_, err := p.m.store.Do(ctx, wipeVerb, p.root)
		return true, 0, err
	}))
}

func (p *Pipe[T]) take(ctx context.Context, mine, other string) (*PipeEnd[T], error) {
	h, err := p.m.keeper.take(ctx, leased{tubeLeases, p.root, p.lease}, nil)
	if err != nil {
		return nil, p.about(err)
	}
	g := &grip{h: h, dir: mine}
	e := &PipeEnd[T]{p: p, g: g, out: newTube(p.object, mine, PipeBuffer, g), in: newTube(p.object, other, PipeBuffer, g)}
	sent := time.Now()
	var r []string
	err = p.m.await(ctx, "", func() (bool, time.Duration, error) {
		sent = time.Now()
		r, err = p.m.store.Do(ctx, openVerb, p.root, append(e.out.common(), h.ticket, p.lease.Milliseconds())...)
		return true, 0, err
	})
	switch {
	case err != nil:
		e.pass() // it may have got it
	case len(r) != 2:
		err = fmt.Errorf("%w: a reply of %d parts", queue.ErrMalformed, len(r))
	case r[0] == "taken":
		err = ErrTaken
	case r[0] == "closed":
		err = fmt.Errorf("%w: this end was closed, or its owner has died; close the other one too, and both begin anew", queue.ErrClosed)
	case !h.renewed(sent, time.Duration(count(r[1]))*time.Millisecond):
		err = h.cause()
		e.pass()
	default:
		return e, nil
	}
	h.end(err)
	return nil, p.about(err)
}

// grip is how an end is held.
type grip struct {
	h   *holding
	dir string
}

func (g *grip) lost() error {
	g.h.end(ErrLost)
	return g.h.cause()
}

// PipeEnd is one end of a pipe. Its methods may be called concurrently.
type PipeEnd[T any] struct {
	p       *Pipe[T]
	g       *grip
	out, in *tube
}

// errEnd is the cause that the context of an end ends with which its owner has given up.
var errEnd = fmt.Errorf("%w: this end of the pipe", queue.ErrClosed)

// Context ends with the end: with [ErrLost] as its cause when its lease has lapsed.
func (e *PipeEnd[T]) Context() context.Context { return e.g.h.ctx }

// Send sends v to the other end, and waits while [PipeBuffer] items are on their way. A nil
// error means that it is stored, not that it was received. If the other end is closed or
// its owner has died, the error is [io.ErrClosedPipe]. If ctx ends first it is [ErrFull]
// and what has ended ctx, as with [Queue.Put].
func (e *PipeEnd[T]) Send(ctx context.Context, v T) error {
	data, err := e.p.codec.encode(v)
	if err == nil {
		_, err = e.do(ctx, e.out.puts, &call{verb: callPut, data: string(data), none: ErrFull})
	}
	if errors.Is(err, errShut) {
		err = fmt.Errorf("%w: the other end is closed, or its owner has died", io.ErrClosedPipe)
	}
	return e.p.about(err)
}

// Recv receives what the other end has sent, in that order, and waits while there is
// nothing. When the other end is closed, or its owner has died, Recv returns what is left
// and then [io.EOF]. If ctx ends first the error is [ErrEmpty] and what has ended ctx.
func (e *PipeEnd[T]) Recv(ctx context.Context) (T, error) {
	r, err := e.do(ctx, e.in.gets, &call{verb: callGet, none: ErrEmpty})
	if err == nil {
		v, err := e.p.codec.decode(r.item)
		return v, e.p.about(err)
	}
	var none T
	if errors.Is(err, errShut) {
		return none, io.EOF
	}
	return none, e.p.about(err)
}

// Poll reports whether Recv would return an item at once.
func (e *PipeEnd[T]) Poll(ctx context.Context) (bool, error) {
	if err := e.g.h.cause(); err != nil {
		return false, e.p.about(err)
	}
	n := 0
	err := e.p.m.await(ctx, "", func() (bool, time.Duration, error) {
		r, err := e.in.reply(e.p.m.store.Do(ctx, lookVerb, e.in.root+e.in.dir, e.in.size))
		if err == nil {
			n = count(r[0])
		}
		return true, 0, err
	})
	return n > 0, e.p.about(err)
}

// do is the lane's do for as long as the end is held.
func (e *PipeEnd[T]) do(ctx context.Context, l *tubeLane, c *call) (landed, error) {
	h := e.g.h
	if err := h.cause(); err != nil {
		return landed{}, err
	}
	both, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(h.ctx, end)()
	r, err := l.do(both, c)
	if gone := h.cause(); err != nil && gone != nil && ctx.Err() == nil {
		err = gone
	}
	return r, err
}

// Close closes the end: the other one reads what is left, and then [io.EOF]. What is on
// its way to this end is thrown away. Whoever waits in Send or Recv of this end gets
// [queue.ErrClosed]. If ctx ends before Redis has answered, the end is closed when its
// lease lapses.
func (e *PipeEnd[T]) Close(ctx context.Context) error {
	if !e.g.h.end(errEnd) {
		return e.p.about(e.ended())
	}
	return e.p.about(e.p.m.await(ctx, "", func() (bool, time.Duration, error) {
		_, err := e.p.m.store.Do(ctx, tubeLeases.free, e.p.root, e.g.h.ticket)
		return true, 0, err
	}))
}

// Release gives the end up and leaves it open, for another to take it, who sends and
// receives on: hand it on by the name of the pipe. Whoever waits in Send or Recv of this
// end gets [queue.ErrClosed].
func (e *PipeEnd[T]) Release(ctx context.Context) error {
	if !e.g.h.end(errEnd) {
		return e.p.about(e.ended())
	}
	return e.p.about(e.p.m.await(ctx, "", func() (bool, time.Duration, error) {
		r, err := e.p.m.store.Do(ctx, passVerb, e.p.root, e.g.dir, e.g.h.ticket)
		if err == nil && len(r) == 1 && r[0] == "0" {
			return true, 0, ErrLost
		}
		return true, 0, err
	}))
}

// ended is what Close and Release say of an end that is no more.
func (e *PipeEnd[T]) ended() error {
	if err := e.g.h.cause(); !errors.Is(err, errEnd) {
		return err
	}
	return nil
}

// pass releases for a while what may have been taken.
func (e *PipeEnd[T]) pass() {
	ctx, stop := context.WithTimeout(context.WithoutCancel(e.g.h.ctx), lastWord)
	defer stop()
	_, _ = e.p.m.store.Do(ctx, passVerb, e.p.root, e.g.dir, e.g.h.ticket)
}
