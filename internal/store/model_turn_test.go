package store_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// said is a turn's reply as far as the model says what it is.
type said struct {
	tasks          []store.Claimed
	alone, drain   bool
	open           bool // the arrivals, for this consumer
	lot            bool
	unknown        []int
	stale, watched []queue.TaskID
}

func (w *world) take(turn store.Turn, sorted bool) (said, string) {
	w.t.Helper()
	r, err := both(w, "turn", func(s *side) (said, error) {
		t := turn // a script's arguments are of one side
		r, err := s.s.Take(s.ctx, &t)
		if err != nil {
			return said{}, err
		}
		out := said{r.Tasks, r.Alone, r.Drain, r.Open, r.Lot, r.Unknown, r.Stale, r.Watched}
		for i := range out.tasks {
			out.tasks[i].Wire = nil // a message may have a time in it
			out.tasks[i].Note.Expires = min(out.tasks[i].Note.Expires, 1)
		}
		if from := w.claimedOf(out.tasks, turn); sorted {
			slices.SortFunc(out.tasks, byID)
		} else {
			slices.SortFunc(out.tasks[from:], byID)
		}
		return out, nil
	})
	return r, err
}

// claimedOf is how many of the tasks were claimed. What came over the bell stands
// behind them in no particular order.
func (w *world) claimedOf(tasks []store.Claimed, turn store.Turn) int {
	n := len(tasks)
	for n > 0 {
		t := w.tasks[tasks[n-1].ID]
		if t == nil || t.at != running || t.holder.name != turn.Consumer || !t.heard ||
			slices.ContainsFunc(turn.Ends, func(e store.End) bool { return e.ID == t.id }) {
			break
		}
		n--
	}
	return n
}

// ending is what the consumer says of a task, and what the model makes of it.
type ending struct {
	t   *mtask
	end store.End
}

// end makes up how a task ends, the way a consumer would say it.
func (w *world) end(t *mtask, verdict queue.VerdictKind) store.End {
	e := store.End{ID: t.id, Verdict: verdict, ReplyTo: t.reply, Keep: t.keep, Attempt: t.attempts + 1, Apart: t.apart}
	state := map[queue.VerdictKind]queue.State{
		queue.VerdictDone: queue.StateSucceeded, queue.VerdictCancel: queue.StateCancelled,
		queue.VerdictExpire: queue.StateExpired, queue.VerdictDead: queue.StateDead, queue.VerdictRetry: queue.StateDead,
	}[verdict]
	switch verdict {
	case queue.VerdictDone:
		if rapid.IntRange(0, 4).Draw(w.t, "then") == 0 {
			e.Next = &store.Next{ID: w.freshID(), Wire: msg().AppendWire(nil), Priority: queue.Normal}
			if rapid.Bool().Draw(w.t, "high") {
				e.Next.Priority = queue.High
			}
			if rapid.Bool().Draw(w.t, "later") {
				e.Next.Delay = w.odd(1)
			}
		}
		if t.reply == "" && t.keep == 0 && !t.mustTell && e.Next == nil {
			return e // nobody wants its outcome
		}
		e.Outcome = &queue.Outcome{ID: t.id, State: state, Attempt: e.Attempt, Value: []byte{7}}
	case queue.VerdictRetry, queue.VerdictPark:
		e.Delay = w.odd(rapid.IntRange(1, 2).Draw(w.t, "delay"))
		if verdict == queue.VerdictPark {
			break
		}
		e.Note = store.Note{Level: t.level, Attempts: t.attempts + 1, Crashes: t.crashes}
		fallthrough
	case queue.VerdictCancel, queue.VerdictExpire, queue.VerdictDead:
		e.Outcome = &queue.Outcome{ID: t.id, State: state, Attempt: e.Attempt, Err: &queue.TaskError{Message: "no"}}
	}
	return e
}

var verdicts = []queue.VerdictKind{
	queue.VerdictDone, queue.VerdictDone, queue.VerdictDone, queue.VerdictCancel, queue.VerdictExpire,
	queue.VerdictDead, queue.VerdictRetry, queue.VerdictRetry, queue.VerdictPark, queue.VerdictGiveBack,
}

