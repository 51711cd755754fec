package faults

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// rules is what the faults of one test can explain.
type rules struct {
	// Dups is how many runs beyond a task's first the faults can explain: usually
	// kills times what was in flight at the one that was killed.
	Dups int
	// Crashes is the most crashed deliveries that a task may have behind it.
	Crashes int
	// Forgets says that Redis may forget what it had accepted: tasks, and endings, so
	// that a task completes twice. They are counted.
	Forgets bool
	// Hints says that an announcement is only a hint, as it is to who waits for replicas:
	// what futures say counts.
	Hints bool
}

// report is what the histories of a test come to.
type report struct {
	Submitted, Accepted, Refused, Unsure int
	Ran                                  int // runs that began
	Dups                                 int // those beyond a task's first
	Completed                            int // accepted tasks with an outcome
	Twice                                int // tasks with outcomes of more than one run
	Lost                                 int // accepted tasks without an outcome
	Announced                            int // outcomes that the witness heard
	Stale                                int64
	Lapsed                               int64
	Recovered                            int64

	Problems []string
	over     int // problems that were not written down
}

func (rep *report) String() string {
	return fmt.Sprintf("submitted %d, accepted %d, refused %d, unsure %d; ran %d, run again %d; completed %d, lost %d, completed twice %d; announced %d, endings refused %d, leases lost %d, taken over %d",
		rep.Submitted, rep.Accepted, rep.Refused, rep.Unsure, rep.Ran, rep.Dups, rep.Completed, rep.Lost, rep.Twice, rep.Announced, rep.Stale, rep.Lapsed, rep.Recovered)
}

// mostProblems bounds what a failing test prints.
const mostProblems = 10

// life is all that the histories say of one submission.
type life struct {
	n         int
	submitted bool
	refused   bool
	unsure    bool
	noReply   bool
	accepted  string   // its id
	ids       []string // all ids that it was seen under
	starts    int
	crashes   int
	ended     map[string]bool // runs that came to their end
	completed []string        // runs whose value was seen as the outcome, each once
	failed    string          // the error that a future said
	outcomes  int             // futures that said something
	told      int
	records   []int // where its records are
}

func (l *life) complete(run string) {
	if !slices.Contains(l.completed, run) {
		l.completed = append(l.completed, run)
	}
}

// check holds records, in any order, against the invariants. It takes time
// proportional to their number.
func check(records []record, may rules) *report {
	rep := &report{}
	lives := map[int]*life{}
	owner := map[string]int{} // whose id it is
	for _, r := range records {
		if _, known := owner[r.ID]; !known && r.ID != "" && r.N > 0 {
			owner[r.ID] = r.N
		}
	}
	last := map[string]*stats{}
	of := func(n int) *life {
		l := lives[n]
		if l == nil {
			l = &life{n: n, ended: map[string]bool{}}
			lives[n] = l
		}
		return l
	}
	for i, r := range records {
		if r.Op == opStats {
			if s := last[r.Proc]; s == nil || r.Stats.Succeeded >= s.Succeeded {
				last[r.Proc] = r.Stats
			}
			continue
		}
		if r.N == 0 { // the witness does not know whose a failure is
			r.N = owner[r.ID]
		}
		l := of(r.N)
		l.records = append(l.records, i)
		if r.ID != "" && !slices.Contains(l.ids, r.ID) {
			l.ids = append(l.ids, r.ID)
			if n := owner[r.ID]; n != r.N {
				rep.problem(records, l, "I5", "id %s belongs to submission %d as well", r.ID, n)
			}
		}
		switch r.Op {
		case opSubmit:
			l.submitted = true
		case opAccept:
			l.accepted = r.ID
			l.noReply = r.NoReply
		case opRefuse:
			l.refused = true
		case opUnsure:
			l.unsure = true
		case opStart:
			l.starts++
			l.crashes = max(l.crashes, int(r.Token)-r.Attempt) //nolint:gosec // a count
		case opEnd:
			l.ended[r.Run] = true
		case opOutcome:
			l.outcomes++
			if r.Error != "" {
				l.failed = r.Error
			} else {
				l.complete(r.Run)
			}
		case opTold:
			l.told++
			if r.Error == "" && !may.Hints {
				l.complete(r.Run)
			}
		}
	}
	order := make([]int, 0, len(lives))
	for n := range lives {
		order = append(order, n)
	}
	slices.Sort(order)
	for _, n := range order {
		rep.judge(records, lives[n], may)
	}
	for _, s := range last {
		rep.Stale += s.Refused
		rep.Lapsed += s.Lapsed
		rep.Recovered += s.Recovered
	}
	if rep.Dups > may.Dups {
		rep.Problems = append(rep.Problems, fmt.Sprintf("I7: %d runs beyond a task's first; the faults explain at most %d", rep.Dups, may.Dups))
		rep.explainDups(records, order, lives)
	}
	if rep.over > 0 {
		rep.Problems = append(rep.Problems, fmt.Sprintf("... and %d more", rep.over))
	}
	return rep
}

