package store_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// init sets what a run without flags does; see `make model` for more of it.
func init() {
	for name, value := range map[string]string{"rapid.checks": "120", "rapid.nofailfile": "true", "rapid.shrinktime": "10s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

// TestModel takes random sequences of steps, on miniredis and on a real server at
// once, and compares after each of them: the two servers with each other, every
// key, and both with a model of what a task is and where it may be.
func TestModel(t *testing.T) {
	t.Parallel()
	for i := range 2 { // two cores, and then some
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			sides := newSides(t)
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(rt, sides)
				rt.Repeat(map[string]func(*rapid.T){
					"":         w.check,
					"submit":   w.submit,
					"submit2":  w.submit,
					"arrive":   w.arrive,
					"resubmit": w.resubmit,
					"sign on":  w.signOn,
					"beat":     w.beat,
					"leave":    w.leave,
					"hear":     w.hear,
					"turn":     w.turn,
					"turn2":    w.turn,
					"turn3":    w.turn,
					"turn4":    w.turn,
					"again":    w.again,
					"late":     w.late,
					"cancel":   w.cancel,
					"answer":   w.answer,
					"open":     w.open,
					"look":     w.look,
					"pass":     w.pass,
					"flush":    w.flush,
				})
				w.t = rt
				w.drain()
			})
		})
	}
}

// unit is a step of virtual time, moment a short one. Delays and leases are units
// less something, so that no two times that matter are close.
const (
	unit   = 1e6 * time.Second
	moment = 23 * time.Second
)

// where a task is, to the model.
type where int

const (
	nowhere where = iota // it was never there, or is forgotten
	waiting              // ready, or alone
	waitDue              // scheduled or to be retried, and ready once it is due
	running
	given // up: dead
	over
)

type mtask struct {
	id       queue.TaskID
	key      string
	at       where
	level    int
	attempts int
	crashes  int
	noted    bool // the store keeps a note
	due      int64
	bundled  bool // it may be in a bundle, and its message tells when it is due
	reply    string
	keep     time.Duration
	long     bool
	holder   *mworker
	lot      *mlot
	heard    bool // it came over the bell
	known    bool // its holder knows that it has it
	watchers []string
	mustTell bool // somebody waits: it ends with an outcome
	apart    bool // which travels by itself
	putOff   bool // by the turn that is under way, as one of a group
	died     int64
}

// mlot is a claim that is in flight as a whole, as its consumer has it.
type mlot struct {
	name  store.Lot
	tasks []*mtask
	maybe bool // somebody has had to do with one of its tasks: it may be no lot any more
}

// touched says that lots may have been spread.
func (w *world) touched() {
	for _, x := range w.order {
		if x.lot != nil {
			x.lot.maybe = true
		}
	}
}

type mworker struct {
	lease  time.Duration
	name   string
	leased int64 // until when
	gone   bool
	goneAt int64
	lanes  [2]struct {
		turn store.Turn
		sent bool
	}
}

// item is one task of a batch.
type item struct {
	id       queue.TaskID
	key      string
	priority queue.Priority
	delay    time.Duration
	at       int64 // run-at, virtual ms; 0 for none
	expire   time.Duration
	reply    string
	keep     time.Duration
	long     bool
}

type answered struct {
	letter store.Answer
	token  string // "" for one that is cancelled for all
	until  int64
}

type world struct {
	t       *rapid.T
	sides   [2]*side
	seen    *dump // what is on record, after the last check
	now     int64 // virtual ms
	serial  int
	number  uint64
	fresh   int64 // until when the producer's last number is known
	last    []item
	bare    bool // the last one was sent without a script
	tasks   map[queue.TaskID]*mtask
	order   []*mtask
	workers []*mworker
	told    map[string]int
	logEnd  map[string]int64
	kept    map[queue.TaskID]kept
	answers map[queue.TaskID]answered
	stops   map[string]map[queue.TaskID]store.Wish
	stopEnd map[string]int64
	tokens  []string
}

