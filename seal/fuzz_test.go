package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/cenote-go/cenote/internal/fuzztest"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// Sealing chooses numbers at random, and fuzzing runs a target in several processes, which
// must know the same good inputs: they are in a file.
const sealedFile = "testdata/sealed.json"

var sealAnew = flag.Bool("seal", false, "seal what is in "+sealedFile+" anew")

// sealed are inputs that were made with the keys of the tests, by the way they were sealed
// in, in hex.
type sealed struct{ Messages, Outcomes map[string][]string }

func TestSealedFile(t *testing.T) {
	if *sealAnew {
		made := sealed{map[string][]string{}, map[string][]string{}}
		for name, cfg := range modes(t) {
			made.Messages[name] = []string{hex.EncodeToString(newSeal(t, cfg).Message(fuzzedMessage()).AppendWire(nil))}
			cfg.Compress = 1
			for _, o := range outcomes() {
				o.ID = queue.TaskID{1, 2, 3}
				made.Outcomes[name] = append(made.Outcomes[name], hex.EncodeToString(newSeal(t, cfg).Outcome("default", o).AppendWire(nil)))
			}
		}
		text, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sealedFile, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What was sealed by any version before is opened.
	for name, all := range readSealed(t).Messages {
		for _, wire := range all {
			m := openable(t, wire)
			if err := newSeal(t, modes(t)[name]).OpenMessage(m); err != nil || !bytes.Equal(m.Payload, fuzzedMessage().Payload) {
				t.Errorf("%s: %v, payload %q", name, err, m.Payload)
			}
		}
	}
	for name, all := range readSealed(t).Outcomes {
		for i, wire := range all {
			o, err := queue.ParseOutcome(wire)
			if err == nil {
				err = newSeal(t, modes(t)[name]).OpenOutcome("default", o)
			}
			if want := outcomes()[i]; err != nil || o.State != want.State || !bytes.Equal(o.Value, want.Value) {
				t.Errorf("%s: outcome %d: %v, %+v", name, i, err, o)
			}
		}
	}
}

func openable(t testing.TB, wire []byte) *queue.Message {
	t.Helper()
	m, err := queue.ParseMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	m.ID, m.Queue = fuzzedMessage().ID, fuzzedMessage().Queue
	return m
}

func readSealed(t testing.TB) struct{ Messages, Outcomes map[string][][]byte } {
	t.Helper()
	text, err := os.ReadFile(sealedFile)
	if err != nil {
		t.Fatal(err)
	}
	var in sealed
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	plain := func(all map[string][]string) map[string][][]byte {
		out := map[string][][]byte{}
		for name, texts := range all {
			for _, h := range texts {
				data, err := hex.DecodeString(h)
				if err != nil {
					t.Fatal(err)
				}
				out[name] = append(out[name], data)
			}
		}
		return out
	}
	return struct{ Messages, Outcomes map[string][][]byte }{plain(in.Messages), plain(in.Outcomes)}
}

func fuzzedMessage() *queue.Message {
	m := message()
	m.ID = queue.TaskID{1, 2, 3}
	m.Payload = bytes.Repeat([]byte("the payload, "), 20)
	return m
}

// fuzzed are a good message, its task, and those who read it: one with the key of the
// reader, and one with no key, who inflates whatever is there.
func fuzzed(f *testing.F) (m *queue.Message, seals []*seal.Seal, seeds [][]byte) {
	m = fuzzedMessage()
	made := readSealed(f).Messages
	for _, name := range []string{"encrypted", "signed", "encrypted, compressed", "signed, compressed", "compressed"} {
		seals = append(seals, newSeal(f, modes(f)[name]))
		seeds = append(seeds, made[name]...)
	}
	return m, seals, append(seeds, m.AppendWire(nil))
}

// inflating is how many times its input somebody may use who has no keys and inflates: the
// usual, and what comes of it, which Config.MaxRatio bounds. Who has keys knows beforehand
// that it is a friend's.
const inflating = 8 + 100

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
				times = inflating
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
	made := readSealed(f).Outcomes
	for _, name := range []string{"encrypted", "signed", "compressed"} {
		for _, wire := range made[name] {
			seeds = append(seeds, wire)
			good[string(wire)] = modes(f)[name].Keys != nil
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
			fuzztest.Frugal(t, len(data), []int{8, 8, inflating}[i], func() {
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
