package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// What somebody wants of one task, and what it was told.
type (
	asked struct {
		op   string // submit, claim, finish, back, strike, cancel, open
		id   queue.TaskID
		who  string // the consumer
		says int    // the value that a finish brings
	}
	told struct {
		known bool   // false: the reply was lost, and it happened or not
		says  string // accepted, refused, or what cancel and open say
		value int
	}
)

// stands is where one task is: absent, waiting, held by who, or ended with value.
type stands struct {
	at    string
	who   string
	value int
}

const (
	absent    = "absent"
	waits     = "waits"
	held      = "held"
	terminal  = "ended"
	cancelled = -1 // the value of a task that was cancelled
)

// oneTask is what may happen to one task, one thing at a time.
var oneTask = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[queue.TaskID][]porcupine.Operation{}
		for _, o := range history {
			id := o.Input.(asked).id
			by[id] = append(by[id], o)
		}
		var parts [][]porcupine.Operation
		for _, ops := range by {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() []any { return []any{stands{at: absent}} },
	Step: func(state, input, output any) []any {
		var next []any
		for _, s := range step(state.(stands), input.(asked), output.(told)) {
			next = append(next, s)
		}
		return next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}).ToModel()

// step returns where the task may be afterwards; nowhere if this cannot have
// happened.
func step(s stands, in asked, out told) []stands {
	happened, change := s, false // what it does to the task, if it does anything
	mine := s.at == held && s.who == in.who
	switch in.op {
	case "submit":
		happened, change = stands{at: waits}, s.at == absent
	case "claim":
		happened, change = stands{at: held, who: in.who}, s.at == waits
	case "finish":
		happened, change = stands{at: terminal, value: in.says}, mine
	case "back", "strike":
		happened, change = stands{at: waits}, mine
	case "cancel":
		happened, change = stands{at: terminal, value: cancelled}, s.at == waits
	}
	if !out.known {
		if change {
			return []stands{s, happened}
		}
		return []stands{s}
	}
	may := false
	switch in.op + " " + out.says {
	case "submit accepted", "claim accepted", "finish accepted", "back accepted":
		may = change
	case "claim perhaps":
		if may = change || mine; !change {
			happened = s
		}
	case "finish refused", "back refused":
		may, happened = !change, s
	case "strike accepted":
		may = true
		if !change {
			happened = s
		}
	case "cancel before":
		may = change || s == stands{at: terminal, value: cancelled}
		happened = stands{at: terminal, value: cancelled}
	case "cancel held":
		may, happened = s.at == held, s
	case "cancel late":
		may, happened = s.at == absent || s.at == terminal && s.value != cancelled, s
	case "open waits":
		may = s.at == waits || s.at == held
	case "open gone":
		may = s.at == absent
	case "open ended":
		may = s == stands{at: terminal, value: out.value}
	}
	if !may {
		return nil
	}
	return []stands{happened}
}

// scribe writes a history.
type scribe struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
	ids   []queue.TaskID // all that were ever submitted, or may have been
	lost  []porcupine.Operation
}

func (h *scribe) now() int64 { return int64(time.Since(h.began)) }

// add writes down what was asked at the moment call and is answered now. What has no
// answer may happen at any time.
func (h *scribe) add(call int64, in asked, out told) {
	ret := h.now()
	if !out.known {
		ret = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{Input: in, Output: out, Call: call, Return: ret})
}

// all adds an operation that is about every task.
func (h *scribe) all(call int64, in asked, out told) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ret := h.now()
	if !out.known {
		ret = math.MaxInt64
	}
	h.lost = append(h.lost, porcupine.Operation{Input: in, Output: out, Call: call, Return: ret})
}

