package queue_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/cenote-go/cenote/queue"
)

// hostile are inputs that a trusting decoder allocates gigabytes for, recurses
// into without end, or reads past.
var hostile = map[string]string{
	"array of 2 thousand million":         "dd7fffffff",
	"array of 4 thousand million":         "ddffffffff",
	"map of 2 thousand million":           "df7fffffff",
	"map of 4 thousand million":           "dfffffffff",
	"array in an array, both huge":        "dd00000001dd7fffffff",
	"array of 65535":                      "dcffff",
	"map whose doubled length overflows":  "df80000000",
	"bytes of 4 GiB":                      "c6ffffffff",
	"text of 4 GiB":                       "dbffffffff",
	"extension of 4 GiB":                  "c9ffffffff00",
	"one element too few":                 "93c0c0",
	"map without its last value":          "82a16101a162",
	"nothing":                             "",
	"length cut off":                      "dd0000",
	"length of one byte cut off":          "c4",
	"text cut off":                        "a36162",
	"float cut off":                       "cb0000",
	"fixext cut off":                      "d80000",
	"extension without its type":          "c700",
	"the byte that begins no value":       "c1",
	"the byte that begins no value, deep": "9192c1c0",
	"two values":                          "c0c0",
	"a value and a cut one":               "c0dd",
	"nested 65 deep":                      strings.Repeat("91", 65) + "c0",
	"nested a million deep":               strings.Repeat("91", 1<<20),
	"maps nested a million deep":          strings.Repeat("81c0", 1<<19),
}

func TestGuardRefusesHostileInput(t *testing.T) {
	for name, in := range hostile {
		t.Run(name, func(t *testing.T) {
			data := unhex(t, in)
			if err := queue.Guard(data); !errors.Is(err, queue.ErrMalformed) {
				t.Errorf("Guard says %v, want ErrMalformed", err)
			}
			var v any
			if err := queue.Msgpack.Unmarshal(data, &v); !errors.Is(err, queue.ErrMalformed) {
				t.Errorf("the codec says %v, want ErrMalformed before it decodes", err)
			}
		})
	}
}

func TestRefusingHostileInputAllocatesNoMoreThanTheInput(t *testing.T) {
	for name, in := range hostile {
		t.Run(name, func(t *testing.T) {
			data := unhex(t, in)
			wire := append([]byte{1}, data...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = queue.Guard(data)
			_, _ = queue.ParseMessage(wire)
			_, _ = queue.ParseOutcome(wire)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10+uint64(len(data)) {
				t.Errorf("%d bytes of input cost %d bytes of memory", len(data), n)
			}
		})
	}
}

func TestGuardAllocatesNothing(t *testing.T) {
	data, err := msgpack.Marshal(map[string]any{"a": []int{1, 2, 3}, "b": strings.Repeat("x", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = queue.Guard(data) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestGuardDepth(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{queue.MaxDepth, true}, {queue.MaxDepth + 1, false}} {
		data := append(bytes.Repeat([]byte{0x91}, c.depth), 0xc0)
		if err := queue.Guard(data); (err == nil) != c.ok {
			t.Errorf("%d deep: %v", c.depth, err)
		}
	}
	// Depth is what is open at once, not what was ever opened.
	flat := append([]byte{0xdc, 0x03, 0xe8}, bytes.Repeat([]byte{0x91, 0xc0}, 1000)...)
	if err := queue.Guard(flat); err != nil {
		t.Errorf("a thousand arrays side by side: %v", err)
	}
	empty := append(bytes.Repeat([]byte{0x91}, queue.MaxDepth), 0x90) // an empty array opens nothing
	if err := queue.Guard(empty); err != nil {
		t.Errorf("an empty array in the deepest place: %v", err)
	}
}

// TestGuardKnowsEveryFirstByte compares the verdicts on the 256 first bytes, each
// with as many zero bytes behind it as make a value.
func TestGuardKnowsEveryFirstByte(t *testing.T) {
	for c := range 256 {
		t.Run(fmt.Sprintf("%02x", c), func(t *testing.T) {
			// Zero is a length, a type, an integer, an element: some number of them completes
			// every value.
			complete := 0
			for n := range 64 {
				data := append([]byte{byte(c)}, make([]byte, n)...)
				if queue.Guard(data) == nil {
					complete++
					libraryReadsAll(t, data)
				}
			}
			want := 1
			if c == 0xc1 {
				want = 0
			}
			if complete != want {
				t.Errorf("%d lengths make a whole value of it, want %d", complete, want)
			}
		})
	}
}

// libraryReadsAll checks that data is one value to the msgpack library, too.
func libraryReadsAll(t *testing.T, data []byte) {
	t.Helper()
	r := bytes.NewReader(data)
	if err := msgpack.NewDecoder(r).Skip(); err != nil || r.Len() > 0 {
		t.Errorf("Guard takes %x, the library leaves %d bytes: %v", data, r.Len(), err)
	}
}

func TestGuardTakesWhatTheLibraryWrites(t *testing.T) {
	long := make([]int, 70_000)
	table := map[int]string{}
	for i := range 70_000 {
		long[i] = i
		table[i] = "v"
	}
	for name, v := range map[string]any{
		"nil": nil, "bool": true, "zero": 0, "min": math.MinInt64, "max": uint64(math.MaxUint64),
		"float32": float32(1.5), "float64": math.Inf(-1), "NaN": math.NaN(),
		"text": "añ", "text of 40": strings.Repeat("x", 40), "text of 300": strings.Repeat("x", 300), "text of 70000": strings.Repeat("x", 70_000),
		"bytes": []byte{1}, "bytes of 300": make([]byte, 300), "bytes of 70000": make([]byte, 70_000),
		"time": time.Unix(1, 2), "far time": time.Unix(1<<40, 999), "array": []any{1, "a", nil, []any{}},
		"long array": long, "long map": table, "struct": struct {
			A int
			B map[string][]byte
		}{1, map[string][]byte{"x": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := msgpack.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := queue.Guard(data); err != nil {
				t.Errorf("Guard refuses %.40s...: %v", hex.EncodeToString(data), err)
			}
			for cut := 1; cut <= min(len(data), 50); cut++ {
				if err := queue.Guard(data[:len(data)-cut]); !errors.Is(err, queue.ErrMalformed) {
					t.Fatalf("with %d bytes cut off the end Guard says %v", cut, err)
				}
			}
			if err := queue.Guard(append(data, 0xc0)); !errors.Is(err, queue.ErrMalformed) {
				t.Errorf("with a byte after the end Guard says %v", err)
			}
		})
	}
}
