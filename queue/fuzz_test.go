package queue_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/cenote-go/cenote/internal/fuzztest"
	"github.com/cenote-go/cenote/queue"
)

// seed adds the hostile inputs and the golden vectors, with and without a version
// byte in front, and those of the target.
func seed(f *testing.F, more ...[]byte) {
	f.Helper()
	seeds := more
	for _, in := range hostile {
		data, err := hex.DecodeString(in)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) > 1<<10 {
			data = data[:1<<10]
		}
		seeds = append(seeds, data, append([]byte{1}, data...))
	}
	for _, file := range []string{"messages.json", "messages_read.json", "outcomes.json", "refused.json"} {
		data, err := os.ReadFile("testdata/wire/" + file)
		if err != nil {
			f.Fatal(err)
		}
		var vs []struct{ Hex string }
		if err := json.Unmarshal(data, &vs); err != nil {
			f.Fatal(err)
		}
		for _, v := range vs {
			wire, err := hex.DecodeString(v.Hex)
			if err != nil {
				f.Fatal(err)
			}
			seeds = append(seeds, wire)
		}
	}
	sortBytes(seeds) // hostile is a map: the mutants are to be the same each time
	fuzztest.Seeds(f, seeds...)
}

func sortBytes(all [][]byte) { slices.SortFunc(all, bytes.Compare) }

// frugal fails if do, which reads data, allocates more than 8 times its length and 64 KiB.
func frugal(t *testing.T, data []byte, do func()) {
	t.Helper()
	fuzztest.Frugal(t, len(data), 8, do)
}

func FuzzGuard(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		frugal(t, data, func() { err = queue.Guard(data) })
		if err != nil {
			return
		}
		// What Guard takes, the library reads to its end: there is no second value.
		libraryReadsAll(t, data)
		// Into any, an element of a byte becomes an interface of 16 in a slice that has
		// grown to it, or a map. Guard cannot tell a hostile document of many small maps from
		// an honest one: SECURITY.md gives the bound.
		fuzztest.Frugal(t, len(data), 200, func() {
			var v any
			_ = queue.Msgpack.Unmarshal(data, &v)
		})
	})
}

func FuzzParseMessage(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *queue.Message
		var err error
		frugal(t, data, func() { m, err = queue.ParseMessage(data) })
		if err != nil {
			return
		}
		again, err := queue.ParseMessage(m.AppendWire(nil))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if len(m.Payload) == 0 {
			m.Payload, again.Payload = nil, nil
		}
		if len(m.Then) == 0 { // likewise
			m.Then, again.Then = nil, nil
		}
		if m.Sealed != nil { // of fields that this program does not know
			m.Sealed.Clear, again.Sealed.Clear = nil, nil
		}
		if !reflect.DeepEqual(m, again) {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}

func FuzzParseOutcome(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var o *queue.Outcome
		var err error
		frugal(t, data, func() { o, err = queue.ParseOutcome(data) })
		if err != nil {
			return
		}
		again, err := queue.ParseOutcome(o.AppendWire(nil))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if o.Sealed != nil {
			o.Sealed.Clear, again.Sealed.Clear = nil, nil
		}
		sameOutcome(t, again, o)
	})
}

func FuzzParseOutcomes(f *testing.F) {
	seed(f)
	least := &queue.Outcome{State: queue.StateDead, Attempt: 1, Err: &queue.TaskError{}, Sealed: &queue.Sealed{Seal: []byte{0}}}
	f.Add(bytes.Repeat(least.AppendWire(nil), 5000))
	f.Fuzz(func(t *testing.T, data []byte) {
		var wire []byte
		n := 0
		var err error
		frugal(t, data, func() { err = queue.ParseOutcomes(data, func(*queue.Outcome) bool { return false }) })
		// Of those that somebody waits for, the smallest, sealed and with an error, has 36 bytes
		// and becomes three structures and a copy of 336.
		fuzztest.Frugal(t, len(data), 10, func() { _ = queue.ParseOutcomes(data, func(*queue.Outcome) bool { return true }) })
		if err == nil {
			err = queue.ParseOutcomes(data, func(o *queue.Outcome) bool { n++; wire = o.AppendWire(wire); return n%2 == 0 })
		}
		if err != nil {
			return
		}
		again := 0
		if err := queue.ParseOutcomes(wire, func(*queue.Outcome) bool { again++; return again%2 == 0 }); err != nil || again != n {
			t.Errorf("%d outcomes became %d: %v", n, again, err)
		}
	})
}

func FuzzParseNext(f *testing.F) {
	next := queue.AppendNext(nil, &queue.Message{Type: "mail.send", Queue: "mail", Key: "order-7", Priority: queue.High})
	seed(f, next, queue.AppendNext(nil, &queue.Message{Type: "t", Queue: "events", Stream: true, Then: next}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *queue.Message
		var err error
		frugal(t, data, func() { m, err = queue.ParseNext(data) })
		if err != nil {
			return
		}
		again, err := queue.ParseNext(queue.AppendNext(nil, m))
		if err != nil || again.Type != m.Type || again.Queue != m.Queue || again.Key != m.Key || again.Delay != m.Delay || !bytes.Equal(again.Then, m.Then) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

func FuzzParseTaskError(f *testing.F) {
	seed(f, (&queue.TaskError{Kind: "panic", Code: "c", Message: "m", Stack: "s", Data: []byte{1}}).AppendWire(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e *queue.TaskError
		var err error
		frugal(t, data, func() { e, err = queue.ParseTaskError(data, 1) })
		if err != nil {
			return
		}
		if again, err := queue.ParseTaskError(e.AppendWire(nil), 1); err != nil || !bytes.Equal(again.AppendWire(nil), e.AppendWire(nil)) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

// What a chunk came to is read by who knows how many items it has.
func FuzzChunkValue(f *testing.F) {
	ok := queue.AppendItem(nil, []byte{42})
	bad := (&queue.TaskError{Message: "m"}).AppendWire(nil)
	seed(f, append(append([]byte{5}, ok...), bad...), append([]byte{0xcd, 1, 0}, bytes.Repeat(ok, 8)...), append([]byte{0}, bytes.Repeat(bad, 8)...))
	const items = 8
	f.Fuzz(func(t *testing.T, data []byte) {
		frugal(t, data, func() { _, _, _ = queue.ParseChunk(data, items) })
	})
}

func FuzzParseTaskID(f *testing.F) {
	fuzztest.Seeds(f, []byte("068pw3g0qr0017jfsqm0hbqzx4"), []byte("zzzzzzzzzzzzzzzzzzzzzzzzzz"), []byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		var id queue.TaskID
		var err error
		frugal(t, data, func() { id, err = queue.ParseTaskID(text) })
		if err == nil && id.String() != text {
			t.Errorf("%q became %q", text, id)
		}
	})
}
