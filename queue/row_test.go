package queue

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// rowOf are numbers at whose edges the form on the wire changes.
var rowOf = []int{
	0, 1, 127, 128, 255, 256, 65535, 65536, 70000, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
	-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64,
}

// TestARowIsItsItems holds what is written and read by the row against what is by
// the item.
func TestARowIsItsItems(t *testing.T) {
	for from := range rowOf {
		for to := from; to <= len(rowOf); to++ {
			ints := rowOf[from:to]
			var want []byte
			for i := range ints {
				want, _ = appendItem(want, Msgpack, "argument", &ints[i])
			}
			got, ok := appendRow(nil, Msgpack, ints)
			if !ok || !bytes.Equal(got, want) {
				t.Fatalf("%v is written as %x, by the item as %x", ints, got, want)
			}
			back := make([]int, len(ints))
			r := &reader{data: got}
			for i := 0; i < len(ints); i++ {
				if i += r.row(Msgpack, back[i:]); i < len(ints) { // the codec reads the longest
					back[i], _ = decodeOf[int](Msgpack, "value", r.item().value)
				}
			}
			if r.end() != nil || !slices.Equal(back, ints) {
				t.Fatalf("%v comes back as %v, %d bytes left", ints, back, len(r.data))
			}
		}
	}
	if _, ok := appendRow(nil, JSON, []int{1}); ok {
		t.Error("a row in another codec's form")
	}
	if _, ok := appendRow(nil, Msgpack, []string{"x"}); ok {
		t.Error("a row of another type")
	}
	if _, ok := appendRow(nil, Msgpack, make([]int, maxChunkBytes)); ok {
		t.Error("a row that is larger than a message")
	}
}

// TestARowEndsAtWhatIsNoneOfIt: what it leaves is read by the item, which knows more
// forms and has words for what is none.
func TestARowEndsAtWhatIsNoneOfIt(t *testing.T) {
	two, _ := appendRow(nil, Msgpack, []int{7, 70000})
	for name, rest := range map[string][]byte{
		"nothing":          nil,
		"an error":         appendError(nil, &TaskError{Kind: "panic"}),
		"a string":         {0xc4, 2, 0xa1, 'x'},
		"a signed form":    {0xc4, 5, 0xd2, 0, 0, 0, 1},
		"a long bin":       {0xc5, 0, 1, 1},
		"one cut short":    {0xc4, 5, 0xce, 0, 0, 0},
		"half of a number": {0xc4, 3, 0xce, 0, 0},
		"no bin":           {0xce, 0, 0, 0, 1},
	} {
		r := &reader{data: append(slices.Clone(two), rest...)}
		got := []int{-1, -1, -1}
		if n := r.row(Msgpack, got); n != 2 || !slices.Equal(got, []int{7, 70000, -1}) || !bytes.Equal(r.data, rest) {
			t.Errorf("%s: %d read, %v, %x left", name, n, got, r.data)
		}
	}
}

// TestItemsInARowAreAsOneByOne runs chunks with all that may happen to an item, as a
// row and one after the other, as they are behind a middleware.
func TestItemsInARowAreAsOneByOne(t *testing.T) {
	task := NewTask[string, string]("rows", Retries(1))
	run := func(mw ...Middleware) (results []chunkItem, calls map[string]int) {
		calls = map[string]int{}
		mux, err := NewMux([]Route{task.Handler(func(_ context.Context, in string) (string, error) {
			switch calls[in]++; {
			case in == "panics":
				panic("boom")
			case in == "fails":
				return "", errors.New("no")
			case in == "fails once" && calls[in] == 1:
				return "", RetryAfter(0, errors.New("not yet"))
			case in == "gives up":
				return "", NoRetry(errors.New("never"))
			case in == "grows":
				return strings.Repeat("x", 300), nil
			}
			return in + "!", nil
		})}, mw...)
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{Type: "rows", Retries: 1, Backoff: Backoff{Base: 1, Max: 1}}
		for _, in := range []string{"a", "panics", "b", "fails", "grows", "fails once", "", strings.Repeat("y", 300), "gives up", "c"} {
			m.Payload, _ = appendItem(m.Payload, Msgpack, "argument", &in)
			m.Items++
		}
		m.Payload = appendBin(m.Payload, []byte{0xc1}) // no string
		m.Items++
		value, err := mux.Handle(WithRunning(t.Context(), Running{Attempt: 1, Token: 1}, nil), m)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{data: value}
		r.took()
		for range m.Items {
			it := r.item()
			if it.err != nil {
				it.err.Stack = "" // of a panic: it tells the two ways apart
			}
			results = append(results, it)
		}
		if r.end() != nil {
			t.Fatal(r.err)
		}
		return results, calls
	}
	row, rowCalls := run()
	each, eachCalls := run(func(h Handler) Handler { return HandlerFunc(h.Handle) })
	for i := range row {
		a, b := row[i], each[i]
		same := bytes.Equal(a.value, b.value) && (a.err == nil) == (b.err == nil)
		if same && a.err != nil {
			same = a.err.Kind == b.err.Kind && a.err.Message == b.err.Message
		}
		if !same {
			t.Errorf("item %d: %+v in a row, %+v alone", i, a, b)
		}
	}
	for in, n := range eachCalls {
		if rowCalls[in] != n {
			t.Errorf("%q ran %d times in a row, %d alone", in, rowCalls[in], n)
		}
	}
	if n := rowCalls["fails once"]; n != 2 {
		t.Errorf("what fails once ran %d times", n)
	}
}

func TestALineIsTakenInAnyPieces(t *testing.T) {
	for size := 1; size < 12; size++ {
		var l line[int]
		l.join([]int{0, 1, 2})
		l.join(nil)
		l.join([]int{3})
		l.join([]int{4, 5, 6, 7})
		l.add(8, 1)
		l.add(9, 1)
		var got []int
		for l.n > 0 {
			ins := l.take(min(size, l.n))
			if len(ins) != cap(ins) && len(ins) > 0 {
				ins = append(ins, -1)[:len(ins)] // must not reach what is left
			}
			got = append(got, ins...)
		}
		if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("by %d: %v", size, got)
		}
		if l.add(10, 4); !slices.Equal(l.take(1), []int{10}) {
			t.Error("a line that was empty")
		}
	}
}