func (w *world) turn(t *rapid.T) {
	w.t = t
	k := w.pick()
	var ends []ending
	left, unknown := 0, false
	var over []*mlot
	for _, l := range w.lots(k) {
		if rapid.Bool().Draw(t, "the lot is over") {
			over = append(over, l)
		}
	}
	for _, x := range w.order {
		if x.at != running || x.holder != k || slices.Contains(over, x.lot) {
			continue
		}
		if !x.known {
			unknown = true
		}
		if !x.known || rapid.IntRange(0, 2).Draw(t, "goes on") == 0 {
			left++
			continue
		}
		ends = append(ends, ending{x, w.end(x, rapid.SampledFrom(verdicts).Draw(t, "verdict"))})
	}
	foreign := rapid.IntRange(0, 7).Draw(t, "foreign") == 0 && len(w.order) > 0
	if foreign {
		x := rapid.SampledFrom(w.order).Draw(t, "whose")
		if foreign = x.at != running || x.holder != k; foreign {
			ends = append(ends, ending{x, w.end(x, rapid.SampledFrom(verdicts).Draw(t, "verdict"))})
		}
	}
	turn := store.Turn{
		Line: line, Consumer: k.name, Lane: rapid.IntRange(0, 1).Draw(t, "lane"), Lease: unit - 30*time.Second,
		Want:    rapid.IntRange(0, 4).Draw(t, "want"),
		Listens: rapid.Bool().Draw(t, "listens"),
		Returns: rapid.Bool().Draw(t, "returns"),
		Whole:   rapid.Bool().Draw(t, "whole"),
		Resync:  unknown || rapid.IntRange(0, 5).Draw(t, "resync") == 0,
	}
	turn.Empty = left == 0
	if foreign {
		turn.Want = 0 // nobody claims what it has just said something about
	}
	if rapid.IntRange(0, 7).Draw(t, "quiet") == 0 {
		turn.Quiet, turn.Want = true, 0
	}
	w.step(k, turn, over, ends, max(0, rapid.IntRange(0, 4).Draw(t, "replies lost")-2))
}

