package queue

import (
	"encoding/binary"
	"math"
	"slices"
)

// Whole numbers in a row are written and read in one loop that knows their type: a
// Map of them spends about as much on each as on a look at its type. The bytes are
// those that [appendItem] and the codec make.

// appendRow adds the arguments of a chunk to its payload, if they are of the type
// known here and the payload stays small enough for certain.
func appendRow(b []byte, c Codec, vs any) ([]byte, bool) {
	ints, ok := vs.([]int)
	if _, plain := c.(msgpackCodec); !ok || !plain {
		return b, false
	}
	largest := uint64(0)
	for _, v := range ints {
		largest = max(largest, uint64(v)) //nolint:gosec // a negative one counts as large
	}
	most := mostItem
	if largest <= math.MaxUint32 {
		most = 7
	}
	if most*len(ints) > maxChunkBytes {
		return b, false
	}
	return appendInts(slices.Grow(b, most*len(ints)+mostItem), ints...), true
}

// appendInts adds numbers as items.
func appendInts(b []byte, ints ...int) []byte {
	for _, v := range ints {
		at := len(b)
		if cap(b)-at < mostItem {
			b = slices.Grow(b, mostItem)
		}
		b = b[:at+putInt(b[at:at+mostItem], v)]
	}
	return b
}

// mostItem is what a number takes at most as an item.
const mostItem = 11

// putInt writes v as an item at the front of b, which has room for mostItem.
func putInt(b []byte, v int) int {
	_ = b[mostItem-1]
	b[0] = 0xc4
	switch u := uint64(v); { //nolint:gosec // a negative one is large
	case u < 0x80:
		b[1], b[2] = 1, byte(u)
		return 3
	case u > math.MaxUint16 && u <= math.MaxUint32:
		b[1], b[2] = 5, 0xce
		binary.BigEndian.PutUint32(b[3:], uint32(u))
		return 7
	}
	n := len(appendInt(b[:2], int64(v)))
	b[1] = byte(n - 2)
	return n
}

// row reads values that stand in a row, as many as are of the type known here, and
// returns how many those were. outs has room for all that may come.
func (r *reader) row(c Codec, outs any) int {
	ints, ok := outs.([]int)
	if _, plain := c.(msgpackCodec); !ok || !plain || r.err != nil {
		return 0
	}
	data := r.data
	for i := range ints {
		if len(data) >= 7 && data[0] == 0xc4 && data[1] == 5 && data[2] == 0xce {
			if v := int(binary.BigEndian.Uint32(data[3:])); v >= 0 { // else too large for this machine
				ints[i] = v
				data = data[7:]
				continue
			}
		}
		n := shortBin(data)
		if n == 0 || !readInt(data[2:n], &ints[i]) {
			r.data = data
			return i
		}
		data = data[n:]
	}
	r.data = data
	return len(ints)
}
