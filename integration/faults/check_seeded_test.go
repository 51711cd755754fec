package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// good is the history of one task that went well.
func good(n int, id string) []record {
	return []record{
		{T: 1, Proc: "producer", Op: opSubmit, N: n},
		{T: 2, Proc: "producer", Op: opAccept, N: n, ID: id},
		{T: 3, Proc: "w1", Op: opStart, N: n, ID: id, Run: "w1." + id, Attempt: 1, Token: 1},
		{T: 4, Proc: "w1", Op: opEnd, N: n, ID: id, Run: "w1." + id},
		{T: 5, Proc: "witness", Op: opTold, N: n, ID: id, Run: "w1." + id, Entry: "1-0"},
		{T: 6, Proc: "producer", Op: opOutcome, N: n, ID: id, Run: "w1." + id},
	}
}

func without(rs []record, op string) []record {
	return slices.DeleteFunc(slices.Clone(rs), func(r record) bool { return r.Op == op })
}

// TestCheckerSees seeds histories with one wrong thing each: a checker that does
// not see it proves nothing.
func TestCheckerSees(t *testing.T) {
	other := good(2, "bbb")
	again := []record{
		{T: 7, Proc: "w2", Op: opStart, N: 1, ID: "aaa", Run: "w2.x", Attempt: 1, Token: 2},
		{T: 8, Proc: "w2", Op: opEnd, N: 1, ID: "aaa", Run: "w2.x"},
	}
	for _, c := range []struct {
		name    string
		bad     []record
		may     rules
		problem string // what the report must begin with; "" for a history that is fine
		lines   string // what it must show
	}{
		{name: "all is well", bad: good(1, "aaa")},
		{name: "run again after a kill", bad: slices.Concat(good(1, "aaa"), again), may: rules{Dups: 1, Crashes: 1}},
		{
			name: "without a reply",
			bad: []record{
				{T: 1, Op: opSubmit, N: 1}, {T: 2, Op: opAccept, N: 1, ID: "aaa", NoReply: true},
				{T: 3, Op: opStart, N: 1, ID: "aaa", Run: "w1.1", Attempt: 1, Token: 1}, {T: 4, Op: opEnd, N: 1, ID: "aaa", Run: "w1.1"},
			},
		},
		{
			name: "lost before it ran", bad: good(1, "aaa")[:2],
			problem: "I1: submission 1, task aaa: accepted and lost", lines: `"op":"accept","id":"aaa"`,
		},
		{
			name: "ran, and nobody heard", bad: without(without(good(1, "aaa"), opOutcome), opTold),
			problem: "I1: submission 1, task aaa: accepted and lost", lines: `"op":"end","id":"aaa"`,
		},
		{
			name: "without a reply, and never at its end",
			bad: []record{
				{T: 1, Op: opSubmit, N: 1}, {T: 2, Op: opAccept, N: 1, ID: "aaa", NoReply: true},
				{T: 3, Op: opStart, N: 1, ID: "aaa", Run: "w1.1", Attempt: 1, Token: 1},
			},
			problem: "I1: submission 1, task aaa: accepted and lost",
		},
		{
			name: "a second completion is announced",
			bad:  slices.Concat(good(1, "aaa"), again, []record{{T: 9, Proc: "witness", Op: opTold, N: 1, ID: "aaa", Run: "w2.x", Entry: "2-0"}}),
			may:  rules{Dups: 1, Crashes: 1}, problem: "I2: submission 1, task aaa: completed by 2 runs: w1.aaa, w2.x", lines: `"run":"w2.x","entry":"2-0"`,
		},
		{
			name: "two futures say different things",
			bad:  slices.Concat(good(1, "aaa"), again, []record{{T: 9, Proc: "producer", Op: opOutcome, N: 1, ID: "aaa", Run: "w2.x"}}),
			may:  rules{Dups: 1, Crashes: 1}, problem: "I2: submission 1, task aaa: completed by 2 runs",
		},
		{
			name: "an outcome out of nowhere", bad: without(good(1, "aaa"), opEnd),
			problem: `I3: submission 1, task aaa: completed by run "w1.aaa", which no worker has made`,
		},
		{
			name:    "a future fails",
			bad:     append(good(1, "aaa")[:4], record{T: 6, Op: opOutcome, N: 1, ID: "aaa", Error: "boom"}),
			problem: "I1: submission 1, task aaa: a future said: boom",
		},
		{
			name: "a task is forgotten, and that is allowed",
			bad:  append(good(1, "aaa")[:2], record{T: 6, Op: opOutcome, N: 1, ID: "aaa", Error: queue.ErrResultExpired.Error() + ": gone"}),
			may:  rules{Forgets: true},
		},
		{
			name:    "a task is forgotten",
			bad:     append(good(1, "aaa")[:2], record{T: 6, Op: opOutcome, N: 1, ID: "aaa", Error: queue.ErrResultExpired.Error() + ": gone"}),
			problem: "I1: submission 1, task aaa: a future said: the outcome is no longer kept",
		},
		{
			name: "nothing is heard of a task, which is not allowed either", bad: good(1, "aaa")[:2], may: rules{Forgets: true},
			problem: "I1: submission 1, task aaa: accepted and lost",
		},
		{
			name: "too many crashes",
			bad:  slices.Concat(good(1, "aaa"), again), may: rules{Dups: 1},
			problem: "I4: submission 1, task aaa: run after 1 crashed deliveries",
		},
		{
			name: "nobody submitted it", bad: good(1, "aaa")[2:4],
			problem: "I5: submission 1, task aaa: never submitted", lines: `"op":"start","id":"aaa"`,
		},
		{
			name: "one submission, two tasks",
			bad:  slices.Concat(good(1, "aaa"), []record{{T: 7, Op: opStart, N: 1, ID: "ccc", Run: "w2.1", Attempt: 1, Token: 1}}),
			may:  rules{Dups: 1}, problem: "I5: submission 1, task aaa and ccc: one submission became 2 tasks",
		},
		{
			name: "one id, two submissions", bad: slices.Concat(good(1, "aaa"), good(3, "aaa")),
			problem: "I5: submission 3, task aaa: id aaa belongs to submission 1 as well",
		},
		{
			name:    "refused and run",
			bad:     slices.Concat([]record{{T: 1, Op: opSubmit, N: 1}, {T: 2, Op: opRefuse, N: 1, Error: "full"}}, good(1, "aaa")[2:4]),
			problem: "I5: submission 1, task aaa: refused, and run all the same",
		},
		{
			name: "run again for no reason", bad: slices.Concat(good(1, "aaa"), again), may: rules{Crashes: 1},
			problem: "I7: 1 runs beyond a task's first; the faults explain at most 0", lines: `"op":"start","id":"aaa","n":1,"run":"w2.x"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep := check(slices.Concat(other, c.bad), c.may)
			all := strings.Join(rep.Problems, "\n")
			if c.problem == "" {
				if len(rep.Problems) > 0 {
					t.Fatalf("a good history is said to be bad:\n%s", all)
				}
				return
			}
			if !strings.Contains(all, c.problem) || !strings.Contains(all, c.lines) {
				t.Fatalf("the report does not say %q and show %q:\n%s", c.problem, c.lines, all)
			}
			if strings.Contains(all, "bbb") {
				t.Fatalf("an innocent task is blamed:\n%s", all)
			}
		})
	}
}

// TestCheckerCounts checks the numbers of a report.
func TestCheckerCounts(t *testing.T) {
	records := slices.Concat(good(1, "aaa"), good(2, "bbb"), good(3, "ccc")[:2], []record{
		{T: 1, Op: opSubmit, N: 4}, {T: 2, Op: opUnsure, N: 4, Error: "timeout"},
		{T: 1, Op: opSubmit, N: 5}, {T: 2, Op: opRefuse, N: 5, Error: "full"},
		{T: 1, Proc: "w1", Op: opStats, Stats: &stats{Succeeded: 1}},
		{T: 2, Proc: "w1", Op: opStats, Stats: &stats{Succeeded: 2, Refused: 1, Lapsed: 1}},
		{T: 2, Proc: "w2", Op: opStats, Stats: &stats{Refused: 1, Recovered: 3}},
	})
	got := check(records, rules{}).String()
	want := "submitted 5, accepted 3, refused 1, unsure 1; ran 2, run again 0; completed 2, lost 1, completed twice 0; announced 2, endings refused 2, leases lost 1, taken over 3"
	if got != want {
		t.Fatalf("the report is\n%s, want\n%s", got, want)
	}
}

// TestHistoryTorn checks that the line a killed writer left half done is left
// out, and that a wrong line in the middle is not.
func TestHistoryTorn(t *testing.T) {
	dir := t.TempDir()
	h, err := newRecorder(dir, "w1")
	if err != nil {
		t.Fatal(err)
	}
	h.add(record{Op: opStart, ID: "aaa", N: 1})
	if _, err := h.file.WriteString(`{"t":5,"op":"en`); err != nil {
		t.Fatal(err)
	}
	rs, err := readHistory(historyPath(dir, "w1"))
	if err != nil || len(rs) != 1 || rs[0].ID != "aaa" || rs[0].Proc != "w1" {
		t.Fatalf("read %v, %v; want the one whole line", rs, err)
	}
	if _, err := h.file.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	if rs, err := readHistory(historyPath(dir, "w1")); err == nil {
		t.Fatalf("read %v from a history with a broken line", rs)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
}
