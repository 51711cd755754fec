package shared

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var valueScript = store.LoadVerb(luaFiles, "value")

// Version tells one state of a value from another: it grows with every change, also over
// Delete. 0 is that of a value that was not set.
type Version uint64

func (v Version) String() string { return strconv.FormatUint(uint64(v), 10) }

func parseVersion(text string) (Version, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no version", queue.ErrMalformed, text)
	}
	return Version(n), nil
}

// Value is one T that programs share. Until it is set it is T's zero value. Its methods
// may be called concurrently.
type Value[T any] struct {
	object
	codec codec[T]
	seen  atomic.Pointer[cell] // what was there last, as far as is known
}

// OpenValue opens the value of that name.
func OpenValue[T any](m *Manager, name string, opts ...Option) (*Value[T], error) {
	o, err := m.open("value", name, opts)
	if err != nil {
		return nil, err
	}
	return &Value[T]{object: o, codec: newCodec[T]()}, nil
}

// Get returns what the value is.
func (v *Value[T]) Get(ctx context.Context) (T, error) {
	now, _, err := v.GetVersion(ctx)
	return now, err
}

// GetVersion returns what the value is, and its version, for [Value.CompareAndSwap].
func (v *Value[T]) GetVersion(ctx context.Context) (T, Version, error) {
	var none T
	c, err := v.load(ctx, "")
	if err != nil {
		return none, 0, v.about(err)
	}
	version, err := parseVersion(c.version)
	if err != nil {
		return none, 0, v.about(err)
	}
	now, err := v.decode(*c)
	return now, version, v.about(err)
}

// load returns what is there, or nil if it has the version that is known.
func (v *Value[T]) load(ctx context.Context, known string) (*cell, error) {
	r, err := v.read(ctx, valueScript, known)
	if err != nil || len(r) == 0 {
		return nil, err
	}
	if len(r) != 2 {
		return nil, fmt.Errorf("%w: a reply of %d elements", queue.ErrMalformed, len(r))
	}
	c := &cell{version: r[0], value: r[1]}
	v.seen.Store(c)
	return c, nil
}

func (v *Value[T]) decode(c cell) (now T, err error) {
	if c.version == "0" {
		return now, nil
	}
	return v.codec.decode(c.value)
}

// Set makes it to.
func (v *Value[T]) Set(ctx context.Context, to T) error {
	data, err := v.codec.encode(to)
	if err != nil {
		return v.about(err)
	}
	return v.swap(ctx, &swap{seen: &v.seen, what: "w", to: data}, nil)
}

// CompareAndSwap makes it to, if it still has the version that [Value.GetVersion] returned;
// 0 is that of a value that was never set. It reports whether it was so, and the version
// that it has now.
func (v *Value[T]) CompareAndSwap(ctx context.Context, version Version, to T) (now Version, ok bool, err error) {
	data, err := v.codec.encode(to)
	if err != nil {
		return 0, false, v.about(err)
	}
	s := &swap{seen: &v.seen, what: "w", to: data, when: version.String()}
	if err := v.swap(ctx, s, nil); err != nil {
		return 0, false, err
	}
	now, err = parseVersion(s.version)
	return now, s.ok, v.about(err)
}

// Update makes it what f returns of what it is, as one step: no change of anybody is lost
// in between. It returns what it made of it. If f returns an error, which Update returns
// as it is, f changes nothing.
//
// f is called in this goroutine, and again whenever somebody else was faster, so it
// should do nothing but compute. Who was too slow several times gets a turn, in which
// the others wait: everybody comes to an end. A turn lasts for four times as long as f
// took before, at most ten seconds; if f takes longer than that, others may be faster
// again and again.
//
// Updates that one manager is asked for at the same time follow each other in one round
// trip. f must not use the same value.
func (v *Value[T]) Update(ctx context.Context, f func(T) (T, error)) (T, error) {
	var made T
	var refused error
	err := v.swap(ctx, &swap{seen: &v.seen}, func(now cell) []byte {
		var data []byte
		made, data, refused = v.change(now, f)
		return data
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		var none T
		return none, err
	}
	return made, nil
}

// change asks f what becomes of what there is. The data are nil for no change.
func (v *Value[T]) change(now cell, f func(T) (T, error)) (to T, data []byte, err error) {
	old, err := v.decode(now)
	if err != nil {
		return to, nil, v.about(err)
	}
	if to, err = f(old); err != nil {
		return to, nil, err
	}
	data, err = v.codec.encode(to)
	return to, data, v.about(err)
}

// Delete deletes the value: it is T's zero value again, with version 0.
func (v *Value[T]) Delete(ctx context.Context) error {
	return v.swap(ctx, &swap{seen: &v.seen, what: "d"}, nil)
}

// Watch yields what the value is, and again whenever it has changed, until ctx ends, the
// manager is closed or it is not ranged over any more. What it was in between may be
// passed over, what it is in the end never. A change is heard of at once as a rule, and
// after five seconds if the notification is lost or nobody has made it: a [TTL] that is
// over makes it T's zero value.
//
// An error is yielded last, that of ctx too.
func (v *Value[T]) Watch(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		known := "" // no value has it
		for {
			var c *cell
			err := v.m.await(ctx, v.root, func() (bool, time.Duration, error) {
				var err error
				c, err = v.load(ctx, known)
				return c != nil, 0, err
			})
			var now T
			if err == nil {
				now, err = v.decode(*c)
			}
			if err != nil {
				yield(now, v.about(err))
				return
			}
			if !yield(now, nil) {
				return
			}
			known = c.version
		}
	}
}
