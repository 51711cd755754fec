package producer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// What is said of a task reaches the futures of its submitter and of who has opened
// it elsewhere, in order, and ends with the task.
func TestEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		f, other := submit(b, double, 1), submit(b, double, 2)
		g := b.open(double, f.ID())
		o := must[*store.Store](b)(store.New(b.rdb))
		addr := replyAddress(b)
		var got [2][]queue.Event
		over := make(chan struct{}, 2)
		begun := make(chan struct{}, 1000)
		for i, f := range []*queue.Future[int]{f, g} {
			go func() {
				defer func() { over <- struct{}{} }()
				for e := range f.Events(b.ctx) {
					got[i] = append(got[i], e)
					begun <- struct{}{}
				}
			}()
		}
		at := time.UnixMilli(1e12)
		say := func(id queue.TaskID, es ...queue.Event) {
			if err := o.Say(b.ctx, store.NewLine(queue.DefaultQueue, 0, ""), []store.Said{{ID: id, ReplyTo: addr, Events: es}}); err != nil {
				t.Fatal(err)
			}
		}
		for listening := 0; listening < 2; { // a reader hears from the moment it asks
			say(f.ID(), queue.Event{At: at, Text: "hello"})
			b.wait("a reader", begun)
			listening = len(begun)
		}
		say(other.ID(), queue.Event{At: at, Text: "another's"})
		say(f.ID(), queue.Event{At: at, Attempt: 2, Done: 3, Total: 4}, queue.Event{At: at, Attempt: 2, Text: "two words"})
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		b.wait("the end of the events", over)
		b.wait("the end of the events", over)
		want := fmt.Sprint([]queue.Event{{At: at, Attempt: 2, Done: 3, Total: 4}, {At: at, Attempt: 2, Text: "two words"}})
		for i, es := range got {
			for len(es) > 0 && es[0].Text == "hello" {
				es = es[1:]
			}
			if fmt.Sprint(es) != want {
				t.Errorf("reader %d heard %v, want %v", i, es, want)
			}
		}
	})
}

// replyAddress is where the submitter of the first waiting task is told.
func replyAddress(b *bed) string {
	b.t.Helper()
	for _, wire := range must[map[string]string](b)(b.rdb.HGetAll(b.ctx, root+"tasks").Result()) {
		return must[*queue.Message](b)(queue.ParseMessage([]byte(wire))).ReplyTo
	}
	b.t.Fatal("no task waits")
	return ""
}
