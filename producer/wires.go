package producer

import "sync"

// Messages that are long enough for it are written into memory that is used again when
// they have left: made anew each time, it would cost more than to fill it.
const (
	leastWire = 1 << 10
	mostWire  = 256 << 10
)

var wires sync.Pool // of *[]byte

// newWire returns an empty slice with room for n bytes.
func newWire(n int) []byte {
	if n >= leastWire && n <= mostWire {
		if b, _ := wires.Get().(*[]byte); b != nil && cap(*b) >= n {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, n)
}

// dropWire takes back what newWire gave. Nobody may look at it any more.
func dropWire(b []byte) {
	if cap(b) >= leastWire && cap(b) <= mostWire {
		kept := b // b itself would be made on the heap, pooled or not
		wires.Put(&kept)
	}
}