type kept struct {
	state queue.State
	until int64
}

func newWorld(t *rapid.T, sides [2]*side) *world {
	w := &world{
		t: t, sides: sides, tasks: map[queue.TaskID]*mtask{}, told: map[string]int{}, logEnd: map[string]int64{},
		kept: map[queue.TaskID]kept{}, answers: map[queue.TaskID]answered{},
		stops: map[string]map[queue.TaskID]store.Wish{}, stopEnd: map[string]int64{},
	}
	for _, s := range sides {
		s.reset(func(f string, a ...any) { w.t.Helper(); w.t.Fatalf(f, a...) })
	}
	w.seen = sides[0].dump()
	return w
}

// both takes a step on both sides, which must say the same, and returns that.
// Errors are told apart by kind.
func both[T any](w *world, what string, step func(s *side) (T, error)) (T, string) {
	w.t.Helper()
	var got [2]T
	var kinds [2]string
	for i, s := range w.sides {
		s.stop()
		v, err := step(s)
		s.stop()
		got[i] = v
		switch {
		case err == nil:
		case errors.Is(err, store.ErrLapsed):
			kinds[i] = "lapsed"
		case strings.Contains(err.Error(), "a reply of 1 elements"):
			kinds[i] = "late"
		case strings.Contains(err.Error(), "WRONGTYPE"):
			kinds[i] = "burnt"
		default:
			w.t.Fatalf("%s on %s: %v", what, s.name, err)
		}
	}
	if a, b := fmt.Sprintf("%+v", got[0]), fmt.Sprintf("%+v", got[1]); a != b || kinds[0] != kinds[1] {
		w.t.Fatalf("%s: %s says %s %s, %s says %s %s", what, w.sides[0].name, kinds[0], a, w.sides[1].name, kinds[1], b)
	}
	return got[0], kinds[0]
}

func (w *world) wants(what string, got, want any) {
	w.t.Helper()
	if a, b := fmt.Sprint(got), fmt.Sprint(want); a != b {
		w.t.Fatalf("%s: %s, want %s", what, a, b)
	}
}

// odd makes a span that no other one meets: k units, less a minute for each one
// made before.
func (w *world) odd(k int) time.Duration {
	w.serial++
	return time.Duration(k)*unit - time.Duration(w.serial)*time.Minute - 7*time.Second
}

func (w *world) freshID() queue.TaskID {
	w.serial++
	return queue.TaskID{0: 1, 14: byte(w.serial >> 8), 15: byte(w.serial)}
}

func (w *world) task(id queue.TaskID) *mtask {
	t := w.tasks[id]
	if t == nil {
		t = &mtask{id: id}
		w.tasks[id] = t
		w.order = append(w.order, t)
	}
	return t
}

func (t *mtask) there() bool { return t.at != nowhere && t.at != over }

// Submissions.

func (w *world) draw() item {
	it := item{priority: queue.Normal}
	if i := rapid.IntRange(0, 8).Draw(w.t, "key"); i < 3 {
		it.key = fmt.Sprint("key", i)
		it.id = queue.KeyTaskID(it.key, 1)
	} else {
		it.id = w.freshID()
	}
	if rapid.Bool().Draw(w.t, "plain") {
		return it
	}
	it.priority = rapid.SampledFrom([]queue.Priority{queue.Normal, queue.High, queue.Low}).Draw(w.t, "priority")
	it.reply = rapid.SampledFrom([]string{"", "p", "r"}).Draw(w.t, "reply")
	switch rapid.IntRange(0, 5).Draw(w.t, "how") {
	case 0:
		it.delay = w.odd(rapid.IntRange(1, 2).Draw(w.t, "delay"))
	case 1:
		it.expire = unit
	case 2:
		it.keep = unit - 30*time.Second
	case 3:
		it.keep = time.Hour
	case 4:
		it.long = true
	}
	return it
}

