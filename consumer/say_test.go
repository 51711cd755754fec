package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// What a handler says arrives in its order, the newest progress of a batch only,
// and nothing after the end.
func TestWhatHandlersSay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	task := queue.NewTask[int, int]("t")
	w, err := New(redistest.Mini(t).Client(), Config{Concurrency: 1}, task.Handler(func(context.Context, int) (int, error) { return 0, nil }))
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(w, store.NewLine("q", 0, ""), queue.Layout{}, 0, 1)
	defer p.closeBell()
	ears := w.store.Replies(ctx)
	defer func() { _ = ears.Close() }()
	if err := ears.Add(ctx, store.ReplyKey("q", 0, "addr")); err != nil {
		t.Fatal(err)
	}
	hear := func() store.Hint {
		t.Helper()
		h, err := ears.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := hear(); !h.Subscribed {
		t.Fatalf("first came %+v", h)
	}

	d := &delivery{port: p, claimed: &store.Claimed{ID: queue.NewTaskID(0)}, msg: &queue.Message{ReplyTo: "addr"}}
	d.emit(queue.Event{At: time.Now(), Attempt: 1, Text: "first\n\x00 line"})
	if h := hear(); h.Said == nil || h.Said.ID != d.claimed.ID || len(h.Said.Events) != 1 || h.Said.Events[0].Text != "first\n\x00 line" {
		t.Errorf("a lone event arrives as %+v", h.Said)
	}
	// One batch, whenever the timer fires: it needs the lock.
	p.said.sending.Lock()
	for i := range int64(100) {
		d.emit(queue.Event{Attempt: 1, Done: i, Total: 100})
	}
	d.emit(queue.Event{Attempt: 1, Text: "second"})
	for i := range sayMost + 100 {
		d.emit(queue.Event{Attempt: 1, Text: fmt.Sprint(i)})
	}
	p.said.sending.Unlock()
	d.hush()
	d.emit(queue.Event{Attempt: 1, Text: "late"})
	got := hear().Said.Events
	if len(got) != sayMost || got[len(got)-1].Text != fmt.Sprint(sayMost+99) || got[0].Text != "100" {
		t.Errorf("%d events, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}

	e := &delivery{port: p, claimed: &store.Claimed{ID: queue.NewTaskID(0)}, msg: &queue.Message{ReplyTo: "addr"}}
	p.said.sending.Lock()
	e.emit(queue.Event{Attempt: 1, Done: 1, Total: 3})
	e.emit(queue.Event{Attempt: 1, Text: "line"})
	e.emit(queue.Event{Attempt: 1, Done: 2, Total: 3})
	p.said.sending.Unlock()
	e.hush()
	got = hear().Said.Events
	if len(got) != 2 || got[0].Text != "line" || got[1].Done != 2 || got[1].Total != 3 {
		t.Errorf("events %+v", got)
	}
}
