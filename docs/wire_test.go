package docs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// foreign is a producer that knows docs/wire.md and nothing else of Cenote.
type foreign struct {
	t   *testing.T
	ctx context.Context
	rdb *redis.Client
}

func (f *foreign) do(args ...any) any {
	f.t.Helper()
	v, err := f.rdb.Do(f.ctx, args...).Result()
	if err != nil {
		f.t.Fatalf("%.60v: %v", args, err)
	}
	return v
}

// message makes the smallest message of the task "say" with the page's fields.
func message(payload string, reply string, keep time.Duration, group string) []byte {
	text := append([]byte{byte(0xa0 + len(payload))}, payload...) // a short msgpack str
	m := &queue.Message{Type: "say", Payload: text, ReplyTo: reply, Keep: keep, Group: group}
	return m.AppendWire(nil)
}

var say = queue.NewTask[string, string]("say")

// worker runs "say" on a queue until the test ends, and returns what it was given
// in the order in which it was run.
func (f *foreign) worker(q consumer.Queue) <-chan string {
	f.t.Helper()
	heard := make(chan string, 100)
	w, err := consumer.New(f.rdb, consumer.Config{Concurrency: 1, LookAhead: -1, Queues: []consumer.Queue{q}, Lease: time.Second},
		say.Handler(func(_ context.Context, s string) (string, error) {
			heard <- s
			return strings.ToUpper(s), nil
		}))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.t.Errorf("the worker: %v", err)
		}
	})
	return heard
}

func (f *foreign) next(heard <-chan string) string {
	f.t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(30 * time.Second):
		f.t.Fatal("the worker ran nothing for 30 s")
		return ""
	}
}

// wait waits until ok says so.
func (f *foreign) wait(ok func() bool) {
	f.t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			f.t.Fatal("the workers were not ready after 30 s")
		}
	}
}

// outcome reads one outcome of the reply log.
func (f *foreign) outcome(root, address string) *queue.Outcome {
	f.t.Helper()
	r, err := f.rdb.XRead(f.ctx, &redis.XReadArgs{Streams: []string{root + "reply:" + address, "0"}, Block: 30 * time.Second}).Result()
	if err != nil {
		f.t.Fatalf("no outcome in the reply log: %v", err)
	}
	var found []*queue.Outcome
	for _, e := range r[0].Messages {
		if err := queue.ParseOutcomes([]byte(e.Values["o"].(string)), func(o *queue.Outcome) bool { found = append(found, o); return true }); err != nil {
			f.t.Fatal(err)
		}
	}
	if len(found) != 1 {
		f.t.Fatalf("%d outcomes in the reply log, want 1", len(found))
	}
	return found[0]
}

func newForeign(t *testing.T) *foreign {
	return &foreign{t: t, ctx: t.Context(), rdb: redistest.Start(t).Client()}
}

// submit is the page's script.
func (f *foreign) submit(root string, id queue.TaskID, msg []byte) int64 {
	f.t.Helper()
	return f.do("EVAL", block(f.t, "wire.md", "lua"), 4, root+"tasks", root+"ready:1", root+"alive", root+"bell", id[:], msg).(int64)
}

func TestScriptOfThePage(t *testing.T) {
	f := newForeign(t)
	const root = "cenote:{q}:"
	id := queue.NewTaskID(0)
	msg := message("one", "me", time.Minute, "")
	if first, again := f.submit(root, id, msg), f.submit(root, id, msg); first != 1 || again != 0 {
		t.Fatalf("the script answered %d and %d; want 1, and 0 for the same id", first, again)
	}
	heard := f.worker(consumer.Queue{Name: "q"})
	if got := f.next(heard); got != "one" {
		t.Fatalf("the worker heard %q", got)
	}
	o := f.outcome(root, "me")
	if o.ID != id || o.State != queue.StateSucceeded || string(o.Value) != "\xa3ONE" {
		t.Fatalf("outcome %+v; want a success of %s with the value ONE", o, id)
	}
	kept, err := queue.ParseOutcome([]byte(f.do("GET", root+"result:"+string(id[:])).(string)))
	if err != nil || string(kept.Value) != "\xa3ONE" {
		t.Fatalf("kept outcome %+v, %v", kept, err)
	}
	// The worker is idle now: it is woken.
	f.submit(root, queue.NewTaskID(0), message("two", "", 0, ""))
	if got := f.next(heard); got != "two" {
		t.Fatalf("the worker heard %q; the first task was to be run once", got)
	}
}

