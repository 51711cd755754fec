package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

func key(t testing.TB, name string, fill byte) seal.Key {
	t.Helper()
	k, err := seal.NewKey(name, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSeal(t testing.TB, cfg seal.Config) *seal.Seal {
	t.Helper()
	s, err := seal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func message() *queue.Message {
	return &queue.Message{
		ID: queue.NewTaskID(0), Queue: "default", Type: "mail.send", Payload: []byte("the payload"),
		ReplyTo: "me", Retries: 2, Headers: map[string]string{"tenant": "a"}, Then: []byte("then"),
	}
}

// travel returns m as it is read at the other end.
func travel(t testing.TB, m *queue.Message) *queue.Message {
	t.Helper()
	out, err := queue.ParseMessage(m.AppendWire(nil))
	if err != nil {
		t.Fatal(err)
	}
	out.ID, out.Queue = m.ID, m.Queue
	return out
}

func outcomes() []*queue.Outcome {
	id := queue.NewTaskID(0)
	return []*queue.Outcome{
		{ID: id, State: queue.StateSucceeded, Attempt: 1, Value: []byte("the value")},
		{ID: id, State: queue.StateSucceeded, Attempt: 1},
		{ID: id, State: queue.StateDead, Attempt: 3, Codec: "json", Type: "mail.send",
			Err: &queue.TaskError{Kind: "panic", Code: "c", Message: "the message", Stack: "the stack", Data: []byte("the data"), Attempt: 3}},
	}
}

// modes are all ways to seal.
func modes(t testing.TB) map[string]seal.Config {
	ks := []seal.Key{key(t, "k1", 1)}
	return map[string]seal.Config{
		"encrypted":             {Keys: ks},
		"signed":                {Keys: ks, SignOnly: true},
		"encrypted, compressed": {Keys: ks, Compress: 1},
		"signed, compressed":    {Keys: ks, SignOnly: true, Compress: 1},
		"compressed":            {Compress: 1},
	}
}

func TestWhatIsSealedIsOpened(t *testing.T) {
	for name, cfg := range modes(t) {
		t.Run(name, func(t *testing.T) {
			s := newSeal(t, cfg)
			numbers := ""
			for i := range 2000 {
				numbers += fmt.Sprint("payload ", i)
			}
			for _, payload := range []string{"", "the payload", numbers} {
				m := message()
				m.Payload = []byte(payload)
				sealed := s.Message(m)
				wire := sealed.AppendWire(nil)
				if string(m.Payload) != payload || m.Sealed != nil {
					t.Error("sealing has changed the message")
				}
				if hides := cfg.Keys != nil && !cfg.SignOnly; hides && len(payload) > 0 && bytes.Contains(wire, []byte("payload")) {
					t.Errorf("the payload can be read: %q", wire)
				}
				got := travel(t, sealed)
				if err := s.OpenMessage(got); err != nil || string(got.Payload) != payload || got.Sealed != nil {
					t.Errorf("opened %q, %v; want %q", got.Payload, err, payload)
				}
				if cfg.Compress > 0 && len(payload) > 100 && len(wire) > len(payload)/3 {
					t.Errorf("%d bytes became %d", len(payload), len(wire))
				}
			}
			for _, o := range outcomes() {
				wire := s.Outcome("default", o).AppendWire(nil)
				if hides := cfg.Keys != nil && !cfg.SignOnly; hides && bytes.Contains(wire, []byte("the ")) {
					t.Errorf("the outcome can be read: %q", wire)
				}
				got, err := queue.ParseOutcome(wire)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.OpenOutcome("default", got); err != nil || !bytes.Equal(got.AppendWire(nil), o.AppendWire(nil)) {
					t.Errorf("opened %+v, %v; want %+v", got, err, o)
				}
			}
			data := s.Data(seal.Part, "default", queue.TaskID{1}, 7, []byte("the data"))
			if got, err := s.OpenData(seal.Part, "default", queue.TaskID{1}, 7, data); err != nil || string(got) != "the data" {
				t.Errorf("opened %q, %v", got, err)
			}
		})
	}
}

// Every bit of what travels is covered, and so is everything that says where it is.
func TestNothingCanBeChanged(t *testing.T) {
	for name, cfg := range modes(t) {
		if cfg.Keys == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := newSeal(t, cfg)
			m := message()
			wire := s.Message(m).AppendWire(nil)
			for i := range wire {
				for bit := range 8 {
					bad := bytes.Clone(wire)
					bad[i] ^= 1 << bit
					got, err := queue.ParseMessage(bad)
					if err != nil {
						continue
					}
					got.ID, got.Queue = m.ID, m.Queue
					if err := s.OpenMessage(got); !errors.Is(err, queue.ErrUnauthenticated) {
						t.Fatalf("byte %d, bit %d changed: %v, message %+v", i, bit, err, got)
					}
				}
			}
			for what, change := range map[string]func(m *queue.Message){
				"another task":     func(m *queue.Message) { m.ID = queue.NewTaskID(0) },
				"another queue":    func(m *queue.Message) { m.Queue = "other" },
				"another's seal":   func(m *queue.Message) { m.Sealed = s.Message(message()).Sealed },
				"another payload":  func(m *queue.Message) { m.Payload = s.Message(message()).Payload[1:] },
				"the seal removed": func(m *queue.Message) { m.Sealed = nil },
			} {
				got := travel(t, s.Message(m))
				change(got)
				if err := s.OpenMessage(got); !errors.Is(err, queue.ErrUnauthenticated) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for _, o := range outcomes() {
				wire := s.Outcome("default", o).AppendWire(nil)
				for i := range wire {
					bad := bytes.Clone(wire)
					bad[i] ^= 1
					got, err := queue.ParseOutcome(bad)
					if err == nil && !errors.Is(s.OpenOutcome("default", got), queue.ErrUnauthenticated) {
						t.Fatalf("byte %d of %+v changed: accepted as %+v", i, o, got)
					}
				}
				got, _ := queue.ParseOutcome(wire)
				if err := s.OpenOutcome("other", got); !errors.Is(err, queue.ErrUnauthenticated) {
					t.Errorf("of another queue: %v", err)
				}
				if err := s.OpenOutcome("default", o); !errors.Is(err, queue.ErrUnauthenticated) {
					t.Errorf("not sealed: %v", err)
				}
			}
			data := s.Data(seal.Part, "default", queue.TaskID{1}, 7, []byte("x"))
			for what, open := range map[string]func() ([]byte, error){
				"another use":   func() ([]byte, error) { return s.OpenData(seal.Said, "default", queue.TaskID{1}, 7, data) },
				"another queue": func() ([]byte, error) { return s.OpenData(seal.Part, "other", queue.TaskID{1}, 7, data) },
				"another task":  func() ([]byte, error) { return s.OpenData(seal.Part, "default", queue.TaskID{2}, 7, data) },
				"another place": func() ([]byte, error) { return s.OpenData(seal.Part, "default", queue.TaskID{1}, 8, data) },
				"cut off":       func() ([]byte, error) { return s.OpenData(seal.Part, "default", queue.TaskID{1}, 7, data[:5]) },
				"nothing":       func() ([]byte, error) { return s.OpenData(seal.Part, "default", queue.TaskID{1}, 7, nil) },
			} {
				if got, err := open(); !errors.Is(err, queue.ErrUnauthenticated) {
					t.Errorf("data of %s: %q, %v", what, got, err)
				}
			}
		})
	}
}

// The vectors are what the page on the wire form shows, sealed with the key "k1" of the
// bytes 0 to 31 for a task of the queue "default".
func TestTheGoldenVectorsAreOpened(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	k, err := seal.NewKey("k1", secret)
	if err != nil {
		t.Fatal(err)
	}
	id, err := queue.ParseTaskID("068pw3g0qr0017jfsqm0hbqzx4")
	if err != nil {
		t.Fatal(err)
	}
	signs, hides := newSeal(t, seal.Config{Keys: []seal.Key{k}, SignOnly: true}), newSeal(t, seal.Config{Keys: []seal.Key{k}})
	n := 0
	for _, file := range []string{"messages.json", "outcomes.json"} {
		data, err := os.ReadFile("../queue/testdata/wire/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var vs []struct{ Name, Hex string }
		if err := json.Unmarshal(data, &vs); err != nil {
			t.Fatal(err)
		}
		for _, v := range vs {
			wire, err := hex.DecodeString(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			how, _, sealed := strings.Cut(v.Name, ": ")
			if !sealed {
				continue
			}
			n++
			var again []byte
			if file == "messages.json" {
				m, err := queue.ParseMessage(wire)
				if err != nil {
					t.Fatal(err)
				}
				m.ID, m.Queue = id, "default"
				if err := hides.OpenMessage(m); err != nil || m.Type != "email.send" || string(m.Payload) != "*" || m.Retries != 3 {
					t.Errorf("%s: %+v, %v", v.Name, m, err)
				}
				again = signs.Message(m).AppendWire(nil)
			} else {
				o, err := queue.ParseOutcome(wire)
				if err != nil {
					t.Fatal(err)
				}
				if err := hides.OpenOutcome("default", o); err != nil || string(o.Value) != "*" && (o.Err == nil || o.Err.Message != "no such image") {
					t.Errorf("%s: %+v, %v", v.Name, o, err)
				}
				again = signs.Outcome("default", o).AppendWire(nil)
			}
			if how == "signed" && !bytes.Equal(again, wire) {
				t.Errorf("%s: written again it is %x", v.Name, again)
			}
		}
	}
	if n != 6 {
		t.Errorf("%d vectors are sealed, want 6", n)
	}
}

func TestKeysAreRotated(t *testing.T) {
	a, b := key(t, "a", 1), key(t, "b", 2)
	before, during, after := newSeal(t, seal.Config{Keys: []seal.Key{a}}), newSeal(t, seal.Config{Keys: []seal.Key{b, a}}), newSeal(t, seal.Config{Keys: []seal.Key{b}})
	for _, c := range []struct {
		name     string
		from, to *seal.Seal
		ok       bool
	}{
		{"old to both", before, during, true},
		{"both to new", during, after, true},
		{"both to old", during, before, false},
		{"old to new", before, after, false},
		{"the same name, another secret", newSeal(t, seal.Config{Keys: []seal.Key{key(t, "a", 9)}}), before, false},
		{"nobody to new", nil, after, false},
		{"new to nobody", after, nil, false},
	} {
		m, o := message(), outcomes()[0]
		m = travel(t, c.from.Message(m))
		if err := c.to.OpenMessage(m); (err == nil) != c.ok || !c.ok && !errors.Is(err, queue.ErrUnauthenticated) {
			t.Errorf("%s: message: %v", c.name, err)
		}
		got, err := queue.ParseOutcome(c.from.Outcome("q", o).AppendWire(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.to.OpenOutcome("q", got); (err == nil) != c.ok || !c.ok && !errors.Is(err, queue.ErrUnauthenticated) {
			t.Errorf("%s: outcome: %v", c.name, err)
		}
	}
}

// Who has the keys of tasks only can neither make nor read outcomes.
func TestResultsMayHaveOtherKeys(t *testing.T) {
	a, r := key(t, "a", 1), key(t, "r", 2)
	both := newSeal(t, seal.Config{Keys: []seal.Key{a}, ResultKeys: []seal.Key{r}})
	tasks := newSeal(t, seal.Config{Keys: []seal.Key{a}})
	if err := tasks.OpenMessage(travel(t, both.Message(message()))); err != nil {
		t.Error(err)
	}
	got, _ := queue.ParseOutcome(both.Outcome("q", outcomes()[0]).AppendWire(nil))
	if err := tasks.OpenOutcome("q", got); !errors.Is(err, queue.ErrUnauthenticated) {
		t.Errorf("read with the keys of tasks: %v", err)
	}
	got, _ = queue.ParseOutcome(tasks.Outcome("q", outcomes()[0]).AppendWire(nil))
	if err := both.OpenOutcome("q", got); !errors.Is(err, queue.ErrUnauthenticated) {
		t.Errorf("made with the keys of tasks: %v", err)
	}
}

func TestPlainIsAllowedOnlyIfSaid(t *testing.T) {
	strict := newSeal(t, seal.Config{Keys: []seal.Key{key(t, "a", 1)}})
	lax := newSeal(t, seal.Config{Keys: []seal.Key{key(t, "a", 1)}, AllowPlain: true})
	packed := newSeal(t, seal.Config{Compress: 1})
	for name, m := range map[string]*queue.Message{"plain": message(), "compressed": packed.Message(message())} {
		if err := strict.OpenMessage(travel(t, m)); !errors.Is(err, queue.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
		if err := lax.OpenMessage(travel(t, m)); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
	forged := travel(t, newSeal(t, seal.Config{Keys: []seal.Key{key(t, "a", 2)}}).Message(message()))
	if err := lax.OpenMessage(forged); !errors.Is(err, queue.ErrUnauthenticated) {
		t.Errorf("a wrong seal where none is needed: %v", err)
	}
}

func TestTheSameCommonArgumentIsSealedAlike(t *testing.T) {
	s := newSeal(t, seal.Config{Keys: []seal.Key{key(t, "a", 1)}})
	seal1 := func(use seal.Use, name, text string) string {
		return string(s.Data(use, name, queue.TaskID{}, 0, []byte(text)))
	}
	first, said := seal1(seal.Common, "q", "table"), seal1(seal.Said, "q", "table")
	if first != seal1(seal.Common, "q", "table") {
		t.Error("it would be stored twice")
	}
	if first == seal1(seal.Common, "r", "table") || first == seal1(seal.Common, "q", "tablf") {
		t.Error("two arguments are sealed alike")
	}
	if said == seal1(seal.Said, "q", "table") {
		t.Error("the nonce is not random")
	}
}

// What is compressed is bounded before anything is allocated for it, also by who has
// the keys.
func TestCompressedContentsAreBounded(t *testing.T) {
	long := bytes.Repeat([]byte("0"), 1<<20)
	for name, c := range map[string]struct {
		from, to seal.Config
		want     error
	}{
		"ratio":                                {seal.Config{Compress: 1, MaxRatio: 5000}, seal.Config{Compress: 1}, queue.ErrTooLarge},
		"size":                                 {seal.Config{Compress: 1, MaxRatio: 5000}, seal.Config{Compress: 1, MaxRatio: 5000, MaxInflated: 1<<20 - 1}, queue.ErrTooLarge},
		"allowed":                              {seal.Config{Compress: 1, MaxRatio: 5000}, seal.Config{Compress: 1, MaxRatio: 5000}, nil},
		"not compressed what would be refused": {seal.Config{Compress: 1}, seal.Config{Compress: 1}, nil},
	} {
		m := message()
		m.Payload = long
		got := travel(t, newSeal(t, c.from).Message(m))
		if err := newSeal(t, c.to).OpenMessage(got); !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(got.Payload, long) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	s := newSeal(t, seal.Config{Compress: 1})
	m := message()
	m.Payload = bytes.Repeat([]byte("abc"), 100)
	good := travel(t, s.Message(m))
	for i := range len(good.Payload) { // whatever it is cut to or followed by
		bad := *good
		bad.Payload = good.Payload[:i]
		sealed := *good.Sealed
		bad.Sealed = &sealed
		if err := s.OpenMessage(&bad); err == nil {
			t.Errorf("cut to %d bytes it is accepted", i)
		}
	}
	good.Payload = append(bytes.Clone(good.Payload), 0)
	if err := s.OpenMessage(good); !errors.Is(err, queue.ErrMalformed) {
		t.Errorf("followed by a byte: %v", err)
	}
}

func TestBadConfigs(t *testing.T) {
	k := key(t, "a", 1)
	for name, cfg := range map[string]seal.Config{
		"nothing":             {},
		"no keys to sign":     {SignOnly: true, Compress: 1},
		"only keys for rest":  {ResultKeys: []seal.Key{k}},
		"an empty key":        {Keys: []seal.Key{{}}},
		"a name twice":        {Keys: []seal.Key{k, key(t, "a", 2)}},
		"negative compress":   {Keys: []seal.Key{k}, Compress: -1},
		"negative ratio":      {Keys: []seal.Key{k}, MaxRatio: -1},
		"negative inflated":   {Keys: []seal.Key{k}, MaxInflated: -1},
		"a name twice, other": {Keys: []seal.Key{k}, ResultKeys: []seal.Key{k, k}},
	} {
		if _, err := seal.New(cfg); !errors.Is(err, queue.ErrOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	secret := bytes.Repeat([]byte{0xfb}, 33)
	std, url := base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)
	ks, err := seal.ParseKeys(" new:v2:" + std + ",\n old:" + url + "\n")
	if err != nil || len(ks) != 2 || ks[0].Name() != "new:v2" || ks[1].Name() != "old" {
		t.Fatalf("%v, %v", ks, err)
	}
	if fp := func(k seal.Key) string { return strings.Fields(k.String())[1] }; fp(ks[0]) != fp(ks[1]) {
		t.Error("the two forms of base64 are read differently")
	}
	for name, text := range map[string]string{
		"nothing": " , ", "no name": std, "a short secret": "k:c2hvcnQtc2VjcmV0", "no base64": "k:hunter2hunter2!hunter2",
		"a bad name": "se/cret-name:" + std, "the wrong way round": "hunter2/hunter2=:name",
	} {
		_, err := seal.ParseKeys(text)
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		for _, s := range []string{"hunter2", "c2hvcnQ", std, "short-secret", "se/cret"} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%s: the error shows what was given: %v", name, err)
			}
		}
	}
}

// However a key is printed, its secret does not show.
func TestKeysDoNotShow(t *testing.T) {
	secret := "this-is-the-secret-of-the-test-key!"
	k, err := seal.NewKey("k", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	s := newSeal(t, seal.Config{Keys: []seal.Key{k}})
	hidden := struct{ k seal.Key }{k}
	var out bytes.Buffer
	for _, v := range []any{k, &k, []seal.Key{k}, map[string]seal.Key{"a": k}, hidden, &hidden, seal.Config{Keys: []seal.Key{k}}, s, *s, struct{ S *seal.Seal }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b", "%c", "%U", "%p", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(data)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "seal", s, "hidden", hidden)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "seal", s, "hidden", hidden)
	var numbers, binary []string // as bytes are printed
	for _, c := range []byte(secret[:8]) {
		numbers, binary = append(numbers, fmt.Sprint(c)), append(binary, fmt.Sprintf("%08b", c))
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Join(numbers, " "), strings.Join(numbers, ","), strings.Join(binary, " "),
		base64.StdEncoding.EncodeToString([]byte(secret))[:30]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s shows in %.3000s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), k.String()) || !strings.Contains(k.String(), "k (") {
		t.Errorf("the name and fingerprint %q do not show", k)
	}
}
