package queue_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/cenote-go/cenote/queue"
)

// The golden vectors are the wire form as other programs know it. A change that
// makes one of them fail breaks every program that talks to this one.

type messageVector struct {
	Name   string
	Hex    string
	Fields struct {
		Type          string
		Payload       string            // hex
		ReplyTo       string            `json:"reply_to"`
		Retries       int               `json:"retries"`
		TimeoutMs     int64             `json:"timeout_ms"`
		KeepMs        int64             `json:"keep_ms"`
		BackoffBaseMs int64             `json:"backoff_base_ms"`
		BackoffMaxMs  int64             `json:"backoff_max_ms"`
		Codec         string            `json:"codec"`
		Group         string            `json:"group"`
		Headers       map[string]string `json:"headers"`
		Items         int
		Common        string
		Then          string // hex
		Link          string
		RunAtMs       int64  `json:"run_at_ms"`
		Seal          string // hex
	}
}

func (v *messageVector) message(t *testing.T) *queue.Message {
	f := &v.Fields
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	m := &queue.Message{
		Type: f.Type, Payload: unhex(t, f.Payload), ReplyTo: f.ReplyTo, Retries: f.Retries,
		Timeout: ms(f.TimeoutMs), Keep: ms(f.KeepMs), Backoff: queue.Backoff{Base: ms(f.BackoffBaseMs), Max: ms(f.BackoffMaxMs)},
		Codec: f.Codec, Group: f.Group, Headers: f.Headers, Items: f.Items, Common: f.Common, Then: unhex(t, f.Then), Link: f.Link,
	}
	if f.RunAtMs > 0 {
		m.RunAt = time.UnixMilli(f.RunAtMs)
	}
	if f.Seal != "" {
		m.Sealed = &queue.Sealed{Seal: unhex(t, f.Seal), Clear: m.AppendClear(nil)}
	}
	return m
}

type outcomeVector struct {
	Name   string
	Hex    string
	Fields struct {
		ID      string
		State   string
		Attempt int
		Value   string // hex
		Codec   string
		Error   *struct {
			Kind, Code, Text, Stack string
			Data                    string // hex
		}
		Type string
		Seal string // hex
	}
}

