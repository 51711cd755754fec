package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
)

// TestMain lets the test's own program be a worker process, as the benchmark's is.
func TestMain(m *testing.M) {
	pool.Child(incrementRoute())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	did, err := child(ctx)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	case !did:
		os.Exit(m.Run())
	}
}

// TestSmoke runs every case of the Go systems at a tiny size, so that a change to
// Cenote that breaks the benchmark is noticed before somebody wants figures.
func TestSmoke(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not installed: apt-get install redis-server")
	}
	ctx := t.Context()
	srv, err := startServer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	python, err := findPython()
	if err != nil {
		t.Fatal(err)
	}
	p := plan{
		systems: []system{cenoteSystem{}, asynqSystem{}, rawStream{}, rawList{}, python, pondSystem{}},
		rounds:  1,
		mode:    mode{quick: true, tiny: true},
		log:     t.Output(),
		begin:   time.Now(),
	}
	r, err := p.run(ctx, srv)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.failed {
		t.Error(f)
	}
	for _, c := range cases() {
		for _, sys := range []string{"cenote", "asynq"} {
			if sys == "asynq" && (c.name == "bulk" || c.name == "backlog" || forPools(c.name)) {
				continue // it has no such thing; too slow for quick mode
			}
			found := false
			for _, m := range shown {
				v, ok := r.get(c.name, sys, m.name)
				found = found || ok
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && m.name != firstStart {
					t.Errorf("%s of %s: %s is %v", c.name, sys, m.name, v)
				}
			}
			if !found {
				t.Errorf("%s of %s has no figure", c.name, sys)
			}
		}
	}
	for _, g := range targets() {
		if strings.Contains(g.about, "BullMQ") {
			continue
		}
		if _, v := g.judge(r); v == notMeasured {
			t.Errorf("target %q was not measured", g.about)
		}
	}
}

// forPools tells the cases of the pools from those of the queues.
func forPools(caseName string) bool {
	for _, kind := range []string{"map-", "imap-", "calls", "memory", "local", "lock", "isolated-"} {
		if strings.HasPrefix(caseName, kind) {
			return true
		}
	}
	return false
}

func TestInfo(t *testing.T) {
	f := infoFields("# CPU\r\nused_cpu_sys:1.25\r\nused_cpu_user:2.5\r\n\r\n# Stats\r\ntotal_commands_processed:42\r\n")
	if number(f["used_cpu_sys"])+number(f["used_cpu_user"]) != 3.75 || number(f["total_commands_processed"]) != 42 {
		t.Fatalf("fields: %v", f)
	}
	before := snapshot{cpu: 1, commands: 100, reads: 50, own: 3}
	after := snapshot{cpu: 1.5, commands: 1110, reads: 80, own: 13}
	m := measures{}
	after.since(before).perTask(m, 1000)
	if m[redisCPU] != 500 || m[redisCommands] != 1 || m[redisReads] != 0.02 {
		t.Fatalf("a task costs %v; want 500 us, 1 command, 0.02 round trips", m)
	}
}

func TestStatistics(t *testing.T) {
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median of three = %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four = %v", got)
	}
	var samples []time.Duration
	for i := range 100 {
		samples = append(samples, time.Duration(100-i)*time.Microsecond)
	}
	if p50, p99 := percentile(samples, 50), percentile(samples, 99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
}

func TestReport(t *testing.T) {
	r := newResults()
	for _, v := range []float64{90_000, 300_000, 310_000} {
		r.add("drain-10", "cenote", measures{rate: v, redisCPU: 4})
	}
	r.add("drain-10", "asynq", measures{rate: 15_000, redisCPU: 40})
	r.add("drain-10", "bullmq", measures{rate: 50_000, redisCPU: 30})

	var table, goals bytes.Buffer
	printTable(&table, r)
	if s := strings.Join(strings.Fields(table.String()), " "); !strings.Contains(s, "drain-10 tasks/s 300.0k 15.0k 50.0k - - - - 20.00 6.00 - - -") ||
		!strings.Contains(s, "Redis CPU us/task 4.00 40.0 30.0 - - - - 10.00 7.50 - - -") {
		t.Errorf("table:\n%s", table.String())
	}
	printTargets(&goals, r)
	lines := strings.Split(strings.TrimSpace(goals.String()), "\n")
	if last := lines[len(lines)-1]; last != fmt.Sprintf("1 of %d targets reached", len(targets())) {
		t.Errorf("last line %q", last)
	}
	for _, want := range []string{"drain (10) against asynq at least 15 x 20 x ok", "drain (10) against BullMQ at least 8 x 6 x short"} {
		if !strings.Contains(strings.Join(strings.Fields(goals.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, goals.String())
		}
	}

	path := filepath.Join(t.TempDir(), "results.json")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	if err := json.Unmarshal(data, &records); err != nil {
		t.Fatal(err)
	}
	if len(records) != 6 || records[1] != (record{"drain-10", "cenote", rate, 300_000}) {
		t.Errorf("records: %+v", records)
	}
}
