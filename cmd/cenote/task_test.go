package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// What is sealed is shown as it is stored.
func TestSealedTasksAreShownSealed(t *testing.T) {
	k, err := seal.NewKey("k1", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.New(seal.Config{Keys: []seal.Key{k}})
	if err != nil {
		t.Fatal(err)
	}
	rdb := redistest.Mini(t).Client()
	x, err := producer.New(rdb, producer.Seal(s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	f, err := queue.NewTask[string, string]("mail.send").Submit(context.Background(), x, "the-argument")
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	task, err := st.Look(context.Background(), store.NewLine("default", 0, ""), f.ID())
	if err != nil {
		t.Fatal(err)
	}
	task.Outcome, err = queue.ParseOutcome(s.Outcome("default", &queue.Outcome{ID: f.ID(), State: queue.StateSucceeded, Attempt: 1, Value: []byte("the-argument")}).AppendWire(nil))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(viewOf(f.ID(), "default", "", task))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); strings.Contains(text, "the-argument") || strings.Contains(text, "dGhlLWFyZ3VtZW50") ||
		strings.Count(text, `{"sealed":"encrypted","key":"k1","bytes":"`) != 2 || !strings.Contains(text, `"type":"mail.send"`) {
		t.Errorf("shown as %s", text)
	}
}