// step takes a turn, repeats it as often as its reply is lost, and has the model do
// the same.
func (w *world) step(k *mworker, turn store.Turn, over []*mlot, ends []ending, lost int) said {
	w.t.Helper()
	lane := &k.lanes[turn.Lane]
	turn.Number = lane.turn.Number + 1
	addrs := rowAddrs(ends)
	// The plain ones are looked at first, then the rows.
	rank := func(e ending) int {
		if plain(e.end) {
			return 0
		}
		if n := slices.Index(addrs, e.rowAddr()); n >= 0 {
			return 1 + n
		}
		return 1 + len(addrs)
	}
	slices.SortStableFunc(ends, func(a, b ending) int { return rank(a) - rank(b) })
	for _, e := range ends {
		turn.Ends = append(turn.Ends, e.end)
	}
	for _, l := range over {
		turn.Lots = append(turn.Lots, store.LotEnd{Lot: l.name})
	}
	for _, e := range ends {
		if l := e.t.lot; l != nil && e.t.holder == k && !slices.ContainsFunc(turn.Lots, func(o store.LotEnd) bool { return o.Lot == l.name }) {
			turn.Lots = append(turn.Lots, store.LotEnd{Lot: l.name, Broken: true})
			defer l.forget()
		}
	}
	before := w.seen
	r, err := w.take(turn, false)
	if k.gone {
		w.wants("a turn of one that is gone", err, "lapsed")
		return r
	}
	w.wants("a turn", err, "")
	lane.turn, lane.sent = turn, true

	for i, l := range over {
		if slices.Contains(r.unknown, i) {
			w.wants("somebody had to do with a lot that is none any more", l.maybe, true)
		} else {
			for _, x := range l.tasks {
				w.wants("watchers of "+x.String(), len(x.watchers), 0)
				w.apply(ending{x, store.End{ID: x.id, Verdict: queue.VerdictDone}})
			}
		}
		l.forget()
	}
	var stale, watched []queue.TaskID
	ready := before.ready
	for p := range ready {
		ready[p] = slices.Clone(ready[p])
	}
	alone := slices.Clone(before.alone)
	for _, addr := range addrs { // as a whole, or not at all
		var off, mine []queue.TaskID
		n := 0
		for _, e := range ends {
			switch t := e.t; {
			case e.rowAddr() != addr:
				continue
			case t.at != running || t.holder != k:
			case len(t.watchers) > 0:
				off = append(off, t.id)
			default:
				mine = append(mine, t.id)
			}
			n++
		}
		if len(mine) == n {
			continue
		}
		for _, id := range append(off, mine...) {
			w.tasks[id].putOff, w.tasks[id].mustTell, w.tasks[id].apart = true, true, true
		}
		watched = append(watched, append(off, mine...)...)
	}
	puts := watched
	watched = nil
	for _, e := range ends {
		switch t := e.t; {
		case t.putOff:
			t.putOff = false
		case t.at != running || t.holder != k:
			stale = append(stale, t.id)
		case plain(e.end) && len(t.watchers) > 0:
			watched = append(watched, t.id)
			t.mustTell = true
		default:
			next := w.apply(e)
			switch {
			case e.end.Verdict == queue.VerdictGiveBack && t.list() == "alone":
				alone = slices.Insert(alone, 0, t.id)
			case e.end.Verdict == queue.VerdictGiveBack:
				ready[t.level] = slices.Insert(ready[t.level], 0, t.id)
			case next != nil && next.at == waiting:
				ready[next.level] = append(ready[next.level], next.id)
			}
		}
	}
	watched = append(watched, puts...)
	w.wants("refused", r.stale, stale)
	w.wants("put off", r.watched, watched)

	claimed, lone, drain := w.claims(k, turn, before, ready, alone)
	var lostOnes []*mtask
	for _, t := range w.order {
		if t.at == running && t.holder == k && t.heard && turn.Resync {
			lostOnes = append(lostOnes, t)
		}
	}
	w.wants("to run alone", r.alone, lone)
	w.wants("to become empty", r.drain, drain)
	w.wants("open", r.open, turn.Returns && !lone && !drain && len(w.sides[0].dump().arrivals) > 0)
	// The ids of cancelled tasks in a bundle take part in what is drawn from it.
	if short := len(claimed) + len(lostOnes) - len(r.tasks); short > 0 && short <= len(claimed) && w.cancelledDue(before) {
		claimed = claimed[:len(claimed)-short]
	}
	if len(r.tasks) != len(claimed)+len(lostOnes) {
		w.t.Fatalf("%s claimed %v, want %v and %v that came over the bell", k.name, r.tasks, claimed, lostOnes)
	}
	for i, c := range r.tasks[:len(claimed)] {
		w.wants("claimed", c.ID, claimed[i].id)
	}
	for _, t := range claimed {
		t.at, t.holder, t.heard, t.lot = running, k, false, nil
	}
	if r.lot && lost == 0 {
		l := &mlot{name: store.Lot{Lane: turn.Lane, Number: turn.Number}, tasks: claimed}
		for _, t := range claimed {
			t.lot = l
		}
	}
	for i, c := range r.tasks {
		t := w.tasks[c.ID]
		if i >= len(claimed) && !slices.Contains(lostOnes, t) {
			w.t.Fatalf("%v is said to have come over the bell to %s", c.ID, k.name)
		}
		t.known = true
		w.wants("note of "+t.String(), fmt.Sprint(c.Note.Level, c.Note.Attempts, c.Note.Crashes), fmt.Sprint(t.level, t.attempts, t.crashes))
	}
	first := slices.SortedFunc(slices.Values(r.tasks), byID)
	for range lost {
		w.touched()
		again, err := w.take(turn, true)
		w.wants("the turn again", err, "")
		w.wants("claimed again", again.tasks, first)
		w.wants("refused again", again.stale, []queue.TaskID(nil))
		w.wants("a lot again", again.lot, false)
		w.wants("unknown again", again.unknown, r.unknown)
		w.wants("put off again", again.watched, watched)
		w.wants("alone again", again.alone, r.alone)
		w.wants("open again", again.open, r.open)
	}
	return r
}

// lots are those of a consumer of whose tasks it knows nothing else.
func (w *world) lots(k *mworker) (ls []*mlot) {
	for _, x := range w.order {
		if l := x.lot; l != nil && !slices.Contains(ls, l) && !slices.ContainsFunc(l.tasks, func(x *mtask) bool {
			return x.at != running || x.holder != k || x.lot != l || !x.known
		}) {
			ls = append(ls, l)
		}
	}
	return ls
}

func (l *mlot) forget() {
	for _, x := range l.tasks {
		if x.lot == l {
			x.lot = nil
		}
	}
}

func plain(e store.End) bool { return e.Verdict == queue.VerdictDone && e.Outcome == nil }

// rowAddr is the address that e's outcome may be sent to together with others, if any.
func (e ending) rowAddr() string {
	if e.end.Keep > 0 || e.end.Next != nil || e.end.Part || e.end.Apart ||
		!slices.Contains([]queue.VerdictKind{queue.VerdictDone, queue.VerdictCancel, queue.VerdictExpire}, e.end.Verdict) {
		return ""
	}
	return e.end.ReplyTo
}

