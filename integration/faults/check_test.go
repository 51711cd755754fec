package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// rules is what the faults of one test can explain.
type rules struct {
	// Dups is how many runs beyond a task's first the faults can explain: usually
	// kills times what was in flight at the one that was killed.
	Dups int
	// Crashes is the most crashed deliveries that a task may have behind it.
	Crashes int
	// Late is how long after the end of its run a task's future may say so. Zero is
	// for ever: it must only say so at all.
	Late time.Duration
	// Others says that there are tasks besides those in the histories, of whose
	// outcomes the witness hears.
	Others bool
	// Alone says that the workers were cut off and their tasks heed their contexts: no
	// two runs of a task may be under way at the same time.
	Alone bool
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
	Silent                               int // those among the accepted whose outcome was announced, and whose future says nothing
	Dead                                 int // poison that is dead
	Followed                             int // tasks that follow another one
	Overlaps                             int // tasks with two runs under way at the same time
	Slowest                              time.Duration
	Announced                            int // outcomes that the witness heard
	Stale                                int64
	Lapsed                               int64
	Recovered                            int64

	Problems []string
	over     int // problems that were not written down
}

func (rep *report) String() string {
	return fmt.Sprintf("submitted %d, accepted %d, refused %d, unsure %d; ran %d, run again %d; completed %d, dead %d, lost %d, completed twice %d; followed %d, announced %d, endings refused %d, leases lost %d, taken over %d; slowest future %v",
		rep.Submitted, rep.Accepted, rep.Refused, rep.Unsure, rep.Ran, rep.Dups, rep.Completed, rep.Dead, rep.Lost, rep.Twice,
		rep.Followed, rep.Announced, rep.Stale, rep.Lapsed, rep.Recovered, rep.Slowest.Round(time.Millisecond))
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
	poison    bool
	then      bool
	accepted  string   // its id
	ids       []string // all ids that it was seen under
	runs      []span   // in the order of the records
	crashes   int
	ended     map[string]int64 // runs that came to their end, and when
	completed []string         // runs whose value was seen as the outcome, each once
	failed    string           // the error that a future said
	outcomes  int              // futures that said something
	told      int
	spoke     int64    // when its future said something
	follows   []string // ids that the task was seen under that follows it
	followed  bool     // that came to its end
	heard     []string // the runs whose value it got, each once
	again     int      // runs of it beyond the first
	records   []int    // where its records are
}

// span is how long a run lasted. A run that was killed has no end.
type span struct {
	run      string
	from, to int64
}

// batch is what was submitted by one call.
type batch struct {
	all, told, ran int
}

func (l *life) complete(run string) { l.completed = withOnce(l.completed, run) }

