package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// target is a figure Cenote promises.
type target struct {
	about  string
	want   float64
	atMost bool // want is a ceiling; otherwise a floor
	unit   string
	value  func(*results) (float64, bool)
}

// targets lists what Cenote is measured against, relative to systems in the same run.
func targets() []target {
	over := func(caseName, metric, peer string) func(*results) (float64, bool) {
		return func(r *results) (float64, bool) { return r.ratio(caseName, metric, "cenote", peer) }
	}
	own := func(caseName, metric string) func(*results) (float64, bool) {
		return func(r *results) (float64, bool) { return r.get(caseName, "cenote", metric) }
	}
	within := func(case1, metric1, case2, metric2 string) func(*results) (float64, bool) {
		return func(r *results) (float64, bool) {
			a, ok1 := r.get(case1, "cenote", metric1)
			b, ok2 := r.get(case2, "cenote", metric2)
			return a / b, ok1 && ok2 && b != 0
		}
	}
	// scaled is a cost in units of the peer's, which is put down as known.
	scaled := func(caseName, metric, peer string, known float64) func(*results) (float64, bool) {
		return func(r *results) (float64, bool) {
			x, ok := r.ratio(caseName, metric, peer, "cenote")
			return known / x, ok
		}
	}
	return []target{
		{"drain (10) against asynq", 15, false, "x", over("drain-10", rate, "asynq")},
		{"drain (100) against asynq", 15, false, "x", over("drain-100", rate, "asynq")},
		{"drain (10) against BullMQ", 8, false, "x", over("drain-10", rate, "bullmq")},
		{"drain (100) against BullMQ", 8, false, "x", over("drain-100", rate, "bullmq")},
		{"submit+drain against asynq", 12, false, "x", over("submit+drain", rate, "asynq")},
		{"submit-and-await against asynq", 10, false, "x", over("await", rate, "asynq")},
		{"submit-and-await against BullMQ", 9, false, "x", over("await", rate, "bullmq")},
		{"bulk submit against BullMQ's addBulk", 7, false, "x", over("bulk", rate, "bullmq")},
		{"Redis CPU a task, no result, where asynq takes 44 us", 5, true, "us", scaled("submit+drain", redisCPU, "asynq", 44)},
		{"Redis CPU a task, with a result, where asynq takes 66 us", 8, true, "us", scaled("await", redisCPU, "asynq", 66)},
		{"bytes a waiting 100-byte task", 250, true, "bytes", own("bytes", bytesWaiting)},
		{"submit, 64 callers, against asynq", 3, false, "x", over("submit-64", rate, "asynq")},
		{"submit, 1 caller, against raw XADD", 0.85, false, "x", over("submit-1", rate, "raw")},
		{"submit -> start p50 against raw", 2.5, true, "x", over("latency", startP50, "raw")},
		{"submit -> result p50 against raw", 2.2, true, "x", over("latency", resultP50, "raw")},
		{"Redis calls of an idle worker", 1, true, "a second", own("idle", idleCommands)},
		{"drain, large backlog against small", 0.95, false, "x", within("backlog", largeBacklog, "backlog", smallBacklog)},
		{"due at once: the first starts after", 100, true, "ms", own("due", firstStart)},
		{"due at once: rate against plain drain", 0.9, false, "x", within("due", steadyRate, "due", plainRate)},
		{"Map in chunks of 1 against Python's Pool", 1, false, "x", over("map-1", rate, "python")},
		{"Map in chunks of 10 against Python's Pool", 1, false, "x", over("map-10", rate, "python")},
		{"Map in chunks of 100 against Python's Pool", 1, false, "x", over("map-100", rate, "python")},
		{"Map in chunks of 1000 against Python's Pool", 1, false, "x", over("map-1000", rate, "python")},
		{"Map in measured chunks against the best fixed size", 0.8, false, "x", bestMap},
		{"64 calls at a time against Python's Pool", 1.5, false, "x", over("calls", rate, "python")},
		{"memory of a long Map, its last tenth against its first", 1.2, true, "x", within("memory", memoryLast, "memory", memoryFirst)},
		{"a lock's hand-over p50 against a bare round trip", 2, true, "x", within("lock", handOverP50, "lock", tripP50)},
		{"isolated no-op task above a goroutine's", 60, true, "us", own("isolated-call", isolationCost)},
		{"Map over two child processes against Python's Pool", 1, false, "x", over("isolated-map", rate, "python")},
		{"no-op functions in the process against pond", 0.5, false, "x", over("local", rate, "pond")},
		{"functions with a value in the process against pond", 1, false, "x", over("local-value", rate, "pond")},
		{"tasks with a value in the process against pond", 1, false, "x", over("local-task", rate, "pond")},
	}
}

// bestMap is the rate of measured chunks in units of the best fixed size's.
func bestMap(r *results) (float64, bool) {
	auto, ok := r.get("map-auto", "cenote", rate)
	best := 0.0
	for _, c := range []string{"map-1", "map-10", "map-100", "map-1000"} {
		fixed, measured := r.get(c, "cenote", rate)
		ok, best = ok && measured, max(best, fixed)
	}
	return auto / best, ok
}

// verdict is what became of a target.
type verdict string

const (
	reached     verdict = "ok"
	short       verdict = "short"
	notMeasured verdict = "-"
)

// judge returns the figure reached and the verdict on it.
func (t target) judge(r *results) (float64, verdict) {
	v, ok := t.value(r)
	switch {
	case !ok:
		return 0, notMeasured
	case t.atMost && v <= t.want, !t.atMost && v >= t.want:
		return v, reached
	}
	return v, short
}

// printTargets prints the targets and ends with "N of M targets reached".
func printTargets(w io.Writer, r *results) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\twanted\treached\t")
	var n, missing int
	all := targets()
	for _, g := range all {
		v, verdict := g.judge(r)
		bound := "at least"
		if g.atMost {
			bound = "at most"
		}
		got := fmt.Sprintf("%.4g %s", v, g.unit)
		switch verdict {
		case reached:
			n++
		case notMeasured:
			got = "not measured"
			missing++
		}
		fmt.Fprintf(t, "%s\t%s %g %s\t%s\t%s\n", g.about, bound, g.want, g.unit, got, verdict)
	}
	t.Flush()
	if missing > 0 {
		fmt.Fprintf(w, "%d targets were not measured in this run.\n", missing)
	}
	fmt.Fprintf(w, "%d of %d targets reached\n", n, len(all))
}