// rowAddrs are the addresses that more than one of the outcomes go to, in order.
func rowAddrs(ends []ending) (addrs []string) {
	seen := map[string]int{}
	var order []string
	for _, e := range ends {
		if addr := e.rowAddr(); addr != "" {
			if seen[addr]++; seen[addr] == 1 {
				order = append(order, addr)
			}
		}
	}
	return slices.DeleteFunc(order, func(addr string) bool { return seen[addr] < 2 })
}

// apply does what an accepted ending does, and returns the task that follows.
func (w *world) apply(e ending) *mtask {
	t := e.t
	to := append([]string{t.reply}, t.watchers...)
	if plain(e.end) {
		to = nil
	}
	switch e.end.Verdict {
	case queue.VerdictDone, queue.VerdictCancel, queue.VerdictExpire, queue.VerdictDead:
		state := queue.StateSucceeded
		if e.end.Outcome != nil {
			state = e.end.Outcome.State
		}
		w.finish(t, state, to, e.end.Keep)
		if n := e.end.Next; n != nil {
			next := w.task(n.ID)
			*next = mtask{id: n.ID, level: 1, at: waiting}
			if n.Priority == queue.High {
				next.level, next.noted = 0, true
			}
			if n.Delay > 0 {
				next.at, next.due = waitDue, w.now+n.Delay.Milliseconds()
			}
			return next
		}
	case queue.VerdictRetry:
		t.attempts++
		t.noted = true
		fallthrough
	case queue.VerdictPark:
		t.at, t.holder, t.heard, t.due, t.mustTell = waitDue, nil, false, w.now+e.end.Delay.Milliseconds(), false
		t.apart = false
	default:
		w.back(t)
	}
	return nil
}

// claims is what a turn is to claim, of what was on record before it and what its
// endings have changed.
func (w *world) claims(k *mworker, turn store.Turn, before *dump, ready [3][]queue.TaskID, alone []queue.TaskID) (claimed []*mtask, lone, drain bool) {
	if turn.Want == 0 {
		return nil, false, false
	}
	live := func(ids []queue.TaskID) (ts []*mtask) {
		for _, id := range ids {
			if t := w.tasks[id]; t != nil && t.there() {
				ts = append(ts, t)
			}
		}
		return ts
	}
	if len(alone) > 0 && (before.turn == "" || before.turn == k.name) {
		if before.taken[k.name] > 0 || !turn.Empty {
			return nil, false, true
		}
		if ts := live(alone); len(ts) > 0 {
			return ts[:1], true, false
		}
	}
	for _, id := range before.bell[:min(turn.Want, len(before.bell))] {
		if !id.IsZero() {
			claimed = append(claimed, w.tasks[id])
		}
	}
	var due []*mtask
	for _, id := range before.due {
		if t := w.tasks[id]; t.at == waitDue && t.due <= w.now {
			due = append(due, t)
		}
	}
	noted := slices.ContainsFunc(w.order, func(t *mtask) bool { return t.there() && t.noted })
	if !noted {
		claimed = append(append(append(append(claimed, live(ready[0])...), live(ready[1])...), due...), live(ready[2])...)
		return claimed[:min(len(claimed), turn.Want)], false, false
	}
	for p, ids := range ready {
		claimed = append(claimed, live(ids)...)
		for _, t := range due {
			if t.list() == fmt.Sprint("ready:", p) {
				claimed = append(claimed, t)
			}
		}
	}
	return claimed[:min(len(claimed), turn.Want)], false, false
}

// cancelledDue says whether a task that is due was cancelled and has left its id.
func (w *world) cancelledDue(u *dump) bool {
	return slices.ContainsFunc(u.due, func(id queue.TaskID) bool { return !w.tasks[id].there() })
}

// again sends a consumer's last turn once more, after others have taken their steps.
func (w *world) again(t *rapid.T) {
	w.t = t
	k := w.pick()
	lane := rapid.IntRange(0, 1).Draw(t, "lane")
	last := k.lanes[lane]
	if !last.sent {
		t.Skip("no turn")
	}
	last.turn.Resync = false
	w.touched()
	r, err := w.take(last.turn, true)
	if k.gone {
		w.wants("the turn of one that is gone", err, "lapsed")
		return
	}
	w.wants("a turn sent again", err, "")
	w.wants("refused again", r.stale, []queue.TaskID(nil))
	for _, c := range r.tasks {
		if x := w.tasks[c.ID]; x.at != running || x.holder != k {
			t.Fatalf("a turn sent again claims %v, which is not %s's", c.ID, k.name)
		}
	}
}

