package shared

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"reflect"
	"strconv"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	arrayScript     = store.LoadVerb(luaFiles, "array")
	arrayReadScript = store.LoadVerb(luaFiles, "array_read")
)

const (
	arrayHead = 16      // bytes: the type, 8 of them, and the length
	maxArray  = 1 << 28 // bytes: Redis's longest string is twice that
)

// Array is a row of numbers or booleans, of a length that does not change, which programs
// share. All are zero at first. They are kept side by side in one string, so that an
// element takes no more room than in memory. Its methods may be called concurrently.
type Array[T Fixed] struct {
	object
	fixed[T]
	n    int
	head string
}

// OpenArray opens the array of that name. Whoever opens it gives the same length;
// otherwise the first use that finds another is [ErrMismatch]. It is at most 256 MiB.
func OpenArray[T Fixed](m *Manager, name string, length int, opts ...Option) (*Array[T], error) {
	o, err := m.open("array", name, opts)
	if err != nil {
		return nil, err
	}
	a := &Array[T]{object: o, fixed: newFixed[T](), n: length}
	if length < 0 || length > maxArray/a.width {
		return nil, o.about(fmt.Errorf("%w: a length of %d; give 0 to %d", queue.ErrOption, length, maxArray/a.width))
	}
	head := fmt.Appendf(nil, "%-8s", a.of)
	a.head = string(binary.BigEndian.AppendUint64(head, uint64(length)))
	return a, nil
}

// Len returns the length that it was opened with.
func (a *Array[T]) Len() int { return a.n }

// check says what is wrong with the elements from index i up to and without j. It takes
// no round trip.
func (a *Array[T]) check(i, j int) error {
	if i < 0 || j < i || j > a.n {
		return fmt.Errorf("%w: from %d to %d in an array of %d", ErrIndex, i, j, a.n)
	}
	return nil
}

func (a *Array[T]) checkOne(i int) error {
	if i < 0 || i >= a.n {
		return fmt.Errorf("%w: %d in an array of %d", ErrIndex, i, a.n)
	}
	return nil
}

// offset is where an element is.
func (a *Array[T]) offset(i int) int { return arrayHead + i*a.width }

// same returns an error if the head that is there is another.
func (a *Array[T]) same(head string) error {
	if head == "" || head == a.head {
		return nil
	}
	if len(head) != arrayHead {
		return fmt.Errorf("%w: what is there is no array", ErrMismatch)
	}
	return fmt.Errorf("%w: it is of %d %s, and was opened as one of %d %s", ErrMismatch,
		binary.BigEndian.Uint64([]byte(head[8:])), trimmed(head[:8]), a.n, a.of)
}

func trimmed(name string) string {
	for len(name) > 0 && name[len(name)-1] == ' ' {
		name = name[:len(name)-1]
	}
	return name
}

// bytes reads the elements from i up to and without j.
func (a *Array[T]) bytes(ctx context.Context, i, j int) (string, error) {
	r, err := a.read(ctx, arrayReadScript, arrayHead, a.offset(i), a.offset(j)-1)
	if err != nil {
		return "", err
	}
	if len(r) != 2 {
		return "", fmt.Errorf("%w: a reply of %d elements", queue.ErrMalformed, len(r))
	}
	return r[1], a.same(r[0])
}

// Get returns the element at index i. The error is [ErrIndex] if there is none.
func (a *Array[T]) Get(ctx context.Context, i int) (v T, err error) {
	if err := a.checkOne(i); err != nil {
		return v, a.about(err)
	}
	data, err := a.bytes(ctx, i, i+1)
	if err != nil {
		return v, a.about(err)
	}
	return a.at(data), nil
}

// Slice returns the elements from index i up to and without j, as they are at one moment.
func (a *Array[T]) Slice(ctx context.Context, i, j int) ([]T, error) {
	if err := a.check(i, j); err != nil {
		return nil, a.about(err)
	}
	vs := make([]T, j-i)
	if len(vs) == 0 {
		return vs, nil
	}
	data, err := a.bytes(ctx, i, j)
	if err != nil {
		return nil, a.about(err)
	}
	for k := range vs {
		if len(data) == 0 {
			break
		}
		vs[k] = a.at(data)
		data = data[min(len(data), a.width):]
	}
	return vs, nil
}

