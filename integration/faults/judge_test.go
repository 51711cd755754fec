package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judgePoison holds a task that ends its process against what becomes of such: it is
// dead after as many deliveries as it may crash, and who waits is told.
func (rep *report) judgePoison(records []record, l *life, may rules) {
	if len(l.runs) > may.Crashes {
		rep.problem(records, l, "I4", "poison, delivered %d times; at most %d are allowed", len(l.runs), may.Crashes)
	}
	if len(l.completed) > 0 {
		rep.problem(records, l, "I3", "poison, and said to have been completed")
	}
	if l.failed == "" {
		rep.Lost++
		rep.problem(records, l, "I1", "poison, and its future does not say that it is dead")
		return
	}
	rep.Dead++
}

// judgeRuns looks for two runs of one task that were under way at the same time.
func (rep *report) judgeRuns(records []record, l *life, may rules) {
	if len(l.runs) < 2 {
		return
	}
	slices.SortFunc(l.runs, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i, b := range l.runs[1:] {
		a := l.runs[i]
		if a.to == 0 || a.to <= b.from { // what was killed went on no longer
			continue
		}
		rep.Overlaps++
		if may.Alone {
			rep.problem(records, l, "I3", "run %s began %v before run %s had ended", b.run, time.Duration(a.to-b.from), a.run)
		}
		return
	}
}

// follow notes what is known of the task that follows l.
func (l *life) follow(r record) {
	if r.Op == opNextEnd {
		l.followed = true
		return
	}
	if slices.Contains(l.follows, r.ID) {
		l.again++
	}
	l.follows = withOnce(l.follows, r.ID)
	l.heard = withOnce(l.heard, r.Run)
}

// judgeNext holds the task that follows against what it follows: it is there once if
// that succeeded, and got the value that it succeeded with.
func (rep *report) judgeNext(records []record, l *life) {
	if len(l.follows) > 1 {
		rep.problem(records, l, "I10", "followed by %d tasks: %s", len(l.follows), strings.Join(l.follows, ", "))
	}
	for _, run := range l.heard {
		if len(l.completed) > 0 && !slices.Contains(l.completed, run) {
			rep.problem(records, l, "I10", "followed by the value of run %s, which is not the one that completed it", run)
		}
	}
	if l.accepted != "" && l.then && len(l.completed) > 0 && !l.followed {
		rep.problem(records, l, "I10", "completed, and what follows it was never run to its end")
	}
}

// judgeBatches holds what was submitted by one call against all or nothing: if the
// program that did so died before it was told, all of it was stored or none.
func (rep *report) judgeBatches(batches map[string]*batch) {
	for name, b := range batches {
		if b.told == 0 && b.ran > 0 && b.ran < b.all {
			rep.remark("I5: batch %s: %d of %d tasks that were submitted together were run", name, b.ran, b.all)
		}
	}
}

// judgeRest looks at what is left when all is done: nothing but what is always
// there, or goes by itself.
func (rep *report) judgeRest(records []record, base map[string]*use) {
	for _, r := range records {
		switch r.Op {
		case opRest:
			if b := base[r.Proc]; b == nil {
				rep.remark("I9: worker %s has ended and never begun", r.Proc)
			} else if r.Use.Goroutines > b.Goroutines || r.Use.Files > b.Files {
				rep.remark("I9: worker %s began with %d goroutines and %d files, and ended with %d and %d",
					r.Proc, b.Goroutines, b.Files, r.Use.Goroutines, r.Use.Files)
			}
		case opConn:
			rep.remark("I9: a connection to Redis is left: %s", r.Error)
		case opKey:
			if k := r.Key; k.Left < 0 && !constant(k.Name) {
				rep.remark("I8: key %q (%s) is left over and never expires: %s", k.Name, k.Kind, k.Content)
			}
		}
	}
}

// constant reports whether a key is one of the few that a queue has for ever.
func constant(key string) bool {
	if key == "cenote:queues" {
		return true
	}
	_, name, ours := strings.Cut(key, "}:")
	return ours && strings.HasPrefix(key, "cenote:{") && (name == "conf" || name == "groups")
}

func (rep *report) remark(format string, args ...any) {
	if len(rep.Problems) >= mostProblems {
		rep.over++
		return
	}
	rep.Problems = append(rep.Problems, fmt.Sprintf(format, args...))
}
