package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// A worker without room gives back what comes over the bell. Its other lane may claim
// that again before the first one has heard that Redis has it back.
func TestATaskThatWasGivenBackIsRunWhenItComesAgain(t *testing.T) {
	task := queue.NewTask[int, int]("double")
	ran := make(chan int, 1)
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // nobody asks it
	defer func() { _ = rdb.Close() }()
	w, err := New(rdb, Config{Concurrency: 1}, task.Handler(func(_ context.Context, n int) (int, error) {
		ran <- n
		return 2 * n, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(w, store.NewLine("default", 0, ""), queue.Layout{}, 0, 1)
	w.slots.ports = append(w.slots.ports, p)
	id := queue.NewTaskID(0)
	p.belled[id] = 1
	p.under, w.slots.asked = 2, 1
	m := queue.Message{Type: "double", Payload: []byte{7}}
	p.absorb(&store.Turn{Line: p.line, Want: 1}, p.life, &store.TurnReply{
		Wake: -1, Tasks: []store.Claimed{{ID: id, Wire: m.AppendWire(nil), Note: store.Note{Level: 1}}},
	}, time.Millisecond, nil)
	select {
	case n := <-ran:
		if n != 7 {
			t.Errorf("argument %d", n)
		}
	case <-time.After(30 * time.Second):
		t.Error("the task is lost: it was claimed and never runs")
	}
	w.crew.Wait()
}