// judge holds one submission's life against the invariants.
func (rep *report) judge(records []record, l *life, may rules) {
	count := func(b bool, n *int) {
		if b {
			*n++
		}
	}
	count(l.submitted, &rep.Submitted)
	count(l.accepted != "", &rep.Accepted)
	count(l.accepted == "" && l.refused, &rep.Refused)
	count(l.accepted == "" && l.unsure, &rep.Unsure)
	rep.Ran += l.starts
	rep.Dups += max(l.starts-1, 0)
	rep.Announced += l.told

	if !l.submitted {
		rep.problem(records, l, "I5", "never submitted")
	}
	if len(l.ids) > 1 {
		rep.problem(records, l, "I5", "one submission became %d tasks", len(l.ids))
	}
	if l.refused && l.accepted == "" && l.starts > 0 {
		rep.problem(records, l, "I5", "refused, and run all the same")
	}
	if l.crashes > may.Crashes {
		rep.problem(records, l, "I4", "run after %d crashed deliveries; at most %d are allowed", l.crashes, may.Crashes)
	}
	gone := may.Forgets && strings.Contains(l.failed, queue.ErrResultExpired.Error())
	if l.failed != "" && !gone {
		rep.problem(records, l, "I1", "a future said: %s", l.failed)
	}
	if len(l.completed) > 1 {
		rep.Twice++
	}
	if len(l.completed) > 1 && !may.Forgets {
		rep.problem(records, l, "I2", "completed by %d runs: %s", len(l.completed), strings.Join(l.completed, ", "))
	}
	for _, run := range l.completed {
		if !l.ended[run] {
			rep.problem(records, l, "I3", "completed by run %q, which no worker has made", run)
		}
	}
	if l.accepted == "" {
		return
	}
	done := l.outcomes > 0 && !gone
	if l.noReply { // nobody is told; the end of a run and an empty Redis must do
		done = len(l.ended) > 0
	}
	if done {
		rep.Completed++
		return
	}
	rep.Lost++
	if gone {
		return
	}
	rep.problem(records, l, "I1", "accepted and lost")
}

func (rep *report) problem(records []record, l *life, rule, format string, args ...any) {
	if len(rep.Problems) >= mostProblems {
		rep.over++
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: submission %d, task %s: ", rule, l.n, strings.Join(l.ids, " and "))
	fmt.Fprintf(&b, format, args...)
	rep.Problems = append(rep.Problems, b.String()+linesOf(records, l))
}

// explainDups shows some of the tasks that ran more than once.
func (rep *report) explainDups(records []record, order []int, lives map[int]*life) {
	shown := 0
	for _, n := range order {
		if l := lives[n]; l.starts > 1 && shown < 3 {
			shown++
			rep.Problems = append(rep.Problems, fmt.Sprintf("I7: for one, task %s ran %d times%s", strings.Join(l.ids, " and "), l.starts, linesOf(records, l)))
		}
	}
}

// linesOf returns the history of one submission, in the order of time.
func linesOf(records []record, l *life) string {
	slices.SortFunc(l.records, func(a, b int) int { return int(records[a].T - records[b].T) })
	var b strings.Builder
	for _, i := range l.records {
		b.WriteString("\n    " + records[i].String())
	}
	return b.String()
}
