package shared

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	dictScript     = store.LoadVerb(luaFiles, "dict")
	dictReadScript = store.LoadVerb(luaFiles, "dict_read")
)

// Dict is a map that programs share. Its methods may be called concurrently.
type Dict[K comparable, V any] struct {
	object
	keys   keyCodec[K]
	values codec[V]
}

// OpenDict opens the dictionary of that name. Keys are strings, whole numbers, booleans,
// and arrays and structs of these; another type of keys is [queue.ErrOption].
func OpenDict[K comparable, V any](m *Manager, name string, opts ...Option) (*Dict[K, V], error) {
	o, err := m.open("dict", name, opts)
	if err != nil {
		return nil, err
	}
	keys, err := newKeyCodec[K]()
	if err != nil {
		return nil, o.about(err)
	}
	return &Dict[K, V]{o, keys, newCodec[V]()}, nil
}

// Get returns the value under k, and whether there is one.
func (d *Dict[K, V]) Get(ctx context.Context, k K) (v V, ok bool, err error) {
	key, err := d.keys.encode(k)
	if err != nil {
		return v, false, d.about(err)
	}
	data, ok, err := d.get(ctx, key)
	if err == nil && ok {
		v, err = d.values.decode(data)
	}
	return v, ok && err == nil, d.about(err)
}

func (d *Dict[K, V]) get(ctx context.Context, key []byte) (data string, ok bool, err error) {
	r, err := d.read(ctx, dictReadScript, "get", key)
	if err != nil || len(r) == 0 {
		return "", false, err
	}
	return r[0], true, nil
}

// Set puts v under k.
func (d *Dict[K, V]) Set(ctx context.Context, k K, v V) error {
	_, err := d.put(ctx, "set", k, v)
	return err
}

// SetDefault puts v under k if there is nothing, and returns what is there then, and
// whether it was there before.
func (d *Dict[K, V]) SetDefault(ctx context.Context, k K, v V) (now V, was bool, err error) {
	r, err := d.put(ctx, "keep", k, v)
	if err != nil {
		return now, false, err
	}
	data, was, err := r.value()
	switch {
	case err == nil && was:
		now, err = d.values.decode(data)
	case err == nil:
		now = v
	}
	return now, was && err == nil, d.about(err)
}

func (d *Dict[K, V]) put(ctx context.Context, verb string, k K, v V) (reply, error) {
	key, err := d.keys.encode(k)
	if err != nil {
		return "", d.about(err)
	}
	data, err := d.values.encode(v)
	if err != nil {
		return "", d.about(err)
	}
	return d.do(ctx, dictScript, false, verb, key, data)
}

// Update makes the value under k what f returns of it, as one step: no change of anybody
// to it is lost in between. f is told whether there is one. Update returns what it made
// of it. If f returns an error, which Update returns as it is, f changes nothing. f is
// called in this goroutine, and again whenever somebody else was faster, so it should do
// nothing but compute.
func (d *Dict[K, V]) Update(ctx context.Context, k K, f func(v V, ok bool) (V, error)) (V, error) {
	var made, none V
	key, err := d.keys.encode(k)
	if err != nil {
		return none, d.about(err)
	}
	err = d.change(ctx, string(key), change{
		read: func() (string, bool, error) {
			data, ok, err := d.get(ctx, key)
			return data, ok, d.about(err)
		},
		f: func(old string, there bool) ([]byte, error) {
			var v V
			if there {
				if v, err = d.values.decode(old); err != nil {
					return nil, d.about(err)
				}
			}
			if made, err = f(v, there); err != nil {
				return nil, err
			}
			data, err := d.values.encode(made)
			return data, d.about(err)
		},
		swap: func(old string, there bool, to []byte) (reply, error) {
			if there {
				return d.do(ctx, dictScript, false, "swap", key, 1, old, to)
			}
			return d.do(ctx, dictScript, false, "swap", key, 0, "", to)
		},
	})
	if err != nil {
		return none, err
	}
	return made, nil
}

// Remove takes what is under k away and returns it, if there was something.
func (d *Dict[K, V]) Remove(ctx context.Context, k K) (v V, ok bool, err error) {
	key, err := d.keys.encode(k)
	if err != nil {
		return v, false, d.about(err)
	}
	r, err := d.do(ctx, dictScript, true, "remove", key)
	if err != nil {
		return v, false, err
	}
	data, ok, err := r.value()
	if err == nil && ok {
		v, err = d.values.decode(data)
	}
	return v, ok && err == nil, d.about(err)
}

// Len returns how many keys there are.
func (d *Dict[K, V]) Len(ctx context.Context) (int, error) {
	r, err := d.read(ctx, dictReadScript, "len")
	if err == nil && len(r) != 1 {
		err = fmt.Errorf("%w: a reply of %d elements", queue.ErrMalformed, len(r))
	}
	if err != nil {
		return 0, d.about(err)
	}
	n, err := strconv.Atoi(r[0])
	return n, d.about(err)
}

// Entry is a key and its value.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

// All yields the entries in no order, read in steps while others may change them. What is
// there all the time is yielded; what comes or goes meanwhile may be; no key is
// yielded twice, for which the keys are kept in memory. An error is yielded last.
func (d *Dict[K, V]) All(ctx context.Context) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		_ = d.scan(ctx, func(field, data string, err error) bool {
			var e Entry[K, V]
			if err == nil {
				e.Key, err = d.keys.decode(field)
			}
			if err == nil {
				e.Value, err = d.values.decode(data)
			}
			return yield(e, d.about(err)) && err == nil
		})
	}
}

// Keys yields the keys, as [Dict.All] does the entries.
func (d *Dict[K, V]) Keys(ctx context.Context) iter.Seq2[K, error] {
	return func(yield func(K, error) bool) {
		_ = d.scan(ctx, func(field, _ string, err error) bool {
			var k K
			if err == nil {
				k, err = d.keys.decode(field)
			}
			return yield(k, d.about(err)) && err == nil
		})
	}
}

// scan calls each for every entry, and last for an error.
func (d *Dict[K, V]) scan(ctx context.Context, each func(field, data string, err error) bool) bool {
	seen := map[string]struct{}{}
	for cursor := "0"; ; {
		r, err := d.read(ctx, dictReadScript, "scan", cursor, pageItems)
		if err == nil && len(r)%2 != 1 {
			err = fmt.Errorf("%w: a reply of %d elements", queue.ErrMalformed, len(r))
		}
		if err != nil {
			return each("", "", err)
		}
		for i := 1; i < len(r); i += 2 {
			if _, again := seen[r[i]]; again {
				continue
			}
			seen[r[i]] = struct{}{}
			if !each(r[i], r[i+1], nil) {
				return false
			}
		}
		if cursor = r[0]; cursor == "0" {
			return true
		}
	}
}

// Delete deletes the dictionary: it is empty then.
func (d *Dict[K, V]) Delete(ctx context.Context) error {
	_, err := d.do(ctx, dictScript, true, "del")
	return err
}
