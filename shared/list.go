package shared

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	listScript     = store.LoadVerb(luaFiles, "list")
	listReadScript = store.LoadVerb(luaFiles, "list_read")
)

const (
	// maxAppend bounds the bytes that one verb carries.
	maxAppend = 16 * queue.MaxMessage
	// pageItems and pageBytes bound what is read at a time.
	pageItems = 100
	pageBytes = 1 << 20
)

// List is a list that programs share. Its methods may be called concurrently.
//
// What happens at the ends takes the same time however long the list is; what happens by
// index takes the longer the farther it is from both ends, as Redis walks there.
type List[T any] struct {
	object
	codec codec[T]
}

// OpenList opens the list of that name.
func OpenList[T any](m *Manager, name string, opts ...Option) (*List[T], error) {
	o, err := m.open("list", name, opts)
	if err != nil {
		return nil, err
	}
	return &List[T]{o, newCodec[T]()}, nil
}

// Append adds vs at the end, in a row and all or none. They are at most 16 MiB.
func (l *List[T]) Append(ctx context.Context, vs ...T) error { return l.push(ctx, "append", vs) }

// Prepend adds vs at the front, in a row, the first of them first. They are at most 16
// MiB.
func (l *List[T]) Prepend(ctx context.Context, vs ...T) error {
	vs = slices.Clone(vs)
	slices.Reverse(vs)
	return l.push(ctx, "prepend", vs)
}

func (l *List[T]) push(ctx context.Context, verb string, vs []T) error {
	if len(vs) == 0 {
		return nil
	}
	args := make([]any, len(vs))
	size := 0
	for i, v := range vs {
		data, err := l.codec.encode(v)
		if err != nil {
			return l.about(err)
		}
		if size += len(data); size > maxAppend {
			return l.about(fmt.Errorf("%w: more than %d bytes at once; give them in parts", queue.ErrTooLarge, maxAppend))
		}
		args[i] = data
	}
	_, err := l.do(ctx, listScript, false, verb, args...)
	return err
}

// Insert puts v before the element at index i; at the list's length it goes to the end.
// The error is [ErrIndex] if the list is shorter. It takes the longer the longer the
// list.
func (l *List[T]) Insert(ctx context.Context, i int, v T) error {
	return l.at(ctx, "insert", i, v)
}

// Set replaces the element at index i. The error is [ErrIndex] if there is none.
func (l *List[T]) Set(ctx context.Context, i int, v T) error { return l.at(ctx, "set", i, v) }

func (l *List[T]) at(ctx context.Context, verb string, i int, v T) error {
	data, err := l.codec.encode(v)
	if err == nil {
		err = positive(i)
	}
	if err != nil {
		return l.about(err)
	}
	r, err := l.do(ctx, listScript, false, verb, i, data)
	if err != nil {
		return err
	}
	_, _, err = r.value()
	return l.about(err)
}

func positive(i int) error {
	if i < 0 {
		return fmt.Errorf("%w: %d", ErrIndex, i)
	}
	return nil
}

// Update makes the element at index i what f returns of it: no change of anybody to that
// element is lost in between. It returns what it made of it. If f returns an error, which
// Update returns as it is, f changes nothing. f is called in this goroutine, and again
// whenever somebody else was faster. The error is [ErrIndex] if there is no such
// element. What is at the index may be another element by the time that f is called
// again, if others take some away before it.
func (l *List[T]) Update(ctx context.Context, i int, f func(T) (T, error)) (T, error) {
	var made T
	if err := positive(i); err != nil {
		return made, l.about(err)
	}
	err := l.change(ctx, strconv.Itoa(i), change{
		read: func() (string, bool, error) {
			r, err := l.read(ctx, listReadScript, "get", i)
			if err == nil && len(r) == 0 {
				err = ErrIndex
			}
			if err != nil {
				return "", false, l.about(err)
			}
			return r[0], true, nil
		},
		f: func(old string, _ bool) ([]byte, error) {
			v, err := l.codec.decode(old)
			if err != nil {
				return nil, l.about(err)
			}
			if made, err = f(v); err != nil {
				return nil, err
			}
			data, err := l.codec.encode(made)
			return data, l.about(err)
		},
		swap: func(old string, _ bool, to []byte) (reply, error) {
			return l.do(ctx, listScript, false, "swap", i, old, to)
		},
	})
	if err != nil {
		var none T
		return none, err
	}
	return made, nil
}