func (w *world) submit(t *rapid.T) {
	w.t = t
	var items []item
	for range rapid.IntRange(1, 4).Draw(t, "tasks") {
		items = append(items, w.draw())
	}
	if rapid.IntRange(0, 3).Draw(t, "bundle") == 0 {
		at := w.now + w.odd(1).Milliseconds()
		for range rapid.IntRange(1, 4).Draw(t, "at one moment") {
			items = append(items, item{id: w.freshID(), priority: queue.Normal, at: at})
		}
	}
	w.sendNew(items, false)
}

func (w *world) sendNew(items []item, bare bool) {
	w.number++
	w.last, w.bare = items, bare
	w.send(w.number, items, false)
	for range rapid.IntRange(0, 3).Draw(w.t, "replies lost") - 1 { // seldom
		w.send(w.number, items, true)
	}
}

// arrive submits tasks without a script. Arrivals begin as they do where the backlog
// is long: with what a script has submitted.
func (w *world) arrive(t *rapid.T) {
	w.t = t
	if len(w.seen.arrivals) == 0 {
		if len(w.seen.ready[1]) == 0 {
			t.Skip("nothing waits")
		}
		for _, s := range w.sides {
			s.must(s.rdb.LMove(s.ctx, root+"ready:1", root+"arrivals", "RIGHT", "RIGHT").Err())
			s.must(s.rdb.Persist(s.ctx, root+"came").Err())
			s.must(s.rdb.Persist(s.ctx, root+"settled").Err())
			delete(s.ends, root+"came")
			delete(s.ends, root+"settled")
		}
	}
	n := 1
	if rapid.Bool().Draw(t, "several") {
		n = rapid.SampledFrom([]int{2, 3, 70}).Draw(t, "how many") // in one entry, or in two
	}
	items := make([]item, n)
	for i := range items {
		items[i] = item{id: w.freshID(), priority: queue.Normal}
	}
	w.sendNew(items, true)
}

// resubmit sends the last batch, or one before, once more, while its number is
// known.
func (w *world) resubmit(t *rapid.T) {
	w.t = t
	if len(w.last) == 0 || w.now >= w.fresh {
		t.Skip("nothing to send again")
	}
	before := 0
	if !w.bare {
		before = rapid.IntRange(0, 1).Draw(t, "before")
	}
	w.send(w.number-uint64(before), w.last, true) //nolint:gosec // 0 or 1
}

func (w *world) send(number uint64, items []item, again bool) {
	w.t.Helper()
	there, _ := both(w, "submit", func(s *side) (map[int]string, error) {
		b := &store.Batch{Queue: "q", Kind: queue.KindList, From: "producer", Number: number}
		if w.bare {
			b.Arrivals = store.OpenArrivals(root)
		}
		for _, it := range items {
			m := msg()
			m.ID, m.Key, m.Priority, m.Delay, m.Expire, m.ReplyTo, m.Keep = it.id, it.key, it.priority, it.delay, it.expire, it.reply, it.keep
			if it.at > 0 {
				m.RunAt = s.at(it.at)
			}
			if it.long {
				m.Payload = make([]byte, 2000)
			}
			b.Items = append(b.Items, store.Item{Msg: m, Wire: m.AppendWire(nil)})
		}
		return s.s.Submit(s.ctx, b)
	})
	w.fresh = w.now + (10 * time.Minute).Milliseconds()
	want := map[int]bool{}
	for i, it := range items {
		t := w.task(it.id)
		switch {
		case it.key != "" && w.kept[it.id].until > w.now:
			want[i] = true
			continue
		case again:
			continue
		case t.there():
			want[i] = true
			if it.reply != "" && t.at != given {
				w.watch(t, it.reply)
			}
			continue
		}
		level := map[queue.Priority]int{queue.High: 0, queue.Normal: 1, queue.Low: 2}[it.priority]
		*t = mtask{id: it.id, key: it.key, level: level, at: waiting, reply: it.reply, keep: it.keep, long: it.long,
			noted: level != 1 || it.expire > 0, bundled: it.at > 0}
		if due := max(w.now+it.delay.Milliseconds(), it.at); due > w.now {
			t.at, t.due = waitDue, due
		}
	}
	for i := range items {
		if _, ok := there[i]; ok != want[i] {
			w.t.Fatalf("task %d of the batch was there before: %v, want %v", i, ok, want[i])
		}
	}
}

