package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// bed is a server and what the tests of the store need on it.
type bed struct {
	t    *testing.T
	rdb  *redis.Client
	s    *store.Store
	mini *redistest.MiniServer // nil on a real server
	real *redistest.Server     // nil on miniredis

	now    time.Time // miniredis' clock, once the test has moved it
	number uint64    // of the last batch
}

// lapses is a lease that a test lets lapse by [bed.pass]. It is short, because a
// real server's clock cannot be moved; nothing lapses before somebody beats.
const lapses = 40 * time.Millisecond

// long is a lease that no test outlives.
const long = time.Hour

// everywhere runs the test on miniredis and on a real server: the store must not
// be able to tell them apart.
func everywhere(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("mini", func(t *testing.T) {
		t.Parallel()
		m := redistest.Mini(t)
		test(t, newBed(t, m.Client(), m, nil))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		r := redistest.Start(t)
		test(t, newBed(t, r.Client(), nil, r))
	})
}

func newBed(t *testing.T, rdb *redis.Client, m *redistest.MiniServer, r *redistest.Server) *bed {
	t.Helper()
	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	return &bed{t: t, rdb: rdb, s: s, mini: m, real: r}
}

// span is a time that does not pass by itself between two steps of a test, however
// slow the machine, but that pass can let go by.
func (b *bed) span() time.Duration {
	if b.mini != nil {
		return time.Hour
	}
	return 1500 * time.Millisecond
}

// pass lets the server's clock go on by at least d.
func (b *bed) pass(d time.Duration) {
	b.t.Helper()
	if b.mini != nil {
		if b.now.IsZero() {
			b.now = time.Now()
		}
		b.now = b.now.Add(d)
		b.mini.SetTime(b.now)
		return
	}
	from := b.clock()
	for b.clock().Sub(from) <= d {
		time.Sleep(min(d/8, 10*time.Millisecond))
	}
}

// clock is the server's time, cut to the milliseconds that scripts see.
func (b *bed) clock() time.Time {
	b.t.Helper()
	now, err := b.rdb.Time(b.ctx()).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return now.Truncate(time.Millisecond)
}

func (b *bed) ctx() context.Context { return b.t.Context() }

// line is the list queue that most tests use.
var line = store.NewLine("q", 0, "")

func msg() *queue.Message { return &queue.Message{Type: "t", Payload: []byte{0xc0}, Queue: "q"} }

// submit stores the messages as one batch and returns their ids.
func (b *bed) submit(ms ...*queue.Message) []queue.TaskID {
	b.t.Helper()
	ids, there := b.submitBatch(queue.KindList, ms...)
	if len(there) > 0 {
		b.t.Fatalf("fresh tasks were there before: %v", there)
	}
	return ids
}

func (b *bed) submitBatch(kind queue.Kind, ms ...*queue.Message) ([]queue.TaskID, map[int]string) {
	b.t.Helper()
	b.number++
	batch := newBatch(kind, b.number, ms...)
	there, err := b.s.Submit(b.ctx(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	ids := make([]queue.TaskID, len(ms))
	for i := range batch.Items {
		ids[i] = batch.Items[i].Msg.ID
	}
	return ids, there
}

// newBatch makes a batch of the messages, which get ids if they have none.
func newBatch(kind queue.Kind, number uint64, ms ...*queue.Message) *store.Batch {
	batch := &store.Batch{Queue: ms[0].Queue, Kind: kind, From: "producer", Number: number}
	for _, m := range ms {
		switch {
		case !m.ID.IsZero():
		case m.Key != "":
			m.ID = queue.KeyTaskID(m.Key, 1)
		default:
			m.ID = queue.NewTaskID(0)
		}
		batch.Partition = m.ID.Partition()
		batch.Items = append(batch.Items, store.Item{Msg: m, Wire: m.AppendWire(nil)})
	}
	return batch
}

// worker is a consumer with one lane.
type worker struct {
	b    *bed
	turn store.Turn
}

// worker signs a consumer on.
func (b *bed) worker(name string, lease time.Duration) *worker { return b.workerOn(line, name, lease) }

func (b *bed) workerOn(l store.Line, name string, lease time.Duration) *worker {
	b.t.Helper()
	if err := b.s.SignOn(b.ctx(), l, name, "", lease); err != nil {
		b.t.Fatal(err)
	}
	return &worker{b: b, turn: store.Turn{Line: l, Consumer: name, Lease: lease}}
}

// take takes the next turn of the lane.
func (w *worker) take(want int, ends ...store.End) *store.TurnReply {
	w.b.t.Helper()
	w.turn.Number++
	return w.again(want, ends...)
}

// again takes the last turn once more, as after a lost reply.
func (w *worker) again(want int, ends ...store.End) *store.TurnReply {
	w.b.t.Helper()
	r, err := w.try(want, ends...)
	if err != nil {
		w.b.t.Fatalf("turn of %s: %v", w.turn.Consumer, err)
	}
	return r
}

func (w *worker) try(want int, ends ...store.End) (*store.TurnReply, error) {
	w.turn.Want, w.turn.Ends = want, ends
	return w.b.s.Take(w.b.ctx(), &w.turn)
}

// claim claims up to n tasks and returns their ids.
func (w *worker) claim(n int) []queue.TaskID {
	w.b.t.Helper()
	return idsOf(w.take(n))
}

func idsOf(r *store.TurnReply) []queue.TaskID {
	out := make([]queue.TaskID, len(r.Tasks))
	for i, c := range r.Tasks {
		out[i] = c.ID
	}
	return out
}

func done(id queue.TaskID) store.End {
	return store.End{ID: id, Verdict: queue.VerdictDone, Attempt: 1}
}

// ended is an end with an outcome in the given state.
func ended(v queue.VerdictKind, id queue.TaskID, state queue.State) store.End {
	o := &queue.Outcome{ID: id, State: state, Attempt: 1, Value: []byte{7}}
	if state != queue.StateSucceeded {
		o.Value, o.Err = nil, &queue.TaskError{Message: "no"}
	}
	return store.End{ID: id, Verdict: v, Outcome: o, Attempt: 1}
}

// beat renews w's lease and fails the test if that is refused.
func (w *worker) beat() store.Beat {
	w.b.t.Helper()
	bt, err := w.b.s.Beat(w.b.ctx(), w.turn.Line, w.turn.Consumer, w.turn.Lease, long)
	if err != nil {
		w.b.t.Fatal(err)
	}
	return bt
}

// wants fails unless got is want.
func wants[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantIDs(t *testing.T, what string, got []queue.TaskID, want ...queue.TaskID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// state is where the store says the task is.
func (b *bed) state(id queue.TaskID) queue.State {
	b.t.Helper()
	return b.look(line, id).State
}

func (b *bed) look(l store.Line, id queue.TaskID) store.Task {
	b.t.Helper()
	k, err := b.s.Look(b.ctx(), l, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

func (b *bed) counts() store.Counts {
	b.t.Helper()
	c, err := b.s.Count(b.ctx(), line)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// clean fails if anything of a task is left in the line.
func (b *bed) clean() {
	b.t.Helper()
	root := store.Root("q", 0)
	for _, k := range []string{"tasks", "notes", "faults", "ready:0", "ready:1", "ready:2", "due", "bundled", "dead", "alone", "watch"} {
		if n := b.rdb.Exists(b.ctx(), root+k).Val(); n != 0 {
			b.t.Errorf("%s is left although no task is", k)
		}
	}
}
