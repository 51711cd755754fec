package queue_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestMessagesSurviveTheWire(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string { return strings.Repeat("x", r.IntN(n)) }
	ms := func() time.Duration {
		if r.IntN(2) == 0 {
			return 0
		}
		return time.Duration(r.Int64N(1<<r.IntN(40)+1)) * time.Millisecond
	}
	for range 2000 {
		m := &queue.Message{
			Type: "t" + text(queue.MaxName), Payload: []byte(text(70_000)), Codec: text(40), ReplyTo: text(300), Group: text(40),
			Retries: r.IntN(1 << r.IntN(30)), Timeout: ms(), Keep: ms(), Backoff: queue.Backoff{Base: ms(), Max: ms()},
		}
		for range r.IntN(3) * r.IntN(12) {
			if m.Headers == nil {
				m.Headers = map[string]string{}
			}
			m.Headers[text(50)] = text(300)
		}
		wire := m.AppendWire(nil)
		if len(wire) > m.WireSize() {
			t.Fatalf("%d bytes, WireSize promised at most %d", len(wire), m.WireSize())
		}
		sameMessage(t, wire, m)
		if t.Failed() {
			return
		}
	}
}

func TestAppendWireKeepsWhatIsThere(t *testing.T) {
	m := &queue.Message{Type: "t"}
	if got := string(m.AppendWire([]byte("before"))); got != "before"+string(m.AppendWire(nil)) {
		t.Errorf("got %q", got)
	}
}

func TestLongestDurationsTravel(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	m := &queue.Message{Type: "t", Timeout: longest, Keep: longest, Backoff: queue.Backoff{Base: longest, Max: longest}}
	got, err := queue.ParseMessage(m.AppendWire(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]time.Duration{"timeout": got.Timeout, "keep": got.Keep, "base": got.Backoff.Base, "max": got.Backoff.Max} {
		if longest-d > time.Millisecond || d < 0 {
			t.Errorf("%s: %v, want %v", name, d, longest)
		}
	}
}

func TestDurationsAreRoundedUp(t *testing.T) {
	m := &queue.Message{Type: "t", Timeout: time.Nanosecond, Keep: time.Millisecond + 1}
	got, err := queue.ParseMessage(m.AppendWire(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Timeout != time.Millisecond || got.Keep != 2*time.Millisecond {
		t.Errorf("1ns became %v and 1ms+1ns became %v; a wait that was asked for must not become none", got.Timeout, got.Keep)
	}
}

// withFields is a wire form with its array head in the wide form, which leaves
// room to count more fields.
func withFields(wire []byte, total int, more ...byte) []byte {
	head := 2
	if wire[1] == 0xdc {
		head = 4
	}
	out := []byte{wire[0], 0xdc, byte(total >> 8), byte(total)}
	return append(append(out, wire[head:]...), more...)
}

func TestLaterFieldsAreSkipped(t *testing.T) {
	m := &queue.Message{
		Type: "t", Payload: []byte{1}, ReplyTo: "r", Retries: 1, Timeout: time.Second, Keep: time.Second,
		Backoff: queue.Backoff{Base: time.Second, Max: time.Second}, Codec: "json", Group: "g", Headers: map[string]string{"k": "v"},
		Items: 3, Common: "c", Then: []byte{7}, Link: "l", RunAt: time.UnixMilli(1),
	}
	const known = 16
	wire := m.AppendWire(nil)
	nested := []byte{0x92, 0x81, 0xa1, 'k', 0x93, 1, 2, 3, 0xc4, 1, 0}
	sameMessage(t, withFields(wire, known+1, nested...), m)
	sameMessage(t, withFields(wire, known+3, append(nested, 0xc0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0)...), m)
	if _, err := queue.ParseMessage(withFields(wire, known+2, nested...)); !errors.Is(err, queue.ErrMalformed) {
		t.Errorf("a field is missing: %v", err)
	}

	o := &queue.Outcome{ID: queue.NewTaskID(3), State: queue.StateDead, Attempt: 2, Err: &queue.TaskError{Message: "no", Attempt: 2}, Type: "t"}
	owire := withFields(o.AppendWire(nil), 9, 0xc3, 0x91, 0xc0)
	got, err := queue.ParseOutcome(owire)
	if err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, got, o)
	n := 0
	if err := queue.ParseOutcomes(append(owire, owire...), func(got *queue.Outcome) bool { sameOutcome(t, got, o); n++; return false }); err != nil || n != 2 {
		t.Errorf("%d of 2 outcomes: %v", n, err)
	}
}

func TestLaterFieldsOfAnErrorAreSkipped(t *testing.T) {
	id := queue.NewTaskID(0)
	wire := append([]byte{1, 0x96, 0xc4, 16}, id[:]...)
	wire = append(wire, 6, 1, 0xc4, 0, 0xa0)
	wire = append(wire, 0x97, 0xa0, 0xa0, 0xa2, 'n', 'o', 0xa0, 0xc4, 0, 0x91, 0xc0, 0xc3)
	o, err := queue.ParseOutcome(wire)
	if err != nil || o.Err == nil || o.Err.Message != "no" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestUnknownVersionIsNotMalformed(t *testing.T) {
	for v := range 256 {
		if v == 1 || v == 2 { // plain, sealed
			continue
		}
		_, err := queue.ParseMessage([]byte{byte(v), 0x92, 0xa1, 't', 0xc4, 0})
		if !errors.Is(err, queue.ErrVersion) || errors.Is(err, queue.ErrMalformed) {
			t.Fatalf("version %d: %v", v, err)
		}
		if err := queue.ParseOutcomes([]byte{byte(v)}, func(*queue.Outcome) bool { t.Error("an outcome"); return false }); !errors.Is(err, queue.ErrVersion) {
			t.Fatalf("version %d: %v", v, err)
		}
	}
}

func TestParsingDoesNotPanicOnCutOrFlippedBytes(t *testing.T) {
	m := &queue.Message{Type: "type", Payload: []byte{1, 2}, ReplyTo: "r", Retries: 300, Timeout: time.Hour, Headers: map[string]string{"k": "v"}}
	o := &queue.Outcome{ID: queue.NewTaskID(0), State: queue.StateDead, Err: &queue.TaskError{Kind: "panic", Message: "m", Data: []byte{1}}}
	for _, wire := range [][]byte{m.AppendWire(nil), o.AppendWire(nil)} {
		for i := range wire {
			for _, parse := range []func([]byte) error{
				func(b []byte) error { _, err := queue.ParseMessage(b); return err },
				func(b []byte) error { _, err := queue.ParseOutcome(b); return err },
			} {
				if err := parse(wire[:i]); err == nil {
					t.Errorf("the first %d of %d bytes are taken for the whole", i, len(wire))
				}
				for bit := range 8 {
					bad := append([]byte(nil), wire...)
					bad[i] ^= 1 << bit
					_ = parse(bad)
				}
			}
		}
	}
}