// history returns all that was written, with what is about all tasks once for each
// that it may concern. A claim without an answer was made before its consumer was
// struck off, or never.
func (h *scribe) history() []porcupine.Operation {
	submitted := map[queue.TaskID]int64{}
	claims := map[queue.TaskID]map[string]bool{}
	for _, id := range h.ids {
		claims[id] = map[string]bool{}
	}
	for _, o := range h.ops {
		switch in := o.Input.(asked); in.op {
		case "submit":
			submitted[in.id] = o.Call
		case "claim":
			claims[in.id][in.who] = true
		}
	}
	gone := map[string]int64{}
	for _, o := range h.lost {
		if in := o.Input.(asked); in.op == "strike" && (gone[in.who] == 0 || o.Return < gone[in.who]) {
			gone[in.who] = o.Return
		}
	}
	ops := slices.Clone(h.ops)
	about := func(o porcupine.Operation, id queue.TaskID) {
		in := o.Input.(asked)
		in.id = id
		o.Input = in
		ops = append(ops, o)
	}
	for _, o := range h.lost {
		in := o.Input.(asked)
		if in.op != "claim" {
			continue
		}
		if o.Return = gone[in.who]; o.Return < o.Call {
			continue
		}
		for _, id := range h.ids {
			if submitted[id] < o.Return {
				about(o, id)
				claims[id][in.who] = true
			}
		}
	}
	for _, o := range h.lost {
		if in := o.Input.(asked); in.op == "strike" {
			for _, id := range h.ids {
				if claims[id][in.who] {
					about(o, id)
				}
			}
		}
	}
	return ops
}

func (h *scribe) some(r *rand.Rand) (queue.TaskID, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ids) == 0 {
		return queue.TaskID{}, false
	}
	return h.ids[r.IntN(len(h.ids))], true
}

// leaky is a connection that sometimes breaks when a reply has come, before
// anybody has read it.
type leaky struct {
	net.Conn
	leaks *atomic.Bool
	every int
}

func (l leaky) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err == nil && l.leaks.Load() && rand.IntN(l.every) == 0 { //nolint:gosec // a test's choice
		_ = l.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestHistoriesAreLinearizable has producers, consumers, cancellers and onlookers
// at work at once, over connections that lose replies, and looks for an order in
// which what each was told makes sense, task by task.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	b := linearBed(t)
	const each = 150 // tasks of a producer
	var producers, others sync.WaitGroup
	over := make(chan struct{})
	for i := range 2 {
		producers.Go(func() { b.produce(i, each) })
	}
	for i := range 3 {
		others.Go(func() { b.consume(i, over) })
	}
	others.Go(func() { b.strike(over) })
	others.Go(func() { b.cancelSome(over) })
	others.Go(func() { b.onlook(over) })
	producers.Wait()
	time.Sleep(200 * time.Millisecond)
	close(over)
	others.Wait()
	b.leaks.Store(false)
	b.finish()

	history := b.h.history()
	unknown := 0
	for _, o := range history {
		if !o.Output.(told).known {
			unknown++
		}
	}
	t.Logf("%d operations on %d tasks, of which %d without an answer; %d times somebody was struck off", len(history), len(b.h.ids), unknown, b.struck.Load())
	if b.struck.Load() == 0 || unknown == 0 {
		t.Error("nothing went wrong: this proves little")
	}
	b.verify(history)
}

type linear struct {
	t      *testing.T
	h      *scribe
	r      *redistest.Server
	clean  *store.Store // loses nothing
	rdb    *redis.Client
	leaks  atomic.Bool
	names  sync.Map // of consumers at work
	serial atomic.Int64
	struck atomic.Int64
}

func linearBed(t *testing.T) *linear {
	r := redistest.Start(t)
	b := &linear{t: t, h: &scribe{began: time.Now()}, r: r, rdb: r.Client()}
	b.clean = storeOver(t, r.Options())
	b.leaks.Store(true)
	return b
}

// leakyStore is a store whose replies are lost now and then. It does not try again
// by itself.
func (b *linear) leakyStore() *store.Store {
	o := b.r.Options()
	o.MaxRetries, o.PoolSize = -1, 1
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return leaky{c, &b.leaks, 12}, nil
	}
	return storeOver(b.t, o)
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), 0)) } //nolint:gosec // a test's choices

