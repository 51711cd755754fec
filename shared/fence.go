package shared

import (
	"context"
	"fmt"
	"strconv"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	fenceWriteScript = store.LoadVerb(luaFiles, "fence_write")
	fenceReadScript  = store.LoadVerb(luaFiles, "fence_read")
)

// Fenced is a value that is written under a lock. It refuses writes of those who have lost the lock and do not
// know it yet: each write bears the token of who holds the lock, and one that is older than the newest seen
// is refused. So it holds what a lock alone cannot promise. Its methods may be called
// concurrently.
//
// It is as good as its memory: give it a longer [TTL] than any holder could sleep, or
// [Forever].
type Fenced[T any] struct {
	object
	codec codec[T]
}

// OpenFenced opens the fenced value of that name. Use it with one lock.
func OpenFenced[T any](m *Manager, name string, opts ...Option) (*Fenced[T], error) {
	o, err := m.open("fenced", name, opts)
	if err != nil {
		return nil, err
	}
	return &Fenced[T]{o, newCodec[T]()}, nil
}

// Write writes v in the name of who has the token, see [Held.Token]. The error is [ErrStale]
// if a newer token was seen: nothing is written.
func (f *Fenced[T]) Write(ctx context.Context, token uint64, v T) error {
	data, err := f.codec.encode(v)
	if err != nil {
		return f.about(err)
	}
	return f.write(ctx, token, data)
}

// Bar refuses older tokens from now on, and writes nothing: who has just got a lock may
// read then, and be sure that nothing comes from the one before.
func (f *Fenced[T]) Bar(ctx context.Context, token uint64) error { return f.write(ctx, token) }

func (f *Fenced[T]) write(ctx context.Context, token uint64, value ...any) error {
	args := append([]any{strconv.FormatUint(token, 10), f.keep()}, value...)
	r, err := f.insist(ctx, fenceWriteScript, args...)
	switch {
	case err != nil:
		return err
	case len(r) != 2:
		return f.about(fmt.Errorf("%w: a reply of %d elements to a fenced write", queue.ErrMalformed, len(r)))
	case r[0] == "":
		return f.about(fmt.Errorf("%w (token %d, seen %s)", ErrStale, token, r[1]))
	}
	return nil
}

// Delete deletes the value and what is known of tokens: older ones are taken again.
func (f *Fenced[T]) Delete(ctx context.Context) error {
	_, err := f.insist(ctx, dropScript)
	return err
}

// Read returns what was written last, and the newest token seen. Before the first write
// it is the zero value, and ok is false.
func (f *Fenced[T]) Read(ctx context.Context) (v T, token uint64, ok bool, err error) {
	r, err := f.insist(ctx, fenceReadScript)
	if err != nil {
		return v, 0, false, err
	}
	if len(r) < 1 || len(r) > 2 {
		return v, 0, false, f.about(fmt.Errorf("%w: a reply of %d elements to a read", queue.ErrMalformed, len(r)))
	}
	if token, err = strconv.ParseUint(r[0], 10, 64); err != nil {
		return v, 0, false, f.about(fmt.Errorf("%w: the token %q", queue.ErrMalformed, r[0]))
	}
	if len(r) == 1 {
		return v, token, false, nil
	}
	v, err = f.codec.decode(r[1])
	return v, token, err == nil, f.about(err)
}