// All yields the elements in order, read in steps of 64 KiB while others may change them. An
// error is yielded last.
func (a *Array[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		step := (64 << 10) / a.width
		for i := 0; i < a.n; i += step {
			vs, err := a.Slice(ctx, i, min(i+step, a.n))
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
		}
	}
}

// Set makes the element at index i v. The error is [ErrIndex] if there is none.
func (a *Array[T]) Set(ctx context.Context, i int, v T) error {
	if err := a.checkOne(i); err != nil {
		return a.about(err)
	}
	return a.SetSlice(ctx, i, []T{v})
}

// SetSlice makes the elements from index i on vs, all at one moment.
func (a *Array[T]) SetSlice(ctx context.Context, i int, vs []T) error {
	if err := a.check(i, i+len(vs)); err != nil {
		return a.about(err)
	}
	if len(vs) == 0 {
		return nil
	}
	data := make([]byte, 0, len(vs)*a.width)
	for _, v := range vs {
		data = a.append(data, v)
	}
	_, _, err := a.verb(ctx, "set", i, data)
	return err
}

// verb does something to what is at index i.
func (a *Array[T]) verb(ctx context.Context, name string, i int, args ...any) (string, bool, error) {
	r, err := a.do(ctx, arrayScript, false, name, append([]any{a.head, a.offset(i)}, args...)...)
	if err != nil {
		return "", false, err
	}
	v, ok, err := r.value()
	if err != nil && len(r) == 1+arrayHead {
		err = a.same(string(r[1:]))
	}
	return v, ok, a.about(err)
}

// Add adds delta to the element at index i, as one step, and returns what it is then. The
// error is [ErrOverflow] if a whole number would leave its type, [ErrIndex] if there is no
// such element, and [queue.ErrOption] for booleans.
func (a *Array[T]) Add(ctx context.Context, i int, delta T) (T, error) {
	var none T
	if err := a.checkOne(i); err != nil {
		return none, a.about(err)
	}
	signed := 0
	switch a.of {
	case reflect.Bool:
		return none, a.about(fmt.Errorf("%w: booleans cannot be added", queue.ErrOption))
	case reflect.Float32, reflect.Float64:
		return a.addFloat(ctx, i, delta)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		signed = 1
	}
	data, _, err := a.verb(ctx, "add", i, a.append(nil, delta), signed)
	if err != nil {
		return none, err
	}
	return a.at(data), nil
}

// addFloat adds here what Lua has no way to take apart.
func (a *Array[T]) addFloat(ctx context.Context, i int, delta T) (T, error) {
	var sum T
	err := a.change(ctx, strconv.Itoa(i), change{
		read: func() (string, bool, error) {
			data, err := a.bytes(ctx, i, i+1)
			return data, true, a.about(err)
		},
		f: func(old string, _ bool) ([]byte, error) {
			sum = a.at(old)
			r := reflect.ValueOf(&sum).Elem()
			r.SetFloat(r.Float() + reflect.ValueOf(delta).Float())
			return a.append(nil, sum), nil
		},
		swap: func(old string, _ bool, to []byte) (reply, error) { return a.swapBytes(ctx, i, []byte(old), to) },
	})
	return sum, err
}

func (a *Array[T]) swapBytes(ctx context.Context, i int, old, to []byte) (reply, error) {
	for len(old) < a.width {
		old = append(old, 0) // the string ends before it
	}
	there, other, err := a.verb(ctx, "swap", i, old, to)
	switch {
	case err != nil:
		return "", err
	case other:
		return reply("=" + there), nil
	}
	return "-", nil
}

// CompareAndSwap makes the element at index i to if it is old, and reports whether it was.
// Floats are compared by their bits.
func (a *Array[T]) CompareAndSwap(ctx context.Context, i int, old, to T) (bool, error) {
	if err := a.checkOne(i); err != nil {
		return false, a.about(err)
	}
	r, err := a.swapBytes(ctx, i, a.append(nil, old), a.append(nil, to))
	return r == "-", err
}

// Delete deletes the array: all elements are zero then, and it may be opened with another
// length.
func (a *Array[T]) Delete(ctx context.Context) error {
	_, err := a.do(ctx, arrayScript, true, "del")
	return err
}