func withOnce(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// check holds records, in any order, against the invariants. It takes time
// proportional to their number.
func check(records []record, may rules) *report {
	rep := &report{}
	lives := map[int]*life{}
	owner := map[string]int{} // whose id it is
	for _, r := range records {
		if _, known := owner[r.ID]; !known && r.ID != "" && r.N > 0 && r.Op != opNext && r.Op != opNextEnd {
			owner[r.ID] = r.N
		}
	}
	last := map[string]*stats{}
	base := map[string]*use{}
	batches := map[string]*batch{}
	batchOf := map[int]string{} // whose batch it is
	of := func(n int) *life {
		l := lives[n]
		if l == nil {
			l = &life{n: n, ended: map[string]int64{}}
			lives[n] = l
		}
		return l
	}
	for i, r := range records {
		switch r.Op {
		case opStats:
			if s := last[r.Proc]; s == nil || r.Stats.Succeeded >= s.Succeeded {
				last[r.Proc] = r.Stats
			}
			continue
		case opBase:
			base[r.Proc] = r.Use
			continue
		case opRest, opKey, opConn: // when all the others are known
			continue
		}
		if r.N == 0 { // the witness does not know whose a failure is
			r.N = owner[r.ID]
		}
		if r.N == 0 && r.Op == opTold && may.Others {
			continue
		}
		l := of(r.N)
		l.records = append(l.records, i)
		if r.Op == opNext || r.Op == opNextEnd {
			l.follow(r)
			continue
		}
		if r.ID != "" && !slices.Contains(l.ids, r.ID) {
			l.ids = append(l.ids, r.ID)
			if n := owner[r.ID]; n != r.N {
				rep.problem(records, l, "I5", "id %s belongs to submission %d as well", r.ID, n)
			}
		}
		switch r.Op {
		case opSubmit:
			l.submitted, l.poison = true, r.Poison
			if r.Batch != "" {
				if batches[r.Batch] == nil {
					batches[r.Batch] = &batch{}
				}
				batches[r.Batch].all++
				batchOf[r.N] = r.Batch
			}
		case opAccept:
			l.accepted = r.ID
			l.noReply, l.then = r.NoReply, r.Then
		case opRefuse:
			l.refused = true
		case opUnsure:
			l.unsure = true
		case opStart:
			l.runs = append(l.runs, span{run: r.Run, from: r.T})
			l.crashes = max(l.crashes, int(r.Token)-r.Attempt) //nolint:gosec // a count
		case opEnd, opBroke:
			if r.Op == opEnd {
				l.ended[r.Run] = r.T
			}
			for k := range l.runs {
				if l.runs[k].run == r.Run {
					l.runs[k].to = r.T
				}
			}
		case opOutcome:
			l.outcomes++
			l.spoke = max(l.spoke, r.T)
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
		if b := batches[batchOf[n]]; b != nil {
			if lives[n].accepted != "" {
				b.told++
			}
			if len(lives[n].runs) > 0 {
				b.ran++
			}
		}
	}
	rep.judgeBatches(batches)
	rep.judgeRest(records, base)
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
	rep.Ran += len(l.runs)
	if !l.poison { // which is meant to run again
		rep.Dups += max(len(l.runs)-1, 0)
	}
	rep.Dups += l.again
	rep.Followed += len(l.follows)
	rep.Announced += l.told

	if !l.submitted {
		rep.problem(records, l, "I5", "never submitted")
	}
	if len(l.ids) > 1 {
		rep.problem(records, l, "I5", "one submission became %d tasks", len(l.ids))
	}
	if l.refused && l.accepted == "" && len(l.runs) > 0 {
		rep.problem(records, l, "I5", "refused, and run all the same")
	}
	if l.crashes > may.Crashes {
		rep.problem(records, l, "I4", "run after %d crashed deliveries; at most %d are allowed", l.crashes, may.Crashes)
	}
	if l.poison {
		rep.judgePoison(records, l, may)
		return
	}
	gone := may.Forgets && strings.Contains(l.failed, queue.ErrResultExpired.Error())
	if l.failed != "" && !gone {
		rep.problem(records, l, "I1", "a future said: %s", l.failed)
	}
	rep.judgeRuns(records, l, may)
	rep.judgeNext(records, l)
	if len(l.completed) > 1 {
		rep.Twice++
	}
	if len(l.completed) > 1 && !may.Forgets {
		rep.problem(records, l, "I2", "completed by %d runs: %s", len(l.completed), strings.Join(l.completed, ", "))
	}
	for _, run := range l.completed {
		at, made := l.ended[run]
		if !made {
			rep.problem(records, l, "I3", "completed by run %q, which no worker has made", run)
		}
		if l.outcomes > 0 && made {
			late := time.Duration(l.spoke - at)
			rep.Slowest = max(rep.Slowest, late)
			if may.Late > 0 && late > may.Late {
				rep.problem(records, l, "I6", "its future spoke %v after the end of its run; %v are allowed", late.Round(time.Millisecond), may.Late)
			}
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
	if gone {
		rep.Lost++
		return
	}
	if l.told > 0 && !l.noReply {
		rep.Silent++
		rep.problem(records, l, "I6", "its outcome was announced, and its future says nothing")
		return
	}
	rep.Lost++
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
		if l := lives[n]; len(l.runs) > 1 && shown < 3 {
			shown++
			rep.Problems = append(rep.Problems, fmt.Sprintf("I7: for one, task %s ran %d times%s", strings.Join(l.ids, " and "), len(l.runs), linesOf(records, l)))
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