// Remove takes the element at index i out and returns it. The error is [ErrIndex] if
// there is none. It takes the longer the longer the list.
func (l *List[T]) Remove(ctx context.Context, i int) (T, error) {
	if err := positive(i); err != nil {
		var none T
		return none, l.about(err)
	}
	return l.taken(l.do(ctx, listScript, true, "remove", i))
}

// Pop takes the last element away and returns it. The error is [ErrEmpty] if there is
// none.
func (l *List[T]) Pop(ctx context.Context) (T, error) {
	return l.taken(l.do(ctx, listScript, true, "pop"))
}

// PopFront takes the first element away and returns it. The error is [ErrEmpty] if there
// is none.
func (l *List[T]) PopFront(ctx context.Context) (T, error) {
	return l.taken(l.do(ctx, listScript, true, "shift"))
}

func (l *List[T]) taken(r reply, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	data, ok, err := r.value()
	if err == nil && !ok {
		err = ErrEmpty
	}
	if err == nil {
		v, err = l.codec.decode(data)
	}
	return v, l.about(err)
}

// Get returns the element at index i. The error is [ErrIndex] if there is none.
func (l *List[T]) Get(ctx context.Context, i int) (v T, err error) {
	if err := positive(i); err != nil {
		return v, l.about(err)
	}
	r, err := l.read(ctx, listReadScript, "get", i)
	if err == nil && len(r) == 0 {
		err = fmt.Errorf("%w: %d", ErrIndex, i)
	}
	if err == nil {
		v, err = l.codec.decode(r[0])
	}
	return v, l.about(err)
}

// Slice returns the elements from index i up to and without j, as they are at one moment.
// Where the list is shorter, they are fewer, as in Python.
func (l *List[T]) Slice(ctx context.Context, i, j int) ([]T, error) {
	if i < 0 || j < i {
		return nil, l.about(fmt.Errorf("%w: from %d to %d", ErrIndex, i, j))
	}
	if i == j {
		return nil, nil
	}
	r, err := l.read(ctx, listReadScript, "slice", i, j-1)
	if err != nil {
		return nil, l.about(err)
	}
	return l.decoded(r)
}

func (l *List[T]) decoded(all []string) ([]T, error) {
	vs := make([]T, len(all))
	for i, data := range all {
		var err error
		if vs[i], err = l.codec.decode(data); err != nil {
			return nil, l.about(err)
		}
	}
	return vs, nil
}

// Len returns how many elements there are.
func (l *List[T]) Len(ctx context.Context) (int, error) {
	r, err := l.read(ctx, listReadScript, "len")
	if err != nil {
		return 0, l.about(err)
	}
	if len(r) != 1 {
		return 0, l.about(fmt.Errorf("%w: a reply of %d elements", queue.ErrMalformed, len(r)))
	}
	n, err := strconv.Atoi(r[0])
	return n, l.about(err)
}

// All yields the elements from the front to the end, read in steps while others may change
// the list. What is there all the time is yielded once, however much comes and goes at the
// two ends; Insert and Remove before the place that is read may have an element
// yielded twice, or passed over. An error is yielded last.
func (l *List[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		place := int64(math.MinInt32) * (1 << 20) // before the first one, and exact in Lua
		for {
			var vs []T
			r, err := l.read(ctx, listReadScript, "scan", place, pageItems, pageBytes)
			if err == nil && len(r) == 0 {
				err = fmt.Errorf("%w: an empty reply", queue.ErrMalformed)
			}
			if err == nil {
				place, err = strconv.ParseInt(r[0], 10, 64)
			}
			if err != nil {
				err = l.about(err)
			} else {
				vs, err = l.decoded(r[1:])
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range vs {
				if !yield(v, nil) {
					return
				}
			}
			if len(vs) == 0 {
				return
			}
			place += int64(len(vs))
		}
	}
}

// Delete deletes the list: it is empty then.
func (l *List[T]) Delete(ctx context.Context) error {
	_, err := l.do(ctx, listScript, true, "del")
	return err
}
