package shared

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// ErrDone says that TaskDone was called more often than there are items that were put and
// not done.
var ErrDone = errors.New("more items were done than were put; call TaskDone once for each Get, and not after Ack")

// Queue is a first-in, first-out queue of Ts with a bounded number of places. Its methods
// may be called concurrently.
//
// What one handle puts comes out in that order. Who waits in Put or Get is woken in the
// order of arrival, one for one; but a Put or Get that finds what it wants does not wait,
// even if others do.
//
// Puts and Gets of one handle that are called at the same time travel together.
type Queue[T any] struct {
	t     *tube
	codec codec[T]
}

// OpenQueue opens a queue that holds at most maxsize items, or any number if maxsize is 0.
// Whoever uses the name first decides that; a handle with another maxsize gets
// [ErrMismatch] from all it does.
func OpenQueue[T any](m *Manager, name string, maxsize int, opts ...Option) (*Queue[T], error) {
	if maxsize < 0 {
		return nil, fmt.Errorf("%w: a queue of at most %d items; give 0 for any number", queue.ErrOption, maxsize)
	}
	o, err := m.open("queue", name, opts)
	if err != nil {
		return nil, err
	}
	return &Queue[T]{t: newTube(o, "", maxsize, nil), codec: newCodec[T]()}, nil
}

// Name is the name it was opened by.
func (q *Queue[T]) Name() string { return q.t.Name() }

// Ref is a reference to it, for others to open it with.
func (q *Queue[T]) Ref() string { return q.t.Ref() }

// Put puts v at the end, and waits while the queue is full. A nil error means that it is
// stored. If ctx ends first, the error is [ErrFull] and what has ended ctx, and nothing
// was put; unless v was on its way just then and Redis does not say within a second what
// became of it: then the error is not ErrFull, and v may have been put.
//
// A v that cannot be encoded is refused at once with [queue.ErrEncode] and takes no place.
// After CloseSend the error is [queue.ErrClosed], for those who wait as well. A Redis at
// its maxmemory refuses with [queue.ErrStoreFull].
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.put(ctx, v, false) }

// TryPut is Put that does not wait for room: [ErrFull] then says that there was none.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error { return q.put(ctx, v, true) }

func (q *Queue[T]) put(ctx context.Context, v T, try bool) error {
	data, err := q.codec.encode(v)
	if err == nil {
		_, err = q.t.puts.do(ctx, &call{verb: callPut, data: string(data), try: try, none: ErrFull})
	}
	return q.t.about(err)
}

// Get takes the first item, and waits while there is none. If ctx ends first, the error is
// [ErrEmpty] and what has ended ctx. After CloseSend it goes on until the queue is
// empty, and what is reserved was acknowledged; then the error is [queue.ErrClosed].
//
// The item is the caller's from then on: one that dies takes it along. For work that must
// not be lost, see [Queue.Reserve]. But no item is lost on its way, because a reply is or
// ctx ends: it is fetched again, or goes back to the front.
//
// An item that cannot be decoded is taken, and the error says why it is of no use.
func (q *Queue[T]) Get(ctx context.Context) (T, error) { return q.get(ctx, false) }

// TryGet is Get that does not wait for an item: [ErrEmpty] then says that there was none.
func (q *Queue[T]) TryGet(ctx context.Context) (T, error) { return q.get(ctx, true) }

func (q *Queue[T]) get(ctx context.Context, try bool) (T, error) {
	r, err := q.t.gets.do(ctx, &call{verb: callGet, try: try, none: ErrEmpty})
	if err != nil {
		var none T
		return none, q.t.about(err)
	}
	v, err := q.codec.decode(r.item)
	return v, q.t.about(err)
}

// All is Get again and again, until the queue is closed and empty. Any other error than
// that comes with the last round.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if errors.Is(err, errShut) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// CloseSend says that nothing more is put: Put fails with [queue.ErrClosed] everywhere
// from then on, and whoever gets gets what is left, and then the same error. It may be
// called more than once, and is not undone.
func (q *Queue[T]) CloseSend(ctx context.Context) error {
	return q.t.about(q.t.ask(ctx, func() error {
		_, err := q.t.reply(q.t.m.store.Do(ctx, closeVerb, q.t.root, q.t.common()...))
		return err
	}))
}

// TaskDone says that an item which Get has returned is done, for Join. Called more often
// than items were put it fails with [ErrDone].
func (q *Queue[T]) TaskDone(ctx context.Context) error {
	_, err := q.t.gets.do(ctx, &call{verb: callDone})
	return q.t.about(err)
}

// Join waits until all items that were put are done: TaskDone was called for those that
// Get returned, and Ack for those that were reserved. The error is that of ctx, or
// [queue.ErrClosed] if the manager is closed.
func (q *Queue[T]) Join(ctx context.Context) error {
	t := q.t
	ask := func(ctx context.Context, wait bool) (bool, error) {
		r, err := t.reply(t.m.store.Do(ctx, joinVerb, t.root, append(t.common(), t.me, digit(wait))...))
		return err == nil && r[0] == "0", err
	}
	err := t.m.await(ctx, t.channel(joiners), func() (bool, time.Duration, error) {
		done, err := ask(ctx, true)
		return done, 0, err
	})
	return t.about(err)
}

// Stats is what a queue has at one instant.
type Stats struct {
	Waiting  int  // items that Get would return
	Reserved int  // items that are reserved, and not acknowledged
	Open     int  // items that were put and are not done, see Join
	Closed   bool // CloseSend was called
}

// Stats returns what the queue has at this instant.
func (q *Queue[T]) Stats(ctx context.Context) (s Stats, err error) {
	t := q.t
	err = t.ask(ctx, func() error {
		r, err := t.reply(t.m.store.Do(ctx, lookVerb, t.root, t.size))
		if err == nil {
			s = Stats{count(r[0]), count(r[1]), count(r[2]), r[3] != ""}
		}
		return err
	})
	return s, t.about(err)
}

// Len is how many items Get would return at this instant. Reserved ones are not among
// them.
func (q *Queue[T]) Len(ctx context.Context) (int, error) {
	s, err := q.Stats(ctx)
	return s.Waiting, err
}

// Empty reports whether there is no item at this instant.
func (q *Queue[T]) Empty(ctx context.Context) (bool, error) {
	n, err := q.Len(ctx)
	return n == 0, err
}

// Full reports whether there is no room at this instant.
func (q *Queue[T]) Full(ctx context.Context) (bool, error) {
	n, err := q.Len(ctx)
	return q.t.size > 0 && n >= q.t.size, err
}

// Delete deletes the queue with all that is in it. Whoever waits goes on to wait, at a
// new one.
func (q *Queue[T]) Delete(ctx context.Context) error {
	return q.t.about(q.t.ask(ctx, func() error {
		_, err := q.t.m.store.Do(ctx, wipeVerb, q.t.root)
		return err
	}))
}

// ask calls try until Redis has answered, as [Manager.await] does.
func (t *tube) ask(ctx context.Context, try func() error) error {
	return t.m.await(ctx, "", func() (bool, time.Duration, error) { return true, 0, try() })
}

// reply reads what a script says whose state is 'ok', or 'size'.
func (t *tube) reply(r []string, err error) ([]string, error) {
	switch {
	case err != nil:
		return nil, err
	case len(r) == 2 && r[0] == "size":
		return nil, t.missized(r[1])
	case len(r) == 0 || r[0] != "ok":
		return nil, fmt.Errorf("%w: a reply of %d parts", queue.ErrMalformed, len(r))
	}
	return r[1:], nil
}