func TestSubmissionWithoutScripts(t *testing.T) {
	f := newForeign(t)
	heard := f.worker(consumer.Queue{Name: "q"})
	const root = "cenote:{q}:"
	for _, ring := range []bool{true, false} {
		id := queue.NewTaskID(0)
		_, err := f.rdb.TxPipelined(f.ctx, func(p redis.Pipeliner) error {
			p.HSet(f.ctx, root+"tasks", id[:], message("hello", "", 0, ""))
			p.RPush(f.ctx, root+"ready:1", id[:])
			if ring {
				p.RPush(f.ctx, root+"bell", "")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.next(heard)
	}
}

func TestPrioritiesAndTimesOfThePage(t *testing.T) {
	f := newForeign(t)
	const root = "cenote:{q}:"
	store := func(name string) queue.TaskID {
		id := queue.NewTaskID(0)
		f.do("HSET", root+"tasks", id[:], message(name, name, 0, ""))
		return id
	}
	now := f.rdb.Time(f.ctx).Val().UnixMilli()
	low, normal, high, late, later := store("low"), store("normal"), store("high"), store("late"), store("later")
	f.do("HSET", root+"notes", low[:], "2 0 0 0", high[:], "0 0 0 0", late[:], fmt.Sprintf("1 0 0 %d", now-1))
	f.do("RPUSH", root+"ready:2", low[:])
	f.do("RPUSH", root+"ready:1", late[:], normal[:])
	f.do("RPUSH", root+"ready:0", high[:])
	f.do("ZADD", root+"due", now+500, later[:])
	heard := f.worker(consumer.Queue{Name: "q"})
	var got []string
	for range 4 {
		got = append(got, f.next(heard))
	}
	if want := []string{"high", "normal", "low", "later"}; !slices.Equal(got, want) {
		t.Errorf("the worker heard %v, want %v", got, want)
	}
	if end := f.rdb.Time(f.ctx).Val().UnixMilli(); end < now+500 {
		t.Errorf("the task due at +500 ms was run by +%d ms", end-now)
	}
	if o := f.outcome(root, "late"); o.State != queue.StateExpired || o.Err == nil || o.Err.Kind != "expired" {
		t.Errorf("the task that came too late ended as %+v, want expired", o)
	}
}

func TestStreamOfThePage(t *testing.T) {
	f := newForeign(t)
	billing := f.worker(consumer.Queue{Name: "events", Group: "billing"})
	mailer := f.worker(consumer.Queue{Name: "events", Group: "mailer"})
	const root = "cenote:{events}:"
	f.wait(func() bool { return f.do("SCARD", root+"groups").(int64) == 2 })
	id := queue.NewTaskID(0)
	f.do("XADD", root+"stream", "*", "t", string(id[:])+string(message("order", "me", 0, "billing")))
	for _, g := range f.rdb.SMembers(f.ctx, root+"groups").Val() {
		if f.do("ZCARD", root+"@"+g+"/alive").(int64) > f.do("LLEN", root+"@"+g+"/bell").(int64) {
			f.do("RPUSH", root+"@"+g+"/bell", "")
		}
	}
	if a, b := f.next(billing), f.next(mailer); a != "order" || b != "order" {
		t.Fatalf("billing heard %q and mailer %q", a, b)
	}
	if o := f.outcome(root, "me"); o.ID != id || o.State != queue.StateSucceeded {
		t.Errorf("outcome %+v, want billing's", o)
	}
}

// A queue of several partitions has a root for each, and the id says which.
func TestPartitionsOfThePage(t *testing.T) {
	f := newForeign(t)
	f.do("HSET", "cenote:{q}:conf", "kind", "list", "partitions", 3)
	heard := f.worker(consumer.Queue{Name: "q"})
	roots := []string{"cenote:{q}:", "cenote:{q/1}:", "cenote:{q/2}:"}
	f.wait(func() bool { // the worker has a single slot and looks after all three
		alive := int64(0)
		for _, root := range roots {
			alive += f.do("ZCARD", root+"alive").(int64)
		}
		return alive == 3
	})
	for k, root := range roots {
		f.submit(root, queue.NewTaskID(uint16(k)), message(fmt.Sprint(k), "", 0, ""))
		if got := f.next(heard); got != fmt.Sprint(k) {
			t.Errorf("partition %d: the worker heard %q", k, got)
		}
	}
}
