package queue_test

import (
	"encoding/hex"
	"reflect"
	"runtime"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// seed adds the hostile inputs and the golden vectors, with and without a version
// byte in front.
func seed(f *testing.F) {
	for _, in := range hostile {
		data, err := hex.DecodeString(in)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) > 1<<10 {
			data = data[:1<<10]
		}
		f.Add(data)
		f.Add(append([]byte{1}, data...))
	}
	m := &queue.Message{Type: "t", Payload: []byte{0xc0}, ReplyTo: "r", Retries: 3, Headers: map[string]string{"k": "v"}}
	o := &queue.Outcome{State: queue.StateDead, Attempt: 1, Codec: "json", Err: &queue.TaskError{Kind: "panic", Stack: "s", Data: []byte{1}}}
	f.Add(m.AppendWire(nil))
	f.Add(m.AppendWire(nil)[1:])
	m.Sealed = &queue.Sealed{Seal: []byte{2, 1, 'k', 0}}
	f.Add(m.AppendWire(nil))
	o.Sealed = m.Sealed
	f.Add(o.AppendWire(nil))
	o.Sealed = nil
	f.Add(o.AppendWire(nil))
	f.Add(append(o.AppendWire(nil), o.AppendWire(nil)...))
}

// frugal fails if do allocates much more than in proportion to its input.
func frugal(t *testing.T, data []byte, do func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	// Other goroutines of the fuzzing engine allocate as well; the bound only has to
	// be far below what a declared length can ask for.
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20+200*uint64(len(data)) {
		t.Errorf("%d bytes of input cost %d bytes of memory", len(data), n)
	}
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
		frugal(t, data, func() {
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
	f.Fuzz(func(t *testing.T, data []byte) {
		var wire []byte
		n := 0
		var err error
		frugal(t, data, func() {
			err = queue.ParseOutcomes(data, func(o *queue.Outcome) { n++; wire = o.AppendWire(wire) })
		})
		if err != nil {
			return
		}
		again := 0
		if err := queue.ParseOutcomes(wire, func(*queue.Outcome) { again++ }); err != nil || again != n {
			t.Errorf("%d outcomes became %d: %v", n, again, err)
		}
	})
}
