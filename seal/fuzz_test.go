package seal_test

import (
	"bytes"
	"testing"

	"github.com/cenote-go/cenote/internal/fuzztest"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// fuzzed are a good message, its task, and those who read it: one with the key of the
// reader, and one with no key, who inflates whatever is there.
func fuzzed(f *testing.F) (m *queue.Message, seals []*seal.Seal, seeds [][]byte) {
	m = message()
	m.ID = queue.TaskID{1, 2, 3}
	m.Payload = bytes.Repeat([]byte("the payload, "), 20)
	for _, name := range []string{"encrypted", "signed", "encrypted, compressed", "signed, compressed", "compressed"} {
		s := newSeal(f, modes(f)[name])
		seals = append(seals, s)
		seeds = append(seeds, s.Message(m).AppendWire(nil))
	}
	return m, seals, append(seeds, m.AppendWire(nil))
}

func FuzzOpenMessage(f *testing.F) {
	m, seals, seeds := fuzzed(f)
	fuzztest.Seeds(f, seeds...)
	good := map[string]bool{}
	for _, s := range seeds {
		good[string(s)] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for i, s := range seals {
			times := 8
			if i == len(seals)-1 {
				times = 100 // what is compressed may come to that, see Config.MaxRatio
			}
			var got *queue.Message
			var err error
			fuzztest.Frugal(t, len(data), times, func() {
				if got, err = queue.ParseMessage(data); err == nil {
					got.ID, got.Queue = m.ID, m.Queue
					err = s.OpenMessage(got)
				}
			})
			if err == nil && i < len(seals)-1 && !bytes.Equal(got.Payload, m.Payload) {
				t.Errorf("%x is accepted as %q", data, got.Payload)
			}
			if err == nil && i < len(seals)-1 && !good[string(data)] {
				t.Errorf("%x is accepted and nobody has made it", data)
			}
		}
	})
}

func FuzzOpenOutcome(f *testing.F) {
	s := newSeal(f, modes(f)["encrypted"])
	var seeds [][]byte
	good := map[string]bool{}
	for _, name := range []string{"encrypted", "signed", "compressed"} {
		cfg := modes(f)[name]
		for _, o := range outcomes() {
			o.ID = queue.TaskID{1, 2, 3}
			wire := newSeal(f, seal.Config{Keys: cfg.Keys, SignOnly: cfg.SignOnly, Compress: 1}).Outcome("default", o).AppendWire(nil)
			seeds = append(seeds, wire)
			good[string(wire)] = cfg.Keys != nil
		}
	}
	fuzztest.Seeds(f, seeds...)
	f.Fuzz(func(t *testing.T, data []byte) {
		var o *queue.Outcome
		var err error
		fuzztest.Frugal(t, len(data), 8, func() {
			if o, err = queue.ParseOutcome(data); err == nil {
				err = s.OpenOutcome("default", o)
			}
		})
		if err == nil && !good[string(data)] {
			t.Errorf("%x is accepted as %+v and nobody has made it", data, o)
		}
	})
}

func FuzzOpenData(f *testing.F) {
	var seals []*seal.Seal
	var seeds [][]byte
	for _, name := range []string{"encrypted", "signed", "compressed"} {
		s := newSeal(f, modes(f)[name])
		seals = append(seals, s)
		seeds = append(seeds, s.Data(seal.Common, "default", queue.TaskID{}, 0, bytes.Repeat([]byte("data "), 30)), s.Data(seal.Common, "default", queue.TaskID{}, 0, nil))
	}
	fuzztest.Seeds(f, seeds...)
	f.Fuzz(func(t *testing.T, data []byte) {
		for i, s := range seals {
			fuzztest.Frugal(t, len(data), []int{8, 8, 100}[i], func() {
				_, _ = s.OpenData(seal.Common, "default", queue.TaskID{}, 0, data)
			})
		}
	})
}

// FuzzInflate is about what stands behind a good seal, or none.
func FuzzInflate(f *testing.F) {
	s := newSeal(f, seal.Config{Compress: 1, MaxInflated: 1 << 16, MaxRatio: 7})
	head := []byte{2, 4, 0}
	var seeds [][]byte
	for _, text := range []string{"the data, the data, the data, the data, the data", "0000000000000000000000000000000000000000000000"} {
		data := s.Data(seal.Said, "q", queue.TaskID{}, 0, []byte(text))
		seeds = append(seeds, bytes.TrimPrefix(data, head))
	}
	fuzztest.Seeds(f, append(seeds, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte{0})...)
	f.Fuzz(func(t *testing.T, data []byte) {
		var out []byte
		var err error
		fuzztest.Frugal(t, len(data), 8, func() {
			out, err = s.OpenData(seal.Said, "q", queue.TaskID{}, 0, append(bytes.Clone(head), data...))
		})
		if err == nil && len(out) > 7*len(data) {
			t.Errorf("%d bytes came to %d", len(data), len(out))
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	fuzztest.Seeds(f, []byte("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), []byte("a:b, c:d\ne"), []byte(":::"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		ks, err := seal.ParseKeys(text)
		if (err == nil) != (len(ks) > 0) {
			t.Errorf("%q: %d keys, %v", text, len(ks), err)
		}
	})
}
