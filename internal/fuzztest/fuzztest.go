// Package fuzztest is what the fuzz targets share: hostile inputs that are made from good
// ones, the same each time, and a bound on memory.
package fuzztest

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"runtime"
	"testing"
)

// mutants is how many inputs are made of the seeds of a target. They are seeds as well:
// a plain "go test" runs them all. Fuzzing goes on from the first few of them: it begins
// by measuring each, which is slow, and finds the others by itself.
const (
	mutants       = 500
	mutantsToFuzz = 30
)

func howMany() int {
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		return mutantsToFuzz
	}
	return mutants
}

// Seeds adds seeds to a target, and what becomes of them when bytes are changed, cut out,
// doubled and exchanged.
func Seeds(f *testing.F, seeds ...[]byte) {
	f.Helper()
	for _, s := range seeds {
		f.Add(s)
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for range howMany() {
		data := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range 1 + r.IntN(4) {
			data = mutate(r, data, seeds)
		}
		f.Add(data)
	}
}

// telling are bytes that begin something, or say how long it is.
var telling = []byte{0, 1, 2, 3, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xca, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff}

func mutate(r *rand.Rand, data []byte, seeds [][]byte) []byte {
	if len(data) == 0 {
		return append(data, telling[r.IntN(len(telling))])
	}
	at := r.IntN(len(data))
	switch r.IntN(7) {
	case 0: // a bit
		data[at] ^= 1 << r.IntN(8)
	case 1:
		data[at] = telling[r.IntN(len(telling))]
	case 2: // a length
		for i := at; i < min(at+4, len(data)); i++ {
			data[i] = 0xff
		}
	case 3: // the end is missing
		data = data[:at]
	case 4: // a piece is missing
		end := min(at+1+r.IntN(8), len(data))
		data = append(data[:at:at], data[end:]...)
	case 5: // a piece is there often
		end := min(at+1+r.IntN(16), len(data))
		piece := bytes.Repeat(data[at:end], 1+r.IntN(64))
		data = append(append(data[:at:at], piece...), data[at:]...)
	case 6: // the rest is another's
		other := seeds[r.IntN(len(seeds))]
		data = append(data[:at:at], other[min(at, len(other)):]...)
	}
	return data
}

// Frugal fails if do, which reads so many bytes, allocates more than that many times the
// bytes and 64 KiB.
func Frugal(t *testing.T, bytes, times int, do func()) {
	t.Helper()
	most := uint64(times)*uint64(bytes) + 64<<10 //nolint:gosec // not negative
	var least uint64
	for try := range 3 { // others allocate meanwhile: what counts is the least of some
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; try == 0 || n < least {
			least = n
		}
		if least <= most {
			return
		}
	}
	t.Errorf("%d bytes of input cost %d bytes of memory; the bound is %d", bytes, least, most)
}