func (w *world) watch(t *mtask, addr string) {
	if !slices.Contains(t.watchers, addr) {
		t.watchers = append(t.watchers, addr)
	}
}

// Consumers.

func (w *world) living() []*mworker {
	return slices.DeleteFunc(slices.Clone(w.workers), func(k *mworker) bool { return k.gone })
}

// pick chooses a consumer, seldom one that is gone.
func (w *world) pick() *mworker {
	from := w.living()
	if len(w.workers) > len(from) && rapid.IntRange(0, 9).Draw(w.t, "zombie") == 0 || len(from) == 0 {
		from = w.workers
	}
	if len(from) == 0 {
		w.t.Skip("no consumer")
	}
	return rapid.SampledFrom(from).Draw(w.t, "consumer")
}

func (k *mworker) String() string { return k.name }

// GoString is how rapid tells what it has drawn.
func (k *mworker) GoString() string { return k.name }

func (w *world) lease(k *mworker) time.Duration {
	if k.lease == 0 { // a consumer's is always the same
		k.lease = w.odd(rapid.IntRange(1, 3).Draw(w.t, "lease")) // who lapses first is struck off first
	}
	k.leased = w.now + k.lease.Milliseconds()
	return k.lease
}

func (w *world) signOn(t *rapid.T) {
	w.t = t
	living := w.living()
	var former *mworker
	if len(living) > 0 && rapid.IntRange(0, 3).Draw(t, "former") == 0 {
		former = rapid.SampledFrom(living).Draw(t, "who")
	} else if len(living) >= 4 {
		t.Skip("enough")
	}
	k := &mworker{name: fmt.Sprintf("w%02d", len(w.workers))}
	w.workers = append(w.workers, k)
	lease, old := w.lease(k), ""
	if former != nil {
		old = former.name
	}
	both(w, "sign on", func(s *side) (int, error) { return 0, s.s.SignOn(s.ctx, line, k.name, old, lease) })
	var back backs
	if former != nil {
		back.add(w.strike(former, true))
	}
	w.sweep(&back)
	w.settle(back)
}

func (w *world) beat(t *rapid.T) {
	w.t = t
	k := w.pick()
	was := k.leased
	lease := w.lease(k)
	keepDead := time.Duration(0)
	if rapid.IntRange(0, 3).Draw(t, "drop dead") == 0 {
		keepDead = 2*unit - 30*time.Second
	}
	b, err := both(w, "beat", func(s *side) (store.Beat, error) {
		b, err := s.s.Beat(s.ctx, line, k.name, lease, keepDead)
		b.Next = 0
		slices.SortFunc(b.Wishes, func(x, y store.Wish) int { return slices.Compare(x.ID[:], y.ID[:]) })
		return b, err
	})
	if k.gone {
		k.leased = was
		w.wants("the heartbeat of one that is gone", err, "lapsed")
		return
	}
	w.wants("a heartbeat", err, "")
	var back backs
	n := w.sweep(&back)
	w.wants("lapsed", b.Lapsed, n)
	w.wants("recovered", b.Recovered, len(back))
	w.settle(back)
	for _, t := range w.order {
		if keepDead > 0 && t.at == given && t.died+keepDead.Milliseconds() <= w.now {
			w.forget(t)
			t.at = nowhere
		}
	}
	stops := w.wishes(k)
	w.wants("wishes", len(b.Wishes), len(stops))
	for _, wish := range b.Wishes {
		w.wants("wish", wish, stops[wish.ID])
	}
	delete(w.stops, k.name)
	// What the heartbeat says of a claim is a matter of the lists.
	if waits := w.count(waiting); waits > 0 {
		w.wants("a claim finds something", b.Claim, true)
	}
}

