package store

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// Replies is a subscription to the outcomes that are sent to one producer. The
// logs are the truth, the subscription a hint: whoever receives nothing for a
// while, or hears that the connection was made anew, reads the logs.
type Replies struct{ sub subscription }

// Replies makes a subscription to nothing yet.
func (s *Store) Replies(ctx context.Context) *Replies {
	return &Replies{sub: subscribe(ctx, s.rdb)}
}

// Add subscribes to one more log. Receive reports when that is done, or why it is
// not.
func (r *Replies) Add(ctx context.Context, key string) error { return r.sub.add(ctx, key) }

// Close ends the subscription and a Receive that is under way.
func (r *Replies) Close() error { return r.sub.ps.Close() }

// Hint is what came over the subscription.
type Hint struct {
	Key        string // the log
	Subscribed bool   // the subscription to the log stands (again): what came before it is only in the log
	Outcomes   []byte // what the log got
	Entry      string // all up to this entry of the log was told, unless Skipped; "" if it is yet to come
	Skipped    bool   // the entry was too large to send along
	Said       *Said  // instead of all that: what a handler says
	Answered   string // instead of all that: the token of a question that a consumer has answered
}

// Receive waits for the next hint. After an error the subscription mends itself:
// call Receive again.
func (r *Replies) Receive(ctx context.Context) (Hint, error) {
	for {
		msg, err := r.sub.receive(ctx)
		if err != nil {
			return Hint{}, err
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				return Hint{Key: m.Channel, Subscribed: true}, nil
			}
		case *redis.Message:
			if h, ok := parseHint(m.Channel, m.Payload); ok {
				return h, nil
			}
		}
	}
}

func parseHint(key, text string) (Hint, bool) {
	if token, ok := strings.CutPrefix(text, "!"); ok {
		return Hint{Key: key, Answered: token}, true
	}
	if text, ok := strings.CutPrefix(text, "?"); ok {
		said, ok := parseSaid(text)
		return Hint{Key: key, Said: said}, ok
	}
	if len(text) > 0 && (text[0] < '0' || text[0] > '9') { // no entry's number
		return Hint{Key: key, Outcomes: bytesOf(text)}, true
	}
	entry, body, along := strings.Cut(text, " ")
	return Hint{Key: key, Entry: entry, Outcomes: bytesOf(body), Skipped: along && body == ""}, true
}

// Logged is one entry of a log.
type Logged struct {
	Entry    string
	Outcomes []byte
}

// ReadLog returns up to limit entries of a log after the given one ("" for the
// start).
func (s *Store) ReadLog(ctx context.Context, key, after string, limit int64) ([]Logged, error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	msgs, err := s.rdb.XRangeN(ctx, key, from, "+", limit).Result()
	if err != nil {
		return nil, explain(err)
	}
	out := make([]Logged, 0, len(msgs))
	for _, m := range msgs {
		v, _ := m.Values["o"].(string)
		out = append(out, Logged{Entry: m.ID, Outcomes: bytesOf(v)})
	}
	return out, nil
}

// TrimLog drops a log's entries before the given one.
func (s *Store) TrimLog(ctx context.Context, key, before string) error {
	return explain(s.rdb.XTrimMinID(ctx, key, before).Err())
}

// DropLog drops a log that nobody will read any more.
func (s *Store) DropLog(ctx context.Context, key string) error {
	return explain(s.rdb.Unlink(ctx, key).Err())
}

// Standing is what [Store.Open] found.
type Standing struct {
	Outcome []byte // the outcome, if the task has finished
	Waits   bool   // the task exists and its outcome will be sent to the address
}

// Open asks for the outcome of a task, to be sent to addr when it comes;
// an empty addr only asks. The zero Standing means that the task is not there: it was never submitted, or it
// has finished and its outcome is not kept.
func (s *Store) Open(ctx context.Context, l Line, id queue.TaskID, addr string) (Standing, error) {
	r, err := openScript.run(ctx, s.rdb, append(openScript.args(l.base, l.root), id[:], addr))
	if err != nil {
		return Standing{}, err
	}
	if len(r) != 2 {
		return Standing{}, badReply("open", r)
	}
	switch r[0] {
	case "kept", "dead":
		return Standing{Outcome: []byte(r[1])}, nil
	case "waits":
		return Standing{Waits: true}, nil
	}
	return Standing{}, nil
}