func (b *linear) produce(i, n int) {
	s, r := b.leakyStore(), newRand()
	for number := range n {
		m := msg()
		m.ID, m.ReplyTo, m.Keep = queue.NewTaskID(0), "p", time.Hour
		batch := newBatch(queue.KindList, uint64(number+1), m)
		batch.From = fmt.Sprint("producer", i)
		b.h.mu.Lock()
		b.h.ids = append(b.h.ids, m.ID)
		b.h.mu.Unlock()
		call := b.h.now()
		var err error
		for range 1 + r.IntN(4) {
			if _, err = s.Submit(b.t.Context(), batch); err == nil {
				break
			}
		}
		b.h.add(call, asked{op: "submit", id: m.ID}, told{known: err == nil, says: "accepted"})
	}
}

// consume claims tasks and ends them. After a reply that is lost for good it begins
// a new life, under another name.
func (b *linear) consume(i int, over <-chan struct{}) {
	s, r := b.leakyStore(), newRand()
	former := ""
	for life := 0; !closed(over); life++ {
		name := fmt.Sprintf("c%d-%d", i, life)
		call := b.h.now()
		for s.SignOn(b.t.Context(), line, name, former, time.Hour) != nil {
		}
		if former != "" {
			b.h.all(call, asked{op: "strike", who: former}, told{known: true, says: "accepted"})
		}
		b.names.Store(name, true)
		b.live(s, r, name, over)
		b.names.Delete(name)
		former = name
	}
	call := b.h.now()
	if _, err := b.clean.Leave(b.t.Context(), line, former); err != nil {
		b.t.Error(err)
	}
	b.h.all(call, asked{op: "strike", who: former}, told{known: true, says: "accepted"})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// live takes turns until one is refused or lost.
func (b *linear) live(s *store.Store, r *rand.Rand, name string, over <-chan struct{}) {
	turn := store.Turn{Line: line, Consumer: name, Lease: time.Hour}
	var mine []queue.TaskID
	for !closed(over) {
		turn.Number++
		turn.Want, turn.Ends = r.IntN(4), nil
		var ops []asked
		mine = slices.DeleteFunc(mine, func(id queue.TaskID) bool {
			switch r.IntN(4) {
			case 0:
				return false
			case 1:
				turn.Ends = append(turn.Ends, store.End{ID: id, Verdict: queue.VerdictGiveBack})
				ops = append(ops, asked{op: "back", id: id, who: name})
			default:
				n := int(b.serial.Add(1))
				turn.Ends = append(turn.Ends, store.End{ID: id, Verdict: queue.VerdictDone, ReplyTo: "p", Keep: time.Hour, Attempt: 1,
					Outcome: &queue.Outcome{ID: id, State: queue.StateSucceeded, Attempt: 1, Value: binary.BigEndian.AppendUint64(nil, uint64(n))}})
				ops = append(ops, asked{op: "finish", id: id, who: name, says: n})
			}
			return true
		})
		turn.Empty = len(mine) == 0 // or what has cost two workers would never be run
		call := b.h.now()
		reply, err := s.Take(b.t.Context(), &turn)
		again := false
		for range r.IntN(4) {
			if err == nil || errors.Is(err, store.ErrLapsed) {
				break
			}
			again = true
			reply, err = s.Take(b.t.Context(), &turn)
		}
		if err != nil && !errors.Is(err, store.ErrLapsed) {
			for _, o := range ops {
				b.h.add(call, o, told{})
			}
			b.lostClaim(call, name)
			return
		}
		if err != nil {
			for _, o := range ops { // the first time may have done it, before the name was struck off
				b.h.add(call, o, told{known: !again, says: "refused"})
			}
			if again {
				b.h.all(call, asked{op: "claim", who: name}, told{})
			}
			return
		}
		for _, o := range ops {
			out := told{known: !again, says: "accepted"} // a turn sent again does not say what it refused
			if slices.Contains(reply.Stale, o.id) {
				out.says = "refused"
			}
			b.h.add(call, o, out)
		}
		for _, c := range reply.Tasks {
			b.h.add(call, asked{op: "claim", id: c.ID, who: name}, told{known: true, says: "accepted"})
			mine = append(mine, c.ID)
		}
	}
}

// lostClaim writes down what a consumer has claimed that was not told. If it was
// struck off already, nobody knows: it may have been any task.
func (b *linear) lostClaim(call int64, name string) {
	tx := b.rdb.TxPipeline()
	alive := tx.ZScore(b.t.Context(), root+"alive", name)
	has := tx.HKeys(b.t.Context(), root+"run:"+name)
	if _, err := tx.Exec(b.t.Context()); err != nil && !errors.Is(err, redis.Nil) {
		b.t.Error(err)
		return
	}
	if alive.Err() != nil {
		b.h.all(call, asked{op: "claim", who: name}, told{})
		return
	}
	for _, f := range has.Val() {
		if len(f) == len(queue.TaskID{}) {
			// It had some of them before: then this is a claim that did nothing.
			b.h.add(call, asked{op: "claim", id: idOf(f), who: name}, told{known: true, says: "perhaps"})
		}
	}
}

// strike takes the lease from one consumer after the other.
func (b *linear) strike(over <-chan struct{}) {
	if err := b.clean.SignOn(b.t.Context(), line, "reaper", "", time.Hour); err != nil {
		b.t.Error(err)
		return
	}
	for !closed(over) {
		time.Sleep(20 * time.Millisecond)
		var name string
		b.names.Range(func(k, _ any) bool {
			name = k.(string)
			return rand.IntN(2) == 0 //nolint:gosec // a test's choice
		})
		if name == "" {
			continue
		}
		call := b.h.now()
		err := b.rdb.ZAddXX(b.t.Context(), root+"alive", redis.Z{Score: 1, Member: name}).Err()
		if err == nil {
			_, err = b.clean.Beat(b.t.Context(), line, "reaper", time.Hour, 0)
		}
		if err != nil {
			b.t.Error(err)
			return
		}
		b.struck.Add(1)
		b.h.all(call, asked{op: "strike", who: name}, told{known: true, says: "accepted"})
	}
	if _, err := b.clean.Leave(b.t.Context(), line, "reaper"); err != nil {
		b.t.Error(err)
	}
}

func (b *linear) cancelSome(over <-chan struct{}) {
	s, r := b.leakyStore(), newRand()
	for n := 0; !closed(over); n++ {
		time.Sleep(2 * time.Millisecond)
		id, ok := b.h.some(r)
		if !ok {
			continue
		}
		call := b.h.now()
		a, err := s.Cancel(b.t.Context(), "q", 0, fmt.Sprint("asker.", n), queue.Cancellation{}, []queue.TaskID{id})
		out := told{known: err == nil}
		if err == nil {
			out.says = map[store.Answer]string{store.AnswerBefore: "before", store.AnswerWait: "held", store.AnswerLate: "late"}[a[0]]
		}
		b.h.add(call, asked{op: "cancel", id: id}, out)
	}
}

func (b *linear) onlook(over <-chan struct{}) {
	r := newRand()
	for !closed(over) {
		if id, ok := b.h.some(r); ok {
			b.look(id)
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *linear) look(id queue.TaskID) told {
	call := b.h.now()
	st, err := b.clean.Open(b.t.Context(), line, id, "")
	if err != nil {
		b.t.Error(err)
		return told{}
	}
	out := told{known: true, says: "gone"}
	switch {
	case st.Waits:
		out.says = "waits"
	case st.Outcome != nil:
		o, err := queue.ParseOutcome(st.Outcome)
		if err != nil {
			b.t.Error(err)
			return told{}
		}
		out.says, out.value = "ended", cancelled
		if o.State == queue.StateSucceeded {
			out.value = int(binary.BigEndian.Uint64(o.Value))
		}
	}
	b.h.add(call, asked{op: "open", id: id}, out)
	return out
}

// finish drains what is left and looks at every task once more.
func (b *linear) finish() {
	if err := b.clean.SignOn(b.t.Context(), line, "last", "", time.Hour); err != nil {
		b.t.Fatal(err)
	}
	b.live(b.clean, newRand(), "last", b.drained())
	left := 0
	for _, id := range b.h.ids {
		if b.look(id).says == "waits" {
			left++
		}
	}
	if left > 0 {
		b.t.Errorf("%d tasks cannot be claimed", left)
	}
}

// drained is closed when no task is left.
func (b *linear) drained() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if n, err := b.rdb.HLen(context.Background(), root+"tasks").Result(); err != nil || n == 0 {
				return
			}
		}
	}()
	return over
}

