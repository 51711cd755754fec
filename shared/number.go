package shared

import (
	"encoding/binary"
	"math"
	"reflect"
)

// Fixed are the types that an [Array] can have.
type Fixed interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64 | ~bool
}

// fixed turns a T into bytes of a fixed width, big-endian, and back.
type fixed[T Fixed] struct {
	of    reflect.Kind
	width int
}

func newFixed[T Fixed]() fixed[T] {
	t := reflect.TypeFor[T]()
	return fixed[T]{of: t.Kind(), width: int(t.Size())}
}

func (f fixed[T]) append(b []byte, v T) []byte {
	r := reflect.ValueOf(v)
	var n uint64
	switch {
	case f.of == reflect.Bool:
		if r.Bool() {
			n = 1
		}
	case f.of == reflect.Float32:
		n = uint64(math.Float32bits(float32(r.Float())))
	case f.of == reflect.Float64:
		n = math.Float64bits(r.Float())
	case r.CanInt():
		n = uint64(r.Int()) //nolint:gosec // its bits
	default:
		n = r.Uint()
	}
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], n)
	return append(b, all[8-f.width:]...)
}

// at reads the T that data, of any length, begins with; what is missing is zero.
func (f fixed[T]) at(data string) (v T) {
	var all [8]byte
	copy(all[8-f.width:], data[:min(len(data), f.width)])
	n := binary.BigEndian.Uint64(all[:])
	r := reflect.ValueOf(&v).Elem()
	switch {
	case f.of == reflect.Bool:
		r.SetBool(n != 0)
	case f.of == reflect.Float32:
		r.SetFloat(float64(math.Float32frombits(uint32(n)))) //nolint:gosec // there are no more bits
	case f.of == reflect.Float64:
		r.SetFloat(math.Float64frombits(n))
	case r.CanInt():
		shift := 64 - 8*f.width
		r.SetInt(int64(n<<shift) >> shift) //nolint:gosec // its bits
	default:
		r.SetUint(n)
	}
	return v
}