// wishes are those that the consumer has not heard.
func (w *world) wishes(k *mworker) map[queue.TaskID]store.Wish {
	if w.stopEnd[k.name] <= w.now {
		delete(w.stops, k.name)
	}
	return w.stops[k.name]
}

func (w *world) count(at where) int {
	n := 0
	for _, t := range w.order {
		if t.at == at {
			n++
		}
	}
	return n
}

// backs are tasks that have just gone back to where they wait.
type backs []*mtask

func (b *backs) add(ts []*mtask) { *b = append(*b, ts...) }

// sweep strikes off everybody whose lease has lapsed, and returns how many those are.
func (w *world) sweep(back *backs) int {
	lapsed := w.living()
	lapsed = slices.DeleteFunc(lapsed, func(k *mworker) bool { return k.leased > w.now })
	for _, k := range lapsed {
		back.add(w.strike(k, true))
	}
	return len(lapsed)
}

func (w *world) strike(k *mworker, crashed bool) (back []*mtask) {
	k.gone, k.goneAt = true, w.now
	for _, t := range w.order {
		if t.at != running || t.holder != k {
			continue
		}
		if crashed {
			t.crashes++
			t.noted = true
		}
		w.back(t)
		back = append(back, t)
	}
	return back
}

func (w *world) back(t *mtask) {
	t.at, t.holder, t.heard, t.due, t.mustTell, t.apart = waiting, nil, false, 0, false, false
}

// list is where a task waits that has come back.
func (t *mtask) list() string {
	if t.crashes >= 2 {
		return "alone"
	}
	return fmt.Sprint("ready:", t.level)
}

// settle checks that what went back is at the front (or, of what is to run alone,
// at the end) and puts it in order.
func (w *world) settle(back backs) {
	w.t.Helper()
	lists := map[string][]queue.TaskID{}
	for _, t := range back {
		lists[t.list()] = append(lists[t.list()], t.id)
	}
	for list, ids := range lists {
		slices.SortFunc(ids, func(a, b queue.TaskID) int { return slices.Compare(a[:], b[:]) })
		for _, s := range w.sides {
			if got := s.settle(list, len(ids), list == "alone"); !slices.Equal(got, ids) {
				w.t.Fatalf("%s: where %v went back to in %s, there is %v", s.name, ids, list, got)
			}
		}
	}
}

func (w *world) leave(t *rapid.T) {
	w.t = t
	k := w.pick()
	n, err := both(w, "leave", func(s *side) (int, error) { return s.s.Leave(s.ctx, line, k.name) })
	w.wants("leaving", err, "")
	var back backs
	if !k.gone {
		back.add(w.strike(k, false))
	}
	w.wants("gave back", n, len(back))
	w.settle(back)
}

// hear has a consumer take what is at the head of the bell; its reply may be lost.
func (w *world) hear(t *rapid.T) {
	w.t = t
	if len(w.seen.bell) == 0 {
		t.Skip("nothing on the bell")
	}
	k := w.pick()
	if k.gone && w.now >= k.goneAt+(2*time.Minute).Milliseconds() {
		t.Skip("no wait lasts that long")
	}
	lost := rapid.IntRange(0, 2).Draw(t, "reply lost") == 0
	head := w.seen.bell[0]
	_, err := both(w, "bell", func(s *side) (queue.TaskID, error) {
		r, ok, err := s.bell.Wait(s.ctx, line, k.name, time.Second)
		if err != nil {
			return queue.TaskID{}, err
		}
		if !ok {
			s.fail("%s: the bell does not ring", s.name)
		}
		if r.Task == nil {
			return queue.TaskID{}, nil
		}
		if r.Task.ID != head {
			s.fail("%s: over the bell came %v, want %v", s.name, r.Task.ID, head)
		}
		return r.Task.ID, nil
	})
	if k.gone {
		w.wants("the bell of one that is gone", err, "burnt")
		return
	}
	w.wants("the bell", err, "")
	if !head.IsZero() {
		t := w.tasks[head]
		t.at, t.holder, t.heard, t.known = running, k, true, !lost
	}
}

