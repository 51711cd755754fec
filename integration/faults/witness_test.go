package faults

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/cenote-go/cenote/queue"
)

// witness writes down every outcome that Redis announces, to whomever. It may
// miss some, when its own connection is cut, but it hears of a second completion
// that a producer would silently ignore.
type witness struct {
	t    testing.TB
	rec  *recorder
	sub  *redis.PubSub
	done chan struct{}
}

func newWitness(t testing.TB, rdb redis.UniversalClient, dir string) *witness {
	t.Helper()
	rec, err := newRecorder(dir, "witness")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{t: t, rec: rec, sub: rdb.PSubscribe(t.Context(), "cenote:{"+queue.DefaultQueue+"*}:reply:*"), done: make(chan struct{})}
	if _, err := w.sub.Receive(t.Context()); err != nil {
		t.Fatalf("the witness cannot listen: %v", err)
	}
	go w.listen()
	t.Cleanup(w.stop)
	return w
}

// listen takes down announcements: the reply log's entry, a space, the outcomes; or
// a long outcome as it is and then the bare entry.
func (w *witness) listen() {
	defer close(w.done)
	long := map[string]string{} // by channel
	for {
		m, err := w.sub.ReceiveMessage(context.Background())
		if err != nil {
			if strings.Contains(err.Error(), "closed") {
				return
			}
			continue // cut off: the next call listens again
		}
		if strings.HasPrefix(m.Payload, "\x01") {
			long[m.Channel] = m.Payload
			continue
		}
		entry, body, along := strings.Cut(m.Payload, " ")
		if !along {
			body = long[m.Channel]
		}
		err = queue.ParseOutcomes([]byte(body), func(o *queue.Outcome) bool {
			r := record{Op: opTold, ID: o.ID.String(), Entry: entry}
			var a answer
			switch {
			case o.Err != nil:
				r.Error = o.Err.Error()
			case msgpack.Unmarshal(o.Value, &a) != nil:
				r.Error = "the value cannot be read"
			default:
				r.N, r.Run = a.N, a.Run
			}
			w.rec.add(r)
			return false
		})
		if err != nil {
			w.t.Errorf("an announcement on %s cannot be read: %v", m.Channel, err)
		}
	}
}

func (w *witness) stop() {
	_ = w.sub.Close()
	<-w.done
}
