package shared

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// codec turns a T into bytes and back: a word for its type, then msgpack. Its methods
// may be called concurrently.
type codec[T any] struct{ word string }

func newCodec[T any]() codec[T] { return codec[T]{typeWord(reflect.TypeFor[T]())} }

// encode returns the bytes of v. The error is [queue.ErrEncode], also when the type's own
// encoder panics, or [queue.ErrTooLarge] above [queue.MaxMessage].
func (c codec[T]) encode(v T) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			data, err = nil, fmt.Errorf("%w: a %T: panic: %v", queue.ErrEncode, v, p)
		}
	}()
	body, err := queue.Msgpack.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: a %T: %w; export its fields or choose another type", queue.ErrEncode, v, err)
	}
	if n := len(c.word) + len(body); n > queue.MaxMessage {
		return nil, fmt.Errorf("%w: a %T of %d bytes; at most %d are shared in one piece", queue.ErrTooLarge, v, n, queue.MaxMessage)
	}
	return append([]byte(c.word), body...), nil
}

// decode is the reverse. The error is [ErrMismatch] if the bytes were encoded from another
// type, else [queue.ErrDecode]. What comes from Redis is not trusted.
func (c codec[T]) decode(data string) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: into a %T: panic: %v", queue.ErrDecode, v, p)
		}
	}()
	body, ok := strings.CutPrefix(data, c.word)
	if !ok {
		return v, fmt.Errorf("%w: what is there was written as %s, and is read as %T", ErrMismatch, wordName(data), v)
	}
	if len(body) > queue.MaxMessage {
		return v, fmt.Errorf("%w: into a %T: %w: %d bytes", queue.ErrDecode, v, queue.ErrTooLarge, len(body))
	}
	if err := queue.Msgpack.Unmarshal([]byte(body), &v); err != nil {
		var none T
		return none, fmt.Errorf("%w: into a %T: %w", queue.ErrDecode, v, err)
	}
	return v, nil
}

// typeWords are a letter each; those of numbers are Python's.
var typeWords = map[reflect.Kind]string{
	reflect.Bool: "?",
	reflect.Int8: "b", reflect.Int16: "h", reflect.Int32: "i", reflect.Int64: "q", reflect.Int: "q",
	reflect.Uint8: "B", reflect.Uint16: "H", reflect.Uint32: "I", reflect.Uint64: "Q", reflect.Uint: "Q",
	reflect.Float32: "f", reflect.Float64: "d", reflect.String: "s",
}

// typeWord is the word for a type: what msgpack makes of it, and no more, since two
// programs may know a struct by different names and with fields added. No word is the
// beginning of another.
func typeWord(t reflect.Type) string { return word(t, 8) }

func word(t reflect.Type, depth int) string {
	if depth == 0 { // it may be recursive
		return "a"
	}
	if t.Kind() != reflect.Interface && encodesItself(t) {
		return "x"
	}
	if w := typeWords[t.Kind()]; w != "" {
		return w
	}
	switch t.Kind() {
	case reflect.Struct:
		return "S"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "y" // bytes
		}
		return "[" + word(t.Elem(), depth-1)
	case reflect.Map:
		return "{" + word(t.Key(), depth-1) + word(t.Elem(), depth-1)
	case reflect.Pointer:
		return "*" + word(t.Elem(), depth-1)
	}
	return "a"
}

// encodesItself reports whether the type has a form of its own.
func encodesItself(t reflect.Type) bool {
	for _, name := range [...]string{"EncodeMsgpack", "MarshalMsgpack", "MarshalBinary", "MarshalText"} {
		for _, t := range [...]reflect.Type{t, reflect.PointerTo(t)} {
			if _, ok := t.MethodByName(name); ok {
				return true
			}
		}
	}
	return false
}

// wordName says to a person what a word means that data begins with.
func wordName(data string) string {
	if data == "" {
		return "nothing"
	}
	for kind, w := range typeWords {
		if data[:1] == w {
			return kind.String()
		}
	}
	switch data[0] {
	case 'S':
		return "a struct"
	case 'y':
		return "bytes"
	case '[':
		return "a slice of " + wordName(data[1:])
	case '{':
		return "a map"
	case '*':
		return "a pointer to " + wordName(data[1:])
	case 'x':
		return "a type with a form of its own"
	case 'a':
		return "an interface"
	}
	return "something else"
}
