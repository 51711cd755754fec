package shared

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/cenote-go/cenote/queue"
)

// keyCodec turns the keys of a dictionary into fields of a hash and back: a letter and
// what a person can read, or msgpack. Equal keys are equal fields.
type keyCodec[K comparable] struct{ codec[K] }

// newKeyCodec fails for a type whose equal values may have different bytes, or the other
// way round.
func newKeyCodec[K comparable]() (keyCodec[K], error) {
	t := reflect.TypeFor[K]()
	if !keyable(t) {
		return keyCodec[K]{}, fmt.Errorf("%w: keys of type %s; they are of strings, whole numbers, booleans, arrays, and structs of exported fields", queue.ErrOption, t)
	}
	return keyCodec[K]{newCodec[K]()}, nil
}

func keyable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return true
	case reflect.Array:
		return keyable(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); !f.IsExported() || f.Tag.Get("msgpack") != "" || !keyable(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}

func (c keyCodec[K]) encode(k K) ([]byte, error) {
	switch v := reflect.ValueOf(k); {
	case c.word == "s":
		return append([]byte("s"), v.String()...), nil
	case c.word == "?":
		return strconv.AppendBool([]byte("?"), v.Bool()), nil
	case len(c.word) == 1 && v.CanInt():
		return strconv.AppendInt([]byte(c.word), v.Int(), 10), nil
	case len(c.word) == 1 && v.CanUint():
		return strconv.AppendUint([]byte(c.word), v.Uint(), 10), nil
	}
	return c.codec.encode(k)
}

func (c keyCodec[K]) decode(field string) (k K, err error) {
	if len(c.word) != 1 || c.word == "S" || c.word == "x" || c.word == "y" {
		return c.codec.decode(field)
	}
	if len(field) == 0 || field[:1] != c.word {
		return k, fmt.Errorf("%w: a key was written as %s, and is read as %T", ErrMismatch, wordName(field), k)
	}
	v, text := reflect.ValueOf(&k).Elem(), field[1:]
	switch {
	case c.word == "s":
		v.SetString(text)
	case c.word == "?":
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
	default:
		var n uint64
		n, err = strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
	}
	if err != nil {
		err = fmt.Errorf("%w: the key %q into %T: %w", queue.ErrDecode, text, k, err)
	}
	return k, err
}
