package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

// chained is the history of a task that another one follows, which got what the
// given run came to.
func chained(next, run string) []record {
	rs := good(1, "aaa")
	rs[1].Then = true
	return append(rs,
		record{T: 7, Proc: "w1", Op: opNext, N: 1, ID: next, Run: run},
		record{T: 8, Proc: "w1", Op: opNextEnd, N: 1, ID: next, Run: run})
}

// poisoned is the history of a task that ended so many processes, and what its
// future said then.
func poisoned(deliveries int, said string) []record {
	rs := good(1, "aaa")[:2]
	rs[0].Poison = true
	for i := range deliveries {
		rs = append(rs, record{T: 3, Op: opStart, N: 1, ID: "aaa", Run: fmt.Sprint("w.", i), Attempt: 1, Token: uint64(i + 1)})
	}
	return append(rs, record{T: 9, Op: opOutcome, N: 1, ID: "aaa", Run: "w.0", Error: said})
}

// batched is the history of a batch whose producer was killed before it was told.
func batched() []record {
	return []record{
		{T: 1, Op: opSubmit, N: 5, Batch: "p.1"}, {T: 1, Op: opSubmit, N: 6, Batch: "p.1"},
		{T: 2, Op: opStart, N: 5, ID: "eee", Run: "w1.1", Attempt: 1, Token: 1}, {T: 3, Op: opEnd, N: 5, ID: "eee", Run: "w1.1"},
		{T: 2, Op: opStart, N: 6, ID: "fff", Run: "w1.2", Attempt: 1, Token: 1}, {T: 3, Op: opEnd, N: 6, ID: "fff", Run: "w1.2"},
	}
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
		{
			name: "announced, and its future is silent", bad: without(good(1, "aaa"), opOutcome),
			problem: "I6: submission 1, task aaa: its outcome was announced, and its future says nothing", lines: `"op":"told","id":"aaa"`,
		},
		{
			name: "a future that is slow", may: rules{Late: time.Second},
			bad:     append(without(good(1, "aaa"), opOutcome), record{T: 4 + int64(2*time.Second), Op: opOutcome, N: 1, ID: "aaa", Run: "w1.aaa"}),
			problem: "I6: submission 1, task aaa: its future spoke 2s after the end of its run; 1s are allowed",
		},
		{
			name: "a future that takes its time", may: rules{Late: 3 * time.Second},
			bad: append(without(good(1, "aaa"), opOutcome), record{T: 4 + int64(2*time.Second), Op: opOutcome, N: 1, ID: "aaa", Run: "w1.aaa"}),
		},
		{
			name: "two runs at once", may: rules{Dups: 1, Crashes: 1, Alone: true},
			bad: slices.Concat(good(1, "aaa")[:3], []record{
				{T: 4, Op: opStart, N: 1, ID: "aaa", Run: "w2.x", Attempt: 1, Token: 2},
				{T: 5, Op: opBroke, N: 1, ID: "aaa", Run: "w1.aaa", Error: "lease lost"},
				{T: 6, Op: opEnd, N: 1, ID: "aaa", Run: "w2.x"}, {T: 7, Op: opOutcome, N: 1, ID: "aaa", Run: "w2.x"},
			}),
			problem: "I3: submission 1, task aaa: run w2.x began 1ns before run w1.aaa had ended", lines: `"error":"lease lost"`,
		},
		{
			name: "one run after the other", may: rules{Dups: 1, Crashes: 1, Alone: true},
			bad: slices.Concat(good(1, "aaa")[:3], []record{
				{T: 4, Op: opBroke, N: 1, ID: "aaa", Run: "w1.aaa", Error: "lease lost"},
				{T: 5, Op: opStart, N: 1, ID: "aaa", Run: "w2.x", Attempt: 1, Token: 2},
				{T: 6, Op: opEnd, N: 1, ID: "aaa", Run: "w2.x"}, {T: 7, Op: opOutcome, N: 1, ID: "aaa", Run: "w2.x"},
			}),
		},
		{
			name: "an outcome of a task that nobody knows", bad: []record{{T: 1, Op: opTold, ID: "ccc", Error: "gone"}},
			problem: "I5: submission 0, task ccc: never submitted",
		},
		{name: "an outcome of another task", may: rules{Others: true}, bad: []record{{T: 1, Op: opTold, ID: "ccc", Error: "gone"}}},
		{name: "followed", bad: chained("n1", "w1.aaa")},
		{name: "followed, and the follower runs again after a kill", bad: slices.Concat(chained("n1", "w1.aaa"), chained("n1", "w1.aaa")[6:]), may: rules{Dups: 1}},
		{
			name: "nothing follows", bad: chained("n1", "w1.aaa")[:6],
			problem: "I10: submission 1, task aaa: completed, and what follows it was never run to its end",
		},
		{
			name: "what follows does not end", bad: chained("n1", "w1.aaa")[:7],
			problem: "I10: submission 1, task aaa: completed, and what follows it was never run to its end",
		},
		{
			name: "followed twice", bad: slices.Concat(chained("n1", "w1.aaa"), chained("n2", "w1.aaa")[6:]),
			problem: "I10: submission 1, task aaa: followed by 2 tasks: n1, n2",
		},
		{
			name: "followed by another run's value", bad: chained("n1", "w2.x"),
			problem: "I10: submission 1, task aaa: followed by the value of run w2.x, which is not the one that completed it",
		},
		{
			name: "the follower runs again for no reason", bad: slices.Concat(chained("n1", "w1.aaa"), chained("n1", "w1.aaa")[6:]),
			problem: "I7: 1 runs beyond a task's first; the faults explain at most 0",
		},
		{name: "poison that is dead", may: rules{Crashes: 2}, bad: poisoned(2, "worker lost")},
		{
			name: "poison that runs on", may: rules{Crashes: 2}, bad: poisoned(3, "worker lost"),
			problem: "I4: submission 1, task aaa: poison, delivered 3 times; at most 2 are allowed",
		},
		{
			name: "poison that nobody hears of", may: rules{Crashes: 2}, bad: without(poisoned(2, "worker lost"), opOutcome),
			problem: "I1: submission 1, task aaa: poison, and its future does not say that it is dead",
		},
		{
			name: "poison that succeeds", may: rules{Crashes: 2}, bad: poisoned(1, ""),
			problem: "I3: submission 1, task aaa: poison, and said to have been completed",
		},
		{name: "a batch that nobody was told of, and was not stored", bad: batched()[:2]},
		{name: "a batch that nobody was told of, and was stored", bad: batched()},
		{
			name: "a batch in part", bad: batched()[:4],
			problem: "I5: batch p.1: 1 of 2 tasks that were submitted together were run",
		},
		{
			name: "a key that stays", bad: []record{{Op: opKey, Key: &kept{Name: "cenote:{q}:tasks", Kind: "hash", Left: -1, Content: "aaa"}}},
			problem: `I8: key "cenote:{q}:tasks" (hash) is left over and never expires: aaa`,
		},
		{
			name: "somebody else's key", bad: []record{{Op: opKey, Key: &kept{Name: "conf", Kind: "string", Left: -1}}},
			problem: `I8: key "conf" (string) is left over and never expires`,
		},
		{name: "a key that goes", bad: []record{
			{Op: opKey, Key: &kept{Name: "cenote:{q}:result:aaa", Left: time.Hour}}, {Op: opKey, Key: &kept{Name: "cenote:{q}:conf", Left: -1}},
		}},
		{
			name: "goroutines that stay", bad: []record{{Proc: "w1", Op: opBase, Use: &use{2, 5}}, {Proc: "w1", Op: opRest, Use: &use{3, 5}}},
			problem: "I9: worker w1 began with 2 goroutines and 5 files, and ended with 3 and 5",
		},
		{
			name: "files that stay", bad: []record{{Proc: "w1", Op: opBase, Use: &use{2, 5}}, {Proc: "w1", Op: opRest, Use: &use{2, 6}}},
			problem: "I9: worker w1 began with 2 goroutines and 5 files, and ended with 2 and 6",
		},
		{name: "a worker that leaves nothing behind", bad: []record{{Proc: "w1", Op: opBase, Use: &use{3, 5}}, {Proc: "w1", Op: opRest, Use: &use{3, 4}}}},
		{
			name: "a connection that stays", bad: []record{{Op: opConn, Error: "id=7 addr=127.0.0.1:9"}},
			problem: "I9: a connection to Redis is left: id=7",
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
	want := "submitted 5, accepted 3, refused 1, unsure 1; ran 2, run again 0; completed 2, dead 0, lost 1, completed twice 0; followed 0, announced 2, endings refused 2, leases lost 1, taken over 3; slowest future 0s"
	if got != want {
		t.Fatalf("the report is\n%s, want\n%s", got, want)
	}
}

// TestHistoryTorn checks that the records killed writers left half done are left
// out, also in the middle, and that a wrong one is not.
func TestHistoryTorn(t *testing.T) {
	dir := t.TempDir()
	h, err := newRecorder(dir, "w1")
	if err != nil {
		t.Fatal(err)
	}
	h.add(record{Op: opStart, ID: "aaa", N: 1})
	for whole := 1; whole <= 2; whole++ {
		if _, err := h.file.WriteString("\x1e" + `{"t":5,"op":"en`); err != nil {
			t.Fatal(err)
		}
		rs, err := readHistory(historyPath(dir, "w1"))
		if err != nil || len(rs) != whole || rs[whole-1].ID != "aaa" || rs[whole-1].Proc != "w1" {
			t.Fatalf("read %v, %v; want %d whole records", rs, err, whole)
		}
		if whole == 1 {
			h.add(record{Op: opStart, ID: "aaa", N: 2})
		}
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