func (v *outcomeVector) outcome(t *testing.T) *queue.Outcome {
	f := &v.Fields
	id, err := queue.ParseTaskID(f.ID)
	if err != nil {
		t.Fatal(err)
	}
	o := &queue.Outcome{ID: id, Attempt: f.Attempt, Value: unhex(t, f.Value), Codec: f.Codec, Type: f.Type}
	for s := queue.StateUnknown; s <= queue.StateExpired; s++ {
		if s.String() == f.State {
			o.State = s
		}
	}
	if e := f.Error; e != nil {
		o.Err = &queue.TaskError{Kind: e.Kind, Code: e.Code, Message: e.Text, Stack: e.Stack, Data: unhex(t, e.Data), Attempt: f.Attempt}
	}
	if f.Seal != "" {
		o.Sealed = &queue.Sealed{Seal: unhex(t, f.Seal), Clear: o.AppendClear(nil)}
	}
	return o
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func vectors[V any](t *testing.T, file string) []V {
	t.Helper()
	data, err := os.ReadFile("testdata/wire/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var vs []V
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&vs); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(vs) == 0 {
		t.Fatalf("%s has no vectors", file)
	}
	return vs
}

func TestMessagesAreWrittenAsTheVectorsSay(t *testing.T) {
	for _, v := range vectors[messageVector](t, "messages.json") {
		t.Run(v.Name, func(t *testing.T) {
			m := v.message(t)
			if got := hex.EncodeToString(m.AppendWire(nil)); got != v.Hex {
				t.Errorf("wrote %s, the vector is %s", got, v.Hex)
			}
			sameMessage(t, unhex(t, v.Hex), m)
			f := v.Fields
			fields := []any{f.Type, f.Payload, f.ReplyTo, f.Retries, f.TimeoutMs, f.KeepMs, f.BackoffBaseMs, f.BackoffMaxMs, f.Codec, f.Group, f.Headers, f.Items, f.Common, f.Then, f.Link, f.RunAtMs, f.Seal}
			sameArray(t, unhex(t, v.Hex), fields)
		})
	}
}

func TestMessagesOfOtherWritersAreRead(t *testing.T) {
	for _, v := range vectors[messageVector](t, "messages_read.json") {
		t.Run(v.Name, func(t *testing.T) { sameMessage(t, unhex(t, v.Hex), v.message(t)) })
	}
}

func sameMessage(t *testing.T, wire []byte, want *queue.Message) {
	t.Helper()
	got, err := queue.ParseMessage(wire)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	if len(got.Payload) == 0 && len(want.Payload) == 0 {
		got.Payload, want.Payload = nil, nil
	}
	if len(got.Then) == 0 && len(want.Then) == 0 {
		got.Then, want.Then = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// sameArray checks with a library that knows nothing of this package that what
// follows the version byte is an array of want, less trailing zero values.
func sameArray(t *testing.T, wire []byte, want []any) {
	t.Helper()
	version := byte(1)
	if want[len(want)-1] != "" { // the seal
		version = 2
	}
	if wire[0] != version {
		t.Fatalf("version byte %d, want %d", wire[0], version)
	}
	var got []any
	if err := msgpack.Unmarshal(wire[1:], &got); err != nil {
		t.Fatalf("msgpack: %v", err)
	}
	for i, w := range want {
		if i >= len(got) {
			if v := reflect.ValueOf(w); !v.IsZero() && (v.Kind() != reflect.Map || v.Len() > 0) {
				t.Errorf("field %d is missing, want %v", i, w)
			}
			continue
		}
		if g := plainText(got[i]); g != plainText(w) {
			t.Errorf("field %d is %s, want %s", i, g, plainText(w))
		}
	}
}

// plainText makes values comparable that differ in their Go types only.
func plainText(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case []byte:
		return hex.EncodeToString(x)
	case []any:
		s := ""
		for _, e := range x {
			s += plainText(e) + "|"
		}
		return s
	}
	return fmt.Sprint(v)
}

func TestOutcomesAreWrittenAsTheVectorsSay(t *testing.T) {
	var all []byte
	var want []*queue.Outcome
	for _, v := range vectors[outcomeVector](t, "outcomes.json") {
		o := v.outcome(t)
		all, want = append(all, unhex(t, v.Hex)...), append(want, o)
		t.Run(v.Name, func(t *testing.T) {
			if got := hex.EncodeToString(o.AppendWire(nil)); got != v.Hex {
				t.Errorf("wrote %s, the vector is %s", got, v.Hex)
			}
			got, err := queue.ParseOutcome(unhex(t, v.Hex))
			if err != nil {
				t.Fatal(err)
			}
			sameOutcome(t, got, o)
			f := v.Fields
			fields := []any{hex.EncodeToString(o.ID[:]), int(o.State), f.Attempt, f.Value, f.Codec}
			if e := f.Error; e != nil {
				fields = append(fields, []any{e.Kind, e.Code, e.Text, e.Stack, e.Data})
			} else {
				fields = append(fields, "")
			}
			fields = append(fields, f.Type, f.Seal)
			sameArray(t, unhex(t, v.Hex), fields)
		})
	}
	i := 0
	if err := queue.ParseOutcomes(all, func(o *queue.Outcome) bool { sameOutcome(t, o, want[i]); i++; return i%2 == 0 }); err != nil || i != len(want) {
		t.Errorf("%d of %d outcomes in a row were read: %v", i, len(want), err)
	}
}

func sameOutcome(t *testing.T, got, want *queue.Outcome) {
	t.Helper()
	g, w := *got, *want
	if !bytes.Equal(g.Value, w.Value) {
		t.Errorf("value %x, want %x", g.Value, w.Value)
	}
	g.Value, w.Value = nil, nil
	if (g.Err == nil) != (w.Err == nil) {
		t.Fatalf("error %v, want %v", g.Err, w.Err)
	}
	if g.Err != nil {
		ge, we := *g.Err, *w.Err
		if !bytes.Equal(ge.Data, we.Data) {
			t.Errorf("error data %x, want %x", ge.Data, we.Data)
		}
		ge.Data, we.Data = nil, nil
		if !reflect.DeepEqual(ge, we) {
			t.Errorf("error %+v, want %+v", ge, we)
		}
		g.Err, w.Err = nil, nil
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("outcome %+v, want %+v", g, w)
	}
}

func TestWhatTheVectorsRefuseIsRefused(t *testing.T) {
	type refusal struct{ Name, What, Hex, Error string }
	for _, v := range vectors[refusal](t, "refused.json") {
		t.Run(v.Name, func(t *testing.T) {
			want := map[string]error{"malformed": queue.ErrMalformed, "version": queue.ErrVersion}[v.Error]
			var err error
			switch v.What {
			case "message":
				_, err = queue.ParseMessage(unhex(t, v.Hex))
			case "outcome":
				_, err = queue.ParseOutcome(unhex(t, v.Hex))
			}
			if want == nil || !errors.Is(err, want) {
				t.Errorf("%s %s: error %v, want %v", v.What, v.Hex, err, want)
			}
		})
	}
}

type chunkVector struct {
	Name    string
	Args    []string // hex, as the codec makes them
	Payload string   // hex
	Value   string   // hex
	Micros  int64
	Results []struct {
		Value string // hex
		Error []string
	}
}

// A chunk's payload and value, read by a library that knows nothing of this package.
func TestChunksAreWrittenAsTheVectorsSay(t *testing.T) {
	page, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	if v := vectors[chunkVector](t, "chunks.json")[0]; !bytes.Contains(page, []byte(v.Payload)) || !bytes.Contains(page, []byte(v.Value)) {
		t.Errorf("docs/wire.md does not show the chunk %q as the vectors have it", v.Name)
	}
	for _, v := range vectors[chunkVector](t, "chunks.json") {
		t.Run(v.Name, func(t *testing.T) {
			var payload []byte
			dec := msgpack.NewDecoder(bytes.NewReader(unhex(t, v.Payload)))
			for i, a := range v.Args {
				got, err := dec.DecodeBytes()
				if err != nil || !bytes.Equal(got, unhex(t, a)) {
					t.Errorf("argument %d is %x, %v; want %s", i, got, err, a)
				}
				payload = append(payload, queue.AppendItem(nil, unhex(t, a))...)
			}
			if hex.EncodeToString(payload) != v.Payload {
				t.Errorf("wrote %x, the vector is %s", payload, v.Payload)
			}
			took, items, err := queue.ParseChunk(unhex(t, v.Value), len(v.Results))
			if err != nil || took.Microseconds() != v.Micros {
				t.Fatalf("took %v, %v; want %d us", took, err, v.Micros)
			}
			dec = msgpack.NewDecoder(bytes.NewReader(unhex(t, v.Value)))
			if n, err := dec.DecodeInt64(); n != v.Micros || err != nil {
				t.Errorf("msgpack reads %d us, %v", n, err)
			}
			for i, r := range v.Results {
				foreign, err := dec.DecodeInterface()
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Error) == 0 {
					if got, e := queue.ChunkItem(items[i]); e != nil || hex.EncodeToString(got) != r.Value || plainText(foreign) != r.Value {
						t.Errorf("result %d is %x, %v; want %s", i, got, e, r.Value)
					}
					continue
				}
				_, e := queue.ChunkItem(items[i])
				if e == nil {
					t.Fatalf("result %d is no error", i)
				}
				got := []any{e.Kind, e.Code, e.Message, e.Stack, hex.EncodeToString(e.Data)}
				want := make([]any, len(r.Error))
				for k, s := range r.Error {
					want[k] = s
				}
				if plainText(got) != plainText(want) || plainText(foreign) != plainText(want) {
					t.Errorf("result %d is %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestWhatFollowsIsWrittenAsTheVectorSays(t *testing.T) {
	for _, v := range vectors[messageVector](t, "messages.json") {
		if v.Fields.Then == "" {
			continue
		}
		next, err := queue.ParseNext(unhex(t, v.Fields.Then))
		if err != nil {
			t.Fatal(err)
		}
		want := &queue.Message{Type: "mail.send", Queue: "mail", Key: "order-7", Priority: queue.High, Delay: 5 * time.Second, Payload: []byte{}}
		if !reflect.DeepEqual(next, want) {
			t.Errorf("read %+v, want %+v", next, want)
		}
		if got := hex.EncodeToString(queue.AppendNext(nil, next)); got != v.Fields.Then {
			t.Errorf("wrote %s, the vector is %s", got, v.Fields.Then)
		}
		return
	}
	t.Error("no vector has a task that follows")
}