// late sends a turn that a later one of its lane has passed.
func (w *world) late(t *rapid.T) {
	w.t = t
	k := w.pick()
	last := k.lanes[rapid.IntRange(0, 1).Draw(t, "lane")]
	if last.turn.Number < 2 || k.gone {
		t.Skip("no turn before the last one")
	}
	last.turn.Number--
	last.turn.Want = 3
	_, err := w.take(last.turn, true)
	w.wants("a turn that comes late", err, "late")
}

// Cancelling.

func (w *world) cancel(t *rapid.T) {
	w.t = t
	if len(w.order) == 0 {
		t.Skip("no task")
	}
	var ids []queue.TaskID
	for range rapid.IntRange(1, 3).Draw(t, "tasks") {
		if id := rapid.SampledFrom(w.order).Draw(t, "task").id; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	w.touched()
	token := fmt.Sprintf("asker.%d", len(w.tokens))
	if len(w.tokens) > 0 && rapid.Bool().Draw(t, "ask again") {
		token = rapid.SampledFrom(w.tokens).Draw(t, "token")
	} else {
		w.tokens = append(w.tokens, token)
	}
	interrupt := rapid.Bool().Draw(t, "interrupt")
	answers, _ := both(w, "cancel", func(s *side) ([]store.Answer, error) {
		return s.s.Cancel(s.ctx, "q", 0, token, queue.Cancellation{Interrupt: interrupt}, ids)
	})
	for i, id := range ids {
		x := w.tasks[id]
		told := w.answers[id]
		if told.until <= w.now {
			told = answered{}
		}
		want := store.AnswerLate
		switch {
		case told.letter == store.AnswerBefore && told.token == "" && !x.there():
			want = store.AnswerBefore
		case told.letter != 0 && told.token == token:
			want = told.letter
		case !x.there() || x.at == given:
		case x.at == running:
			want = store.AnswerWait
			w.wishes(x.holder)
			if w.stops[x.holder.name] == nil {
				w.stops[x.holder.name] = map[queue.TaskID]store.Wish{}
			}
			w.stops[x.holder.name][id] = store.Wish{ID: id, Cancellation: queue.Cancellation{Interrupt: interrupt}, Token: token}
			w.stopEnd[x.holder.name] = w.now + (3 * time.Second).Milliseconds()
		default:
			want = store.AnswerBefore
			w.cancelled(x)
		}
		w.wants("cancelling "+x.String(), answers[i], want)
	}
}

func (w *world) cancelled(x *mtask) {
	w.finish(x, queue.StateCancelled, append([]string{x.reply}, x.watchers...), x.keep)
	w.answers[x.id] = answered{store.AnswerBefore, "", w.now + time.Minute.Milliseconds()}
}

// answer has a consumer answer a wish.
func (w *world) answer(t *rapid.T) {
	w.t = t
	w.touched()
	k := w.pick()
	var mine []*mtask
	for _, x := range w.order {
		if x.at == running && x.holder == k || rapid.IntRange(0, 9).Draw(t, "another's") == 0 {
			mine = append(mine, x)
		}
	}
	if len(mine) == 0 || len(w.tokens) == 0 {
		t.Skip("nobody asks")
	}
	x := rapid.SampledFrom(mine).Draw(t, "task")
	r := store.Reply{
		Wish:    store.Wish{ID: x.id, Token: rapid.SampledFrom(w.tokens).Draw(t, "token")},
		Answer:  rapid.SampledFrom([]store.Answer{store.AnswerBefore, store.AnswerStopped, store.AnswerLate}).Draw(t, "answer"),
		ReplyTo: x.reply, Keep: x.keep,
	}
	a, _ := both(w, "answer", func(s *side) ([]store.Answer, error) {
		return s.s.Answer(s.ctx, line, k.name, []store.Reply{r})
	})
	delete(w.wishes(k), x.id)
	switch {
	case k.gone:
		w.wants("the answer of one that is gone", a[0], store.AnswerNone)
	case r.Answer != store.AnswerBefore:
		w.wants("the answer", a[0], r.Answer)
		w.answers[x.id] = answered{r.Answer, r.Token, w.now + time.Minute.Milliseconds()}
	case x.at == running && x.holder == k:
		w.wants("the answer", a[0], r.Answer)
		w.cancelled(x)
	default:
		w.wants("the answer about a task that is not its own", a[0], store.AnswerNone)
	}
}
