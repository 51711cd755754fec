package queue

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The envelope of messages and outcomes is written and read by hand: it is a
// handful of shapes, it is on the path of every task, and a reader that only
// slices what is there needs no trust in what it reads. Payloads go through a
// [Codec].

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
}

func appendMap(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x80|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n))
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendStr(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBin(b, v []byte) []byte {
	switch n := len(v); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

// reader takes values off the front of data. The first failure sticks, so a
// decoder reads all its fields and looks at err once.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail(want string) {
	if r.err == nil {
		if len(r.data) == 0 {
			r.err = fmt.Errorf("%w: ends where %s should be", ErrMalformed, want)
		} else {
			r.err = fmt.Errorf("%w: 0x%02x where %s should be", ErrMalformed, r.data[0], want)
		}
	}
	r.data = nil
}

// take reads the head of the next value and returns its body.
func (r *reader) take(want string, ok func(c byte) bool) []byte {
	if r.err != nil {
		return nil
	}
	if len(r.data) == 0 || !ok(r.data[0]) {
		r.fail(want)
		return nil
	}
	head, body, _, err := span(r.data, 0)
	if err == nil && uint64(len(r.data)-head) < body {
		err = fmt.Errorf("%w: %s declares %d bytes, %d are left", ErrMalformed, want, body, len(r.data)-head)
	}
	if err != nil {
		r.err, r.data = err, nil
		return nil
	}
	v := r.data[head : head+int(body) : head+int(body)]
	r.data = r.data[head+int(body):]
	return v
}

// nilled consumes a nil, which stands for the zero value of any field.
func (r *reader) nilled() bool {
	if r.err == nil && len(r.data) > 0 && r.data[0] == 0xc0 {
		r.data = r.data[1:]
		return true
	}
	return false
}

func isStr(c byte) bool { return c&0xe0 == 0xa0 || c >= 0xd9 && c <= 0xdb }
func isBin(c byte) bool { return c >= 0xc4 && c <= 0xc6 }

func (r *reader) str(want string) string { return r.strLike(want, "") }

// strLike is str for what may well be like: then it needs no memory.
func (r *reader) strLike(want, like string) string {
	if r.nilled() {
		return ""
	}
	b := r.take(want, isStr)
	if string(b) == like {
		return like
	}
	return string(b)
}

// shortBin is how many bytes the bin takes with which data begins, 0 if it begins with
// no short one.
func shortBin(data []byte) int {
	if len(data) < 2 || data[0] != 0xc4 || 2+int(data[1]) > len(data) {
		return 0
	}
	return 2 + int(data[1])
}

// bin returns a slice of the data it reads from, not a copy.
func (r *reader) bin(want string) []byte {
	if n := shortBin(r.data); n > 0 { // most are
		v := r.data[2:n:n]
		r.data = r.data[n:]
		return v
	}
	if r.nilled() {
		return nil
	}
	return r.take(want, isBin)
}

func (r *reader) uint(want string) uint64 {
	if r.nilled() {
		return 0
	}
	if r.err != nil {
		return 0
	}
	if len(r.data) > 0 && r.data[0] < 0x80 {
		v := r.data[0]
		r.data = r.data[1:]
		return uint64(v)
	}
	// Writers in other languages may pick a signed form for a positive number.
	neg := len(r.data) > 0 && r.data[0] >= 0xd0
	body := r.take(want, func(c byte) bool { return c >= 0xcc && c <= 0xd3 })
	var v uint64
	for _, c := range body {
		v = v<<8 | uint64(c)
	}
	if neg && len(body) > 0 && body[0]&0x80 != 0 || v > math.MaxInt64 {
		r.fail(want + " of at least 0")
		return 0
	}
	return v
}

// length reads the head of an array or a map and returns its number of elements.
func (r *reader) length(want string, fix, wide byte) int {
	if r.err != nil {
		return 0
	}
	if len(r.data) > 0 && r.data[0]&0xf0 == fix {
		n := int(r.data[0] & 0x0f)
		r.data = r.data[1:]
		return n
	}
	if len(r.data) >= 3 && r.data[0] == wide {
		n := int(binary.BigEndian.Uint16(r.data[1:]))
		r.data = r.data[3:]
		if n > len(r.data) { // every element is at least a byte
			r.fail(want)
			return 0
		}
		return n
	}
	r.fail(want)
	return 0
}

func (r *reader) array(want string) int  { return r.length(want, 0x90, 0xdc) }
func (r *reader) mapLen(want string) int { return r.length(want, 0x80, 0xde) }

// skip passes over n whole values, fields that a newer writer added.
func (r *reader) skip(n int) {
	for ; n > 0 && r.err == nil; n-- {
		head, body, elements, err := span(r.data, 0)
		if err == nil && (uint64(len(r.data)-head) < body || elements > uint64(len(r.data))) {
			err = fmt.Errorf("%w: a field declares more than is there", ErrMalformed)
		}
		if err != nil {
			r.err, r.data = err, nil
			return
		}
		r.data = r.data[head+int(body):]
		n += int(elements)
	}
}

// end fails if anything is left.
func (r *reader) end() error {
	if r.err == nil && len(r.data) > 0 {
		r.err = fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(r.data))
	}
	return r.err
}
