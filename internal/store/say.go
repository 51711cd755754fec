package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

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
	ID     []byte     `json:"id"`
	Events saidEvents `json:"events,omitempty"`
	Sealed []byte     `json:"sealed,omitempty"` // instead of them
}

// saidEvents are events that travel as an array of eventWire.
type saidEvents []queue.Event

// MarshalJSON writes them.
func (l saidEvents) MarshalJSON() ([]byte, error) {
	ws := make([]eventWire, len(l))
	for i, e := range l {
		ws[i] = eventWire{e.At.UnixMicro(), e.Attempt, e.Done, e.Total, e.Text}
	}
	return json.Marshal(ws)
}

// leastEvent is less than what any event takes on the wire: the time alone, in this
// century, has 15 digits.
const leastEvent = 16

// UnmarshalJSON reads them one by one into as much memory as they can need, and no more of
// them than so many bytes can hold: three that say nothing would become a structure each.
func (l *saidEvents) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return fmt.Errorf("%w: events that are no array", queue.ErrMalformed)
	}
	most := len(data) / leastEvent
	events := make(saidEvents, 0, min(most, bytes.Count(data, []byte("{"))))
	var w eventWire
	for d.More() {
		if len(events) == most {
			return fmt.Errorf("%w: more than %d events in %d bytes", queue.ErrMalformed, most, len(data))
		}
		w = eventWire{}
		if err := d.Decode(&w); err != nil {
			return err
		}
		events = append(events, queue.Event{At: time.UnixMicro(w.At), Attempt: w.Attempt, Done: w.Done, Total: w.Total, Text: w.Text})
	}
	*l = events
	return nil
}

// readSaid is json.Unmarshal of what a handler said. Text that is not UTF-8, which nobody
// writes, is refused before it grows to what stands for that.
func readSaid(data []byte, v any) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: it is not UTF-8", queue.ErrMalformed)
	}
	return json.Unmarshal(data, v)
}

// Say passes on what handlers said to whoever waits for their tasks. Nothing is
// kept: who does not listen, or is cut off, misses it.
func (s *Store) Say(ctx context.Context, l Line, all []Said) error {
	args := sayScript.args(l.base, l.root)
	for i := range all {
		w := saidWire{ID: all[i].ID[:], Events: all[i].Events}
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
	if err := readSaid(data, &w); err != nil || len(w.ID) != len(said.ID) {
		return nil, false
	}
	copy(said.ID[:], w.ID)
	said.Events, said.sealed, said.Sealed = w.Events, w.Sealed, len(w.Sealed) > 0
	return said, true
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
	var events saidEvents
	if readSaid(data, &events) != nil {
		return nil
	}
	return events
}
