package queue

import (
	"encoding/binary"
	"math"
	"slices"
)

// Numbers, booleans, strings, bytes and nothing at all are written and read by hand when the codec is
// [Msgpack], since a Map of short tasks spends more on its codec than on anything
// else. The bytes are those that the codec makes.

// encodeOf is encode for a value whose type is known: it adds it to b.
func encodeOf[T any](b []byte, c Codec, what string, v *T) ([]byte, error) {
	if _, ok := c.(msgpackCodec); ok {
		if b, ok := appendPlain(b, v); ok {
			return b, nil
		}
	}
	data, err := encode(c, what, *v)
	if b == nil {
		return data, err
	}
	return append(b, data...), err
}

// decodeOf is decode for a value whose type is known.
func decodeOf[T any](c Codec, what string, data []byte) (T, error) {
	var v T
	if _, ok := c.(msgpackCodec); ok && readPlain(data, &v) {
		return v, nil
	}
	return decodeAny[T](c, what, data)
}

// decodeAny stands apart so that v above need not be allocated.
func decodeAny[T any](c Codec, what string, data []byte) (T, error) {
	var v T
	err := decode(c, what, data, &v)
	return v, err
}

// appendPlain adds what v points to, if that is one of the types known here.
func appendPlain(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *int:
		return appendInt(b, int64(*v)), true
	case *float64:
		return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(*v)), true
	case *bool:
		if *v {
			return append(b, 0xc3), true
		}
		return append(b, 0xc2), true
	case *string:
		return appendStr(slices.Grow(b, 5+len(*v)), *v), true
	case *[]byte:
		if *v == nil {
			return append(b, 0xc0), true
		}
		return appendBin(slices.Grow(b, 5+len(*v)), *v), true
	case *struct{}:
		return b, true
	}
	return b, false
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v)) //nolint:gosec // a negative fixint is its lowest byte
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v)) //nolint:gosec // two's complement
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v)) //nolint:gosec // two's complement
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v)) //nolint:gosec // two's complement
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v)) //nolint:gosec // two's complement
}

// readPlain stores what data holds in v, if both are of the types known here. What
// it does not understand it leaves to the codec, which has the words for it.
func readPlain(data []byte, v any) bool {
	switch v := v.(type) {
	case *int:
		return readInt(data, v)
	case *float64:
		if len(data) != 9 || data[0] != 0xcb {
			return false
		}
		*v = math.Float64frombits(binary.BigEndian.Uint64(data[1:]))
		return true
	case *bool:
		if len(data) != 1 || data[0] != 0xc2 && data[0] != 0xc3 {
			return false
		}
		*v = data[0] == 0xc3
		return true
	case *string:
		body, ok := readBody(data)
		if ok {
			*v = string(body)
		}
		return ok
	case *[]byte:
		body, ok := readBody(data)
		if ok {
			*v = append(make([]byte, 0, len(body)), body...) // never nil
		}
		return ok
	case *struct{}:
		return len(data) == 0
	}
	return false
}

// readBody returns what data holds if that is a string or bytes, and nothing else. To
// the codec they are the same.
func readBody(data []byte) ([]byte, bool) {
	if len(data) == 0 || !isStr(data[0]) && !isBin(data[0]) {
		return nil, false
	}
	head, body, _, err := span(data, 0)
	if err != nil || uint64(len(data)-head) != body {
		return nil, false
	}
	return data[head:], true
}

func readInt(data []byte, v *int) bool {
	if len(data) == 0 {
		return false
	}
	c, body := data[0], data[1:]
	var n int64
	switch {
	case len(body) == 0 && (c <= 0x7f || c >= 0xe0):
		n = int64(int8(c)) //nolint:gosec // a fixint is its lowest byte
	case len(body) == 1 && c == 0xcc:
		n = int64(body[0])
	case len(body) == 2 && c == 0xcd:
		n = int64(binary.BigEndian.Uint16(body))
	case len(body) == 4 && c == 0xce:
		n = int64(binary.BigEndian.Uint32(body))
	default:
		return false
	}
	if n != int64(int(n)) {
		return false // too large for this machine
	}
	*v = int(n)
	return true
}
