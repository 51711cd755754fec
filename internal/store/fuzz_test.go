package store

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/internal/fuzztest"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// What the scripts reply, and what comes over channels, is read as if anybody had
// written it. A reply of several strings is fuzzed as one text: each with a byte before it
// that says how long it is.

func pack(r ...string) []byte {
	var b []byte
	for _, s := range r {
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

func unpack(data []byte) (r []string) {
	for len(data) > 0 {
		n := min(int(data[0]), len(data)-1)
		r = append(r, string(data[1:1+n]))
		data = data[1+n:]
	}
	return r
}

// size is what a reply takes that was read from the wire: its strings and their heads.
func size(r []string) int {
	n := 0
	for _, s := range r {
		n += 16 + len(s)
	}
	return n
}

const someID = "0123456789abcdef"

// replies fuzzes the reader of a reply.
func replies(f *testing.F, read func(r []string), seeds ...[]byte) {
	f.Helper()
	fuzztest.Seeds(f, seeds...)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := unpack(data)
		fuzztest.Frugal(t, size(r), 8, func() { read(r) })
	})
}

func message() string { return string((&queue.Message{Type: "t", Payload: []byte{1}}).AppendWire(nil)) }

func FuzzTurnReply(f *testing.F) {
	replies(f, func(r []string) { _, _ = parseTurn(r) },
		pack("ok", "0", "", "", "1", "0", "0", someID, message()),
		pack("ok", "1700000000000", "250", "w", "1", "1", "1", someID, message(), "1 2 0 0", someID, someID),
		pack("ok", "0", "", "", "-1", "2", "0"), pack("ok", "0", "", "", "1", "-2", "0"), pack("ok", "0", "", "", "0", "0", "-1"),
		pack("ok", "0", "", "", "9223372036854775807", "9223372036854775807", "2"),
		pack("lapsed"), pack("late"), pack())
}

func FuzzBeatReply(f *testing.F) {
	replies(f, func(r []string) { _, _ = parseBeat(r) },
		pack("ok", "10000", "1", "2", "1"), pack("ok", "0", "0", "0", "0", someID, "iprod.1"), pack("lapsed"), pack("ok", "x", "0", "0", "0"))
}

func FuzzLayoutReply(f *testing.F) {
	replies(f, func(r []string) {
		l, err := parseLayout(r)
		if err == nil && (l.Partitions < 1 || l.Partitions > queue.MaxPartitions) {
			panic("a layout of no partitions, or of too many")
		}
	}, pack("list", "1", "0"), pack("stream", "1024", "86400000"), pack("list", "-1", "-1"), pack("list", "99999999999", "0"))
}

func FuzzLookReply(f *testing.F) {
	o := string(queue.Failure(queue.TaskID([]byte(someID)), queue.StateDead, 1, queue.ErrPanic).AppendWire(nil))
	replies(f, func(r []string) { _, _ = parseLook("default", queue.TaskID{}, r) },
		pack("ready", message(), "", "", "", ""), pack("dead", message(), "1 2 3 4", o, "", ""), pack("kept", "", "", o, "", ""), pack("retry", message(), "0 1 0 0", o, "c", "1.7e12"))
}

func FuzzHint(f *testing.F) {
	said := func(json string) []byte { return []byte("?" + base64.StdEncoding.EncodeToString([]byte(json))) }
	o := string(queue.Failure(queue.TaskID([]byte(someID)), queue.StateDead, 1, queue.ErrPanic).AppendWire(nil))
	k, err := seal.NewKey("k", make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	s, err := seal.New(seal.Config{Keys: []seal.Key{k}})
	if err != nil {
		f.Fatal(err)
	}
	st := &Store{seal: s}
	plain := &Store{}
	fuzztest.Seeds(f, []byte("1700000000000-0 "+o), []byte("1700000000000-0"), []byte("1700000000000-0 "), []byte(o), []byte("!prod.1"), []byte("?"),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","events":[{"at":1700000000000000,"attempt":1,"done":3,"total":10},{"at":1,"text":"line"}]}`),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","sealed":"AgAA"}`), said(`{"id":"","events":[`+strings.Repeat("{},", 100)+`{}]}`), said(strings.Repeat("[", 1000)),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","events":[`+strings.Repeat(`{"at":1,"done":1},`, 5000)+`{"at":1,"done":1}]}`),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","events":[{"at":1000000000000,"text":"`+strings.Repeat(`\u00f1`, 15_000)+`"}]}`),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","events":[`+strings.Repeat("{},", 30_000)+`{}]}`),
		said(`{"id":"MDEyMzQ1Njc4OWFiY2RlZg==","events":[{"at":1000000000000,"text":"`+strings.Repeat("\xff", 90_000)+`"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		var h Hint
		var ok bool
		fuzztest.Frugal(t, len(data), 8, func() {
			h, ok = parseHint("log", text)
			if ok && h.Said != nil {
				_ = plain.Events("default", h.Said)
			}
		})
		if ok && h.Said != nil && len(st.Events("default", h.Said)) > 0 {
			t.Errorf("%q is believed, and is not sealed", text)
		}
	})
}

func FuzzWishes(f *testing.F) {
	wish := someID + "\x07iprod.1"
	fuzztest.Seeds(f, []byte(wish), []byte(wish+wish), []byte(someID+"\xff"), []byte(someID+"\x00"+wish))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		fuzztest.Frugal(t, len(data), 8, func() { _ = parseWishes(text) })
	})
}

func FuzzBellEntry(f *testing.F) {
	fuzztest.Seeds(f, []byte(""), []byte("."+someID+message()), []byte("+"+someID), []byte("+0123"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		fuzztest.Frugal(t, len(data), 8, func() {
			if r := parseRung(text); r.Task != nil {
				_, _ = queue.ParseMessage(r.Task.Wire)
			}
		})
	})
}

func FuzzNote(f *testing.F) {
	fuzztest.Seeds(f, []byte("1 2 3 1700000000000"), []byte(""), []byte("1 2 3"), []byte("99999999999999999999 0 0 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		fuzztest.Frugal(t, len(data), 8, func() {
			if n, err := parseNote(text); err == nil && text != "" {
				if again, err := parseNote(n.String()); err != nil || again != n {
					t.Errorf("%q became %v", text, again)
				}
			}
		})
	})
}
