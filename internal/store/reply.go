package store

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// Replies is a subscription to the outcomes that are sent to one producer. The
// logs are the truth, the subscription a hint: whoever receives nothing for a
// while, or hears that the connection was made anew, reads the logs.
type Replies struct {
	*subscription
}

// Replies makes a subscription to nothing yet. Of what is added to it Receive reports
// when it stands, or why it does not.
func (s *Store) Replies(ctx context.Context) *Replies { return &Replies{s.subscription(ctx)} }

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
		msg, err := r.receive(ctx)
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

// keepLog is how long a log outlives what was added last; tell says so as well.
const keepLog = time.Hour

// ReadLog returns up to limit entries of a log after the given one ("" for the
// start). A store that is [Store.Replicated] returns them when its replicas have
// them.
func (s *Store) ReadLog(ctx context.Context, key, after string, limit int64) ([]Logged, error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	var msgs []redis.XMessage
	err := s.confirmed(ctx, key, false, func(p redis.Cmdable) func() error {
		cmd := p.XRangeN(ctx, key, from, "+", limit)
		if s.replicas > 0 {
			p.PExpire(ctx, key, keepLog) // WAIT waits for what its own connection wrote
		}
		return func() (err error) {
			msgs, err = cmd.Result()
			return err
		}
	})
	if err != nil {
		return nil, err
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
	return s.explain(s.rdb.XTrimMinID(ctx, key, before).Err())
}

// DropLog drops a log that nobody will read any more.
func (s *Store) DropLog(ctx context.Context, key string) error {
	return s.explain(s.rdb.Unlink(ctx, key).Err())
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
	ask := func() ([]string, error) {
		return s.run(ctx, openScript, append(openScript.args(l.base, l.root), id[:], addr))
	}
	r, err := ask()
	if err == nil && len(r) == 2 && r[0] == "maybe" {
		if _, err = s.settle(ctx, l.root, false, string(id[:])); err == nil {
			r, err = ask() // a worker may have claimed it before it was settled
		}
	}
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