// Time and the rest.

func (w *world) pass(t *rapid.T) {
	w.t = t
	d := moment
	if rapid.Bool().Draw(t, "long") {
		d = unit
	}
	w.advance(d)
}

func (w *world) advance(d time.Duration) {
	for _, s := range w.sides {
		s.stop()
		s.pass(d)
	}
	w.now += d.Milliseconds()
	for addr, end := range w.logEnd {
		if end > w.now {
			continue
		}
		for k := range w.told {
			if strings.HasPrefix(k, addr+" ") {
				delete(w.told, k)
			}
		}
	}
}

func (w *world) flush(t *rapid.T) {
	w.t = t
	both(w, "flush", func(s *side) (int, error) { return 0, s.rdb.ScriptFlush(s.ctx).Err() })
}

func (w *world) open(t *rapid.T) {
	w.t = t
	w.touched()
	if len(w.order) == 0 {
		t.Skip("no task")
	}
	k := rapid.SampledFrom(w.order).Draw(t, "task")
	st, err := both(w, "open", func(s *side) (store.Standing, error) { return s.s.Open(s.ctx, line, k.id, "o") })
	w.wants("open", err, "")
	switch {
	case w.kept[k.id].until > w.now || k.at == given:
		o, err := queue.ParseOutcome(st.Outcome)
		if err != nil {
			t.Fatalf("the outcome of %v: %v", k.id, err)
		}
		if k.at != given {
			w.wants("the outcome that is kept", o.State, w.kept[k.id].state)
		}
	case k.there():
		w.wants("it waits", st.Waits, true)
		w.watch(k, "o")
	default:
		w.wants("it is gone", fmt.Sprint(st), fmt.Sprint(store.Standing{}))
	}
}

func (t *mtask) String() string {
	return fmt.Sprintf("%x", t.id[12:])
}

// GoString is how rapid tells what it has drawn.
func (t *mtask) GoString() string { return t.String() }

func (w *world) look(t *rapid.T) {
	w.t = t
	if len(w.order) == 0 {
		t.Skip("no task")
	}
	k := rapid.SampledFrom(w.order).Draw(t, "task")
	if k.bundled {
		t.Skip("its message tells a time, which does not move with the clock")
	}
	state, _ := both(w, "look", func(s *side) (queue.State, error) {
		l, err := s.s.Look(s.ctx, line, k.id)
		return l.State, err
	})
	want := queue.StateUnknown
	switch k.at {
	case waiting:
		want = queue.StateReady
	case waitDue:
		want = queue.StateScheduled
		if !slices.Contains(w.seen.due, k.id) {
			want = queue.StateReady
		} else if k.attempts > 0 {
			want = queue.StateRetry
		}
	case running:
		want = queue.StateRunning
	case given:
		want = queue.StateDead
	case nowhere, over:
		if r := w.kept[k.id]; r.until > w.now {
			want = r.state
		}
	}
	w.wants("state", state, want)
}

// finish ends a task with an outcome for all who wait, if it says one.
func (w *world) finish(t *mtask, state queue.State, addrs []string, keep time.Duration) {
	for _, a := range addrs {
		if a != "" {
			w.told[fmt.Sprintf("%s %s %v", a, t.id, state)]++
			w.logEnd[a] = w.now + time.Hour.Milliseconds()
		}
	}
	if keep > 0 {
		w.kept[t.id] = kept{state, w.now + keep.Milliseconds()}
	}
	t.watchers, t.mustTell, t.apart, t.holder, t.heard = nil, false, false, nil, false
	if state == queue.StateDead {
		t.at, t.died = given, w.now
		return
	}
	w.forget(t)
	t.at = over
}

func (w *world) forget(t *mtask) { t.noted, t.attempts, t.crashes, t.due = false, 0, 0, 0 }

func byID(a, b store.Claimed) int { return slices.Compare(a.ID[:], b.ID[:]) }
