package store_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// check compares the two servers with each other, and one of them with the model.
func (w *world) check(t *rapid.T) {
	w.t = t
	for _, s := range w.sides {
		s.stop()
	}
	a, b := w.sides[0].dump(), w.sides[1].dump()
	if diff := a.differs(b); diff != "" {
		t.Fatalf("%s and %s differ: %s", w.sides[0].name, w.sides[1].name, diff)
	}
	w.seen = a
	for _, x := range w.order {
		if a.tasks[x.id] != x.there() {
			t.Fatalf("%v is in the store: %v, want %v", x, a.tasks[x.id], x.there())
		}
		if x.there() {
			w.onePlace(x)
			w.note(x)
		}
		state, ok := a.kept[x.id]
		if want := w.kept[x.id]; ok != (want.until > w.now) || ok && state != want.state {
			t.Fatalf("the outcome of %v is kept: %v %v, want %v until %d", x, ok, state, want.state, want.until)
		}
	}
	w.wants("tasks", len(a.tasks), w.count(waiting)+w.count(waitDue)+w.count(running)+w.count(given))
	w.leftovers()
	for k, n := range w.told {
		w.wants("times that was told: "+k, a.told[k], n)
	}
	for k, n := range a.told {
		w.wants("times that was told: "+k, n, w.told[k])
	}
	var names []string
	for _, k := range w.living() {
		names = append(names, k.name)
	}
	w.wants("consumers", a.alive, names)
	w.counts()
}

// onePlace checks that a task is where the model has it, and nowhere else.
func (w *world) onePlace(x *mtask) {
	at := w.seen.places[x.id]
	if len(at) != 1 {
		w.t.Fatalf("%v is in %d places: %v", x, len(at), at)
	}
	var may []string
	switch x.at {
	case waiting:
		may = []string{x.list()}
		if x.level == 1 && x.crashes < 2 {
			may = append(may, "arrivals")
		}
		if x.level == 1 && !x.noted && !x.long {
			may = append(may, "bell")
		}
	case waitDue:
		may = []string{"due"}
		if x.due <= w.now {
			may = append(may, x.list())
			if x.level == 1 {
				may = append(may, "arrivals")
			}
		}
	case running:
		may = []string{"run:" + x.holder.name}
		if x.heard {
			may = append(may, "taken:"+x.holder.name)
		}
	case given:
		may = []string{"dead"}
	}
	if !slices.Contains(may, at[0]) {
		w.t.Fatalf("%v is in %s, want %v", x, at[0], may)
	}
}

func (w *world) note(x *mtask) {
	note, ok := w.seen.notes[x.id]
	if ok != x.noted {
		w.t.Fatalf("%v has a note: %v, want %v", x, ok, x.noted)
	}
	if want := fmt.Sprintf("%d %d %d ", x.level, x.attempts, x.crashes); ok && !strings.HasPrefix(note, want) {
		w.t.Fatalf("the note of %v is %q, want %q", x, note, want)
	}
}

// leftovers checks that nothing is left of tasks that are not there. Only the id of
// a cancelled task may still stand in a bundle, or where that has fallen due.
func (w *world) leftovers() {
	u := w.seen
	for id := range u.notes {
		if !u.tasks[id] {
			w.t.Fatalf("a note of %v is left, which is not there", id)
		}
	}
	for id := range u.faults {
		if !u.tasks[id] {
			w.t.Fatalf("a fault of %v is left, which is not there", id)
		}
	}
	for id, at := range u.places {
		if u.tasks[id] {
			continue
		}
		x := w.tasks[id]
		if x == nil || !x.bundled || len(at) != 1 || at[0] != "due" && at[0] != "ready:1" && at[0] != "arrivals" {
			w.t.Fatalf("%v is not there and stands in %v", id, at)
		}
	}
}

// counts checks that what people are told adds up.
func (w *world) counts() {
	c, _ := both(w, "count", func(s *side) (store.Counts, error) { return s.s.Count(s.ctx, line) })
	left := 0
	for id := range w.seen.places {
		if !w.seen.tasks[id] {
			left++
		}
	}
	w.wants("running, dead, consumers", fmt.Sprint(c.Running, c.Dead, c.Consumers), fmt.Sprint(w.count(running), w.count(given), len(w.living())))
	w.wants("waiting", c.Ready+c.Scheduled, w.count(waiting)+w.count(waitDue)+left+w.seen.copies)
}

// drain ends a sequence: all leases lapse, all times come, and one consumer that
// ends whatever it claims finds every task that is left.
func (w *world) drain() {
	w.check(w.t)
	w.advance(4 * unit)
	k := &mworker{name: "zz", leased: w.now + (100 * unit).Milliseconds()}
	w.workers = append(w.workers, k)
	both(w, "sign on", func(s *side) (int, error) { return 0, s.s.SignOn(s.ctx, line, k.name, "", 100*unit) })
	var back backs
	w.sweep(&back)
	w.settle(back)
	w.check(w.t)
	for range 10 + 2*len(w.order) {
		if w.count(waiting)+w.count(waitDue)+w.count(running)+len(w.seen.due) == 0 {
			return
		}
		var ends []ending
		for _, x := range w.order {
			if x.at == running {
				e := store.End{ID: x.id, Verdict: queue.VerdictDone, ReplyTo: x.reply, Keep: x.keep, Apart: x.apart}
				if x.reply != "" || x.keep > 0 || x.mustTell {
					e.Outcome = &queue.Outcome{ID: x.id, State: queue.StateSucceeded}
				}
				ends = append(ends, ending{x, e})
			}
		}
		w.step(k, store.Turn{Line: line, Consumer: k.name, Want: 10, Empty: true, Lease: 100 * unit, Listens: true}, nil, ends, 0)
		w.check(w.t)
		w.advance(moment)
	}
	var left []string
	for _, x := range w.order {
		if x.there() && x.at != given {
			left = append(left, fmt.Sprintf("%v in %v", x, w.seen.places[x.id]))
		}
	}
	w.t.Fatalf("nobody can claim: %v", left)
}
