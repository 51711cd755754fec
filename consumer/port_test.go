package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var counting = queue.NewTask[int, int]("count")

// idlePort is a port of a worker that has no Redis, and whose handler counts.
func idlePort(t *testing.T, ran chan<- int) *port {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // nobody asks it
	t.Cleanup(func() { _ = rdb.Close() })
	w, err := New(rdb, Config{Concurrency: 1}, counting.Handler(func(_ context.Context, n int) (int, error) {
		ran <- n
		return n, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(w, store.NewLine("default", 0, ""), queue.Layout{}, 0, 1)
	w.slots.ports = append(w.slots.ports, p)
	return p
}

// absorbed has the port absorb a turn that brings the task.
func absorbed(p *port, turn store.Turn, id queue.TaskID) {
	turn.Line = p.line
	m := queue.Message{Type: "count", Payload: []byte{7}}
	p.under++
	p.w.slots.asked += turn.Want
	p.absorb(&turn, nil, p.life, &store.TurnReply{
		Wake: -1, Tasks: []store.Claimed{{ID: id, Wire: m.AppendWire(nil), Note: store.Note{Level: 1}}},
	}, time.Millisecond, nil)
	p.w.crew.Wait()
}

// A worker without room gives back what comes over the bell. Its other lane may claim
// that again before the first one has heard that Redis has it back.
func TestATaskThatWasGivenBackIsRunWhenItComesAgain(t *testing.T) {
	ran := make(chan int, 2)
	p, id := idlePort(t, ran), queue.NewTaskID(0)
	p.belled[id] = 1
	absorbed(p, store.Turn{Want: 1}, id)
	if len(ran) != 1 {
		t.Error("the task is lost: it was claimed and did not run")
	}
}

// It may come over the bell again as well. Of the one that was given back Redis is
// heard later; a resync must not take the other for lost then.
func TestATaskThatCameOverTheBellAgainIsNotRunTwice(t *testing.T) {
	ran := make(chan int, 2)
	p, id := idlePort(t, ran), queue.NewTaskID(0)
	p.belled[id] = 2
	p.under++
	p.absorb(&store.Turn{Line: p.line, Ends: []store.End{{ID: id, Verdict: queue.VerdictGiveBack}}}, nil, p.life, &store.TurnReply{Wake: -1}, time.Millisecond, nil)
	absorbed(p, store.Turn{Resync: true}, id)
	if len(ran) != 0 {
		t.Error("the task runs twice")
	}
}
