package queue

import (
	"encoding/binary"
	"fmt"
)

// The bounds that [Guard] sets on what is decoded.
const (
	// MaxMessage is the largest message, payload or value in bytes that Cenote
	// accepts from the wire unless told otherwise.
	MaxMessage = 1 << 20
	// MaxDepth is how deep arrays and maps may nest.
	MaxDepth = 64
)

// Guard checks that data is exactly one well-formed msgpack value that is safe
// to decode: no nesting beyond [MaxDepth], no declared length beyond the bytes
// that are there, nothing after the value.
//
// A decoder that trusts declared lengths can be made to allocate gigabytes by
// five bytes, which no recover catches; so nothing from the wire is decoded
// before Guard has read it. Guard allocates nothing and its time is linear in
// len(data).
func Guard(data []byte) error {
	var left [MaxDepth]uint64 // elements still to come, a level each
	depth := 0
	pos := 0
	for {
		head, body, elements, err := span(data, pos)
		if err != nil {
			return err
		}
		pos += head
		if uint64(len(data)-pos) < body {
			return fmt.Errorf("%w: byte %d declares %d bytes, %d are left", ErrMalformed, pos-head, body, len(data)-pos)
		}
		pos += int(body)
		if elements > 0 {
			if elements > uint64(len(data)-pos) { // every element is at least a byte
				return fmt.Errorf("%w: byte %d declares %d elements, %d bytes are left", ErrMalformed, pos-head, elements, len(data)-pos)
			}
			if depth == MaxDepth {
				return fmt.Errorf("%w: nested deeper than %d", ErrMalformed, MaxDepth)
			}
			left[depth] = elements
			depth++
			continue
		}
		for depth > 0 {
			left[depth-1]--
			if left[depth-1] > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			break
		}
	}
	if pos != len(data) {
		return fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(data)-pos)
	}
	return nil
}

// span reads the head of the value at data[pos:]: the length of the head itself,
// of the body that follows it, and the number of values nested in it.
func span(data []byte, pos int) (head int, body, elements uint64, err error) {
	if pos >= len(data) {
		return 0, 0, 0, fmt.Errorf("%w: ends at byte %d, where a value should be", ErrMalformed, pos)
	}
	c := data[pos]
	switch {
	case c <= 0x7f || c >= 0xe0: // fixint
		return 1, 0, 0, nil
	case c <= 0x8f: // fixmap
		return 1, 0, 2 * uint64(c&0x0f), nil
	case c <= 0x9f: // fixarray
		return 1, 0, uint64(c & 0x0f), nil
	case c <= 0xbf: // fixstr
		return 1, uint64(c & 0x1f), 0, nil
	}
	k := kinds[c-0xc0]
	if k.bad {
		return 0, 0, 0, fmt.Errorf("%w: byte %d is 0x%02x, which begins no value", ErrMalformed, pos, c)
	}
	if k.width == 0 {
		return 1, k.fixed, 0, nil
	}
	if len(data)-pos-1 < k.width {
		return 0, 0, 0, fmt.Errorf("%w: ends inside the length at byte %d", ErrMalformed, pos)
	}
	var n uint64
	switch k.width {
	case 1:
		n = uint64(data[pos+1])
	case 2:
		n = uint64(binary.BigEndian.Uint16(data[pos+1:]))
	case 4:
		n = uint64(binary.BigEndian.Uint32(data[pos+1:]))
	}
	return 1 + k.width, k.fixed + n*k.bytes, n * k.elements, nil
}

// kind says how a value that begins with one of the bytes 0xc0 to 0xdf goes on:
// a length of width bytes, fixed bytes, and for each unit of the length some
// bytes or some elements.
type kind struct {
	width           int
	fixed           uint64
	bytes, elements uint64
	bad             bool
}

var kinds = [32]kind{
	0x00: {},           // nil
	0x01: {bad: true},  // never used
	0x02: {}, 0x03: {}, // false, true
	0x04: {width: 1, bytes: 1},           // bin 8
	0x05: {width: 2, bytes: 1},           // bin 16
	0x06: {width: 4, bytes: 1},           // bin 32
	0x07: {width: 1, fixed: 1, bytes: 1}, // ext 8
	0x08: {width: 2, fixed: 1, bytes: 1}, // ext 16
	0x09: {width: 4, fixed: 1, bytes: 1}, // ext 32
	0x0a: {fixed: 4}, 0x0b: {fixed: 8},   // float
	0x0c: {fixed: 1}, 0x0d: {fixed: 2}, 0x0e: {fixed: 4}, 0x0f: {fixed: 8}, // uint
	0x10: {fixed: 1}, 0x11: {fixed: 2}, 0x12: {fixed: 4}, 0x13: {fixed: 8}, // int
	0x14: {fixed: 2}, 0x15: {fixed: 3}, 0x16: {fixed: 5}, 0x17: {fixed: 9}, 0x18: {fixed: 17}, // fixext
	0x19: {width: 1, bytes: 1},    // str 8
	0x1a: {width: 2, bytes: 1},    // str 16
	0x1b: {width: 4, bytes: 1},    // str 32
	0x1c: {width: 2, elements: 1}, // array 16
	0x1d: {width: 4, elements: 1}, // array 32
	0x1e: {width: 2, elements: 2}, // map 16
	0x1f: {width: 4, elements: 2}, // map 32
}
