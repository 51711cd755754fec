package pool_test

import (
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

var atOnce = queue.Spaced(queue.Backoff{Base: time.Millisecond})

func TestACrashIsNotAnAttempt(t *testing.T) {
	for _, c := range []struct{ runs, seen, err string }{
		{"cfcfs", "1/1 1/2 2/3 2/4 3/5 ", ""},
		{"cfcff", "1/1 1/2 2/3 2/4 3/5 ", "dying"},           // retries are used up
		{"fccfs", "1/1 2/2 2/3 2/4 3/5 ", ""},                // crashes in a row
		{"cfcfc", "1/1 1/2 2/3 2/4 3/5 ", "earlier crash 2"}, // the third crash ends it
	} {
		p := processes(t, pool.ProcessConfig{Workers: 1})
		dir := t.TempDir()
		attempt, err := planTask.Call(soon(t), p, plan{dir, c.runs}, queue.Retries(2), atOnce)
		if seen, _ := os.ReadFile(filepath.Join(dir, "seen")); string(seen) != c.seen {
			t.Errorf("%s: the runs were attempt/token %s, want %s", c.runs, seen, c.seen)
		}
		switch {
		case c.err == "" && (err != nil || attempt != 3):
			t.Errorf("%s: attempt %d, %v", c.runs, attempt, err)
		case c.err != "":
			var te *queue.TaskError
			if !errors.As(err, &te) || te.Attempt != 3 || !strings.Contains(err.Error(), c.err) || errors.Is(err, queue.ErrWorkerLost) != strings.HasSuffix(c.runs, "c") {
				t.Errorf("%s: error %#v", c.runs, err)
			}
		}
	}
}

func TestResizeOfChildren(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	if err := p.Resize(0); !errors.Is(err, queue.ErrOption) {
		t.Errorf("Resize(0): %v", err)
	}
	fs, err := meetTask.SubmitAll(soon(t), p, slices.Repeat([]meeting{{t.TempDir(), 3}}, 3))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Resize(3); err != nil {
		t.Fatal(err)
	}
	pids, err := queue.Gather(soon(t), fs...) // which wait for each other
	if slices.Sort(pids); err != nil || len(slices.Compact(pids)) != 3 || p.Workers() != 3 {
		t.Errorf("children %v, %v; %d workers", pids, err, p.Workers())
	}
	if err := p.Resize(1); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); len(p.PIDs()) > 2; { // with the spare one
		if ctx.Err() != nil {
			t.Fatalf("children %v of a pool of one", p.PIDs())
		}
		time.Sleep(time.Millisecond)
	}
	if out, err := idleTask.MapAll(soon(t), p, slices.Values([]int{1, 2, 3})); err != nil || len(out) != 3 {
		t.Errorf("afterwards: %v, %v", out, err)
	}
}

func TestATaskThatFollowsOneOfAChild(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	f, err := square.Submit(soon(t), p, 3, queue.Then(idleTask, queue.ID("what-follows"), queue.Keep(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, f, 9)
	next, err := idleTask.Open(soon(t), p, queue.KeyTaskID("what-follows", 1))
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, next, 9)
}

func TestOpenOfATaskOfAChild(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	file := filepath.Join(t.TempDir(), "go")
	f := submit(t, p, waitTask, file, queue.Keep(time.Minute))
	again, err := waitTask.Open(soon(t), p, f.ID()) // while it runs
	if err != nil {
		t.Fatal(err)
	}
	gone := submit(t, p, idleTask, 1)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantValue(t, again, 1)
	wantValue(t, gone, 1)
	if again, err = waitTask.Open(soon(t), p, f.ID()); err != nil {
		t.Fatal(err)
	}
	wantValue(t, again, 1)
	if again, err = idleTask.Open(soon(t), p, gone.ID()); err == nil {
		_, err = again.Get(soon(t))
	}
	if !errors.Is(err, queue.ErrResultExpired) {
		t.Errorf("of a task that is not kept: %v", err)
	}
}

func TestAnArgumentThatTasksOfChildrenShare(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	for _, table := range [][]int{{5, 6, 7}, {8}} { // a child that has the one gets the other
		out, err := commonTask.MapAll(soon(t), p, slices.Values([]int{0, 1, 2, 3}), queue.Chunk(2), queue.Sharing(table))
		if err != nil || out[0] != table[0] || out[2] != table[2%len(table)] {
			t.Errorf("of %v: %v, %v", table, out, err)
		}
	}
	if _, err := commonTask.Call(soon(t), p, 1); err == nil || !strings.Contains(err.Error(), "Sharing") {
		t.Errorf("without one: %v", err)
	}
	if _, err := commonTask.Call(soon(t), p, 1, queue.Sharing("a text")); !errors.Is(err, queue.ErrDecode) {
		t.Errorf("of another type: %v", err)
	}
}

func TestTheMapFamilyOnChildren(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	in := slices.Values([]int{0, 1, 2, 3, 4, 5, 6})
	_, err := evenTask.MapAll(soon(t), p, in, queue.Chunk(3))
	var me *queue.MapError
	if !errors.As(err, &me) || me.Index != 1 || len(me.Failed) != 3 || !errors.Is(err, errDying) {
		t.Errorf("MapAll: %v", err)
	}
	for name, m := range map[string]func() iter.Seq2[int, error]{
		"Map":          func() iter.Seq2[int, error] { return evenTask.Map(soon(t), p, in, queue.Chunk(3)) },
		"MapUnordered": func() iter.Seq2[int, error] { return evenTask.MapUnordered(soon(t), p, in, queue.Chunk(3)) },
	} {
		sum, failed := 0, 0
		for v, err := range m() {
			if sum += v; errors.Is(err, errDying) {
				failed++
			}
		}
		if sum != 12 || failed != 3 {
			t.Errorf("%s: the sum is %d, %d failed", name, sum, failed)
		}
	}
	async, err := square.MapAsync(soon(t), p, in, queue.Chunk(2))
	if err != nil {
		t.Fatal(err)
	}
	if vs, err := async.Get(soon(t)); err != nil || !slices.Equal(vs, []int{0, 1, 4, 9, 16, 25, 36}) {
		t.Errorf("MapAsync: %v, %v", vs, err)
	}
}

func TestFailFastInterruptsChildren(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	dir := t.TempDir()
	// Two meet, which is not enough for those that wait for more.
	ms := append([]meeting{{"/nowhere/at/all", 1}}, slices.Repeat([]meeting{{dir, 1000}}, 20)...)
	_, err := meetTask.MapAll(soon(t), p, slices.Values(ms), queue.Chunk(1), queue.FailFast())
	var me *queue.MapError
	if !errors.As(err, &me) || me.Index != 0 {
		t.Fatalf("error %v", err)
	}
	wantValue(t, submit(t, p, idleTask, 7), 7) // a child is free again
	if began, _ := os.ReadDir(dir); len(began) == 20 {
		t.Error("everything ran")
	}
}

func TestWhatAHandlerInAChildSays(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	file := filepath.Join(t.TempDir(), "heard")
	f := submit(t, p, tellTask, file)
	var said []queue.Event
	for e := range f.Events(soon(t)) {
		if e.Text == "here I am" {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		said = append(said, e)
	}
	if len(said) != 2 || said[0].Done != 1 || said[0].Total != 2 || said[1].Text != "this is all" || said[1].Attempt != 1 || said[1].At.IsZero() {
		t.Errorf("events %+v", said)
	}
}