func (b *linear) verify(history []porcupine.Operation) {
	b.t.Helper()
	for _, part := range oneTask.Partition(history) {
		if r := porcupine.CheckOperationsTimeout(oneTask, part, time.Minute); r != porcupine.Ok {
			slices.SortFunc(part, func(x, y porcupine.Operation) int { return int(x.Call - y.Call) })
			for _, o := range part {
				b.t.Logf("%12d %20d %+v %+v", o.Call, o.Return, o.Input, o.Output)
			}
			b.t.Fatalf("a task's history makes no sense in any order: %v", r)
		}
	}
}

// TestIllegalHistoriesAreSeen proves that the model bites.
func TestIllegalHistoriesAreSeen(t *testing.T) {
	t.Parallel()
	type event struct {
		in  asked
		out told
	}
	yes, no, lost := told{known: true, says: "accepted"}, told{known: true, says: "refused"}, told{}
	submit, claimA, claimB := event{asked{op: "submit"}, yes}, event{asked{op: "claim", who: "a"}, yes}, event{asked{op: "claim", who: "b"}, yes}
	strikeA := event{asked{op: "strike", who: "a"}, yes}
	finish := func(who string, says int, out told) event {
		return event{asked{op: "finish", who: who, says: says}, out}
	}
	ended := func(v int) event { return event{asked{op: "open"}, told{known: true, says: "ended", value: v}} }
	gone, before := event{asked{op: "open"}, told{known: true, says: "gone"}}, event{asked{op: "cancel"}, told{known: true, says: "before"}}
	for name, c := range map[string]struct {
		legal  bool
		events []event
	}{
		"taken over":                        {true, []event{submit, claimA, strikeA, claimB, finish("a", 1, no), finish("b", 2, yes), ended(2)}},
		"an answer that was lost":           {true, []event{submit, claimA, finish("a", 1, lost), strikeA, ended(1)}},
		"a zombie's end is accepted":        {false, []event{submit, claimA, strikeA, claimB, finish("a", 1, yes)}},
		"two have it":                       {false, []event{submit, claimA, claimB}},
		"it ends twice":                     {false, []event{submit, claimA, finish("a", 1, yes), finish("a", 2, yes)}},
		"two values are seen":               {false, []event{submit, claimA, finish("a", 1, lost), finish("a", 2, lost), ended(1), ended(2)}},
		"it is lost":                        {false, []event{submit, gone}},
		"it ran although it was called off": {false, []event{submit, before, claimA}},
		"it ended and was called off":       {false, []event{submit, claimA, finish("a", 1, yes), before}},
	} {
		var history []porcupine.Operation
		for i, e := range c.events {
			o := porcupine.Operation{Input: e.in, Output: e.out, Call: int64(2 * i), Return: int64(2*i + 1)}
			if !e.out.known {
				o.Return = math.MaxInt64
			}
			history = append(history, o)
		}
		if got := porcupine.CheckOperations(oneTask, history); got != c.legal {
			t.Errorf("%s: legal %v, want %v", name, got, c.legal)
		}
	}
}
