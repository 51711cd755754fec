package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// Said is what the handler of a task said, in its order.
type Said struct {
	ID      queue.TaskID
	ReplyTo string
	Events  []queue.Event
	Sealed  bool // the task is

	sealed []byte // of what was received: instead of Events
}

type eventWire struct {
	At      int64  `json:"at"` // Unix us
	Attempt int    `json:"attempt,omitempty"`
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Text    string `json:"text,omitempty"`
}

type saidWire struct {
	ID     []byte      `json:"id"`
	Events []eventWire `json:"events,omitempty"`
	Sealed []byte      `json:"sealed,omitempty"` // instead of them
}

// Say passes on what handlers said to whoever waits for their tasks. Nothing is
// kept: who does not listen, or is cut off, misses it.
func (s *Store) Say(ctx context.Context, l Line, all []Said) error {
	args := sayScript.args(l.base, l.root)
	for i := range all {
		w := saidWire{ID: all[i].ID[:]}
		for _, e := range all[i].Events {
			w.Events = append(w.Events, eventWire{e.At.UnixMicro(), e.Attempt, e.Done, e.Total, e.Text})
		}
		if all[i].Sealed && s.seal != nil {
			events, err := json.Marshal(w.Events)
			if err != nil {
				return err
			}
			w.Events, w.Sealed = nil, s.seal.Data(seal.Said, l.Queue, all[i].ID, 0, events)
		}
		text, err := json.Marshal(w)
		if err != nil {
			return err
		}
		// Readers that know no events take the text up to a space for a log entry
		// that they have to fetch, and find none.
		args = append(args, all[i].ID[:], all[i].ReplyTo, base64.StdEncoding.EncodeToString(text))
	}
	_, err := s.runInt(ctx, sayScript, args)
	return err
}

func parseSaid(text string) (*Said, bool) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	var w saidWire
	said := &Said{}
	if err := json.Unmarshal(data, &w); err != nil || len(w.ID) != len(said.ID) {
		return nil, false
	}
	copy(said.ID[:], w.ID)
	said.Events, said.sealed, said.Sealed = eventsOf(w.Events), w.Sealed, len(w.Sealed) > 0
	return said, true
}

func eventsOf(ws []eventWire) []queue.Event {
	var events []queue.Event
	for _, e := range ws {
		events = append(events, queue.Event{At: time.UnixMicro(e.At), Attempt: e.Attempt, Done: e.Done, Total: e.Total, Text: e.Text})
	}
	return events
}

// Events returns what was said of a task of the named queue; nothing, if that is not
// sealed as it should be.
func (s *Store) Events(name string, said *Said) []queue.Event {
	if !said.Sealed {
		if s.seal.OpenOutcome(name, &queue.Outcome{}) != nil { // as for an outcome
			return nil
		}
		return said.Events
	}
	data, err := s.seal.OpenData(seal.Said, name, said.ID, 0, said.sealed)
	if err != nil {
		return nil
	}
	var ws []eventWire
	if json.Unmarshal(data, &ws) != nil {
		return nil
	}
	return eventsOf(ws)
}
