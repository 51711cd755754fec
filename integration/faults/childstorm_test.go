package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
)

// roomy is how much memory a child may have that runs tasks of this package, which
// have the race detector; those that eat have more.
const roomy = 192 << 20

// blows are the children that a test has killed.
type blows struct {
	t      testing.TB
	rnd    *rand.Rand
	killed map[string]int // by child, see childOf: its number may come again
	kills  int
	took   []time.Duration // until all children were ready again
	next   atomic.Int64
}

func newBlows(t testing.TB) *blows {
	return &blows{t: t, rnd: newRand(t), killed: map[string]int{}}
}

// kill ends a child of the herd, chosen at random, and waits until it is replaced.
func (s *blows) kill(h *herd) {
	s.t.Helper()
	pids := h.ready()
	if len(pids) == 0 {
		h.whole()
		pids = h.ready()
	}
	pid, sig := pids[s.rnd.IntN(len(pids))], syscall.SIGKILL
	if s.rnd.IntN(8) == 0 {
		sig = syscall.SIGSEGV
	}
	at := time.Now()
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatalf("%v to child %d of %s: %v", sig, pid, h.proc, err)
	}
	s.kills++
	s.killed[fmt.Sprintf("%s.%d", h.proc, pid)]++
	h.whole(pid)
	s.took = append(s.took, time.Since(at))
}

// storm kills children, each of a herd chosen at random, while the load has tasks to
// run, some of which end their child by its memory.
func (s *blows) storm(l *load, herds []*herd, tasks, kills, eaters int) {
	s.t.Helper()
	for _, h := range herds {
		h.whole()
	}
	every := int64(tasks / eaters)
	l.strike(s.rnd, tasks, kills, func() job {
		j := brief()
		j.Eats = s.next.Add(1)%every == every/2
		return j
	}, func() { s.kill(herds[s.rnd.IntN(len(herds))]) })
}

// median is that of how long it took until all children were ready again.
func (s *blows) median() time.Duration {
	took := slices.Sorted(slices.Values(s.took))
	return took[len(took)/2].Round(time.Millisecond)
}

// judge holds the crashes that tasks have to their names against the runs that ended
// with a child: a run that never ended is a crash of its task, and a crash without such a
// run was of a child that was killed before or after. It returns how many there are, and
// how many nothing explains.
func (s *blows) judge(records []record) (crashes, unjust int) {
	s.t.Helper()
	type account struct{ crashes, lost, least int }
	tasks := map[int]*account{}
	ended, cut := map[string]bool{}, map[string]bool{}
	for _, r := range records {
		if r.Op == opEnd || r.Op == opBroke {
			ended[r.Run] = true
		}
	}
	for _, r := range records {
		if r.Op != opStart {
			continue
		}
		a := tasks[r.N]
		if a == nil {
			a = &account{}
			tasks[r.N] = a
		}
		a.crashes = max(a.crashes, int(r.Token)-r.Attempt) //nolint:gosec // a count
		who := childOf(r.Run)
		switch {
		case !ended[r.Run]:
			a.least++
			a.lost++
			if s.killed[who] > 0 {
				cut[who] = true
			}
		case s.killed[who] > 0:
			a.lost++
		}
	}
	for n, a := range tasks {
		crashes += a.crashes
		unjust += max(a.crashes-a.lost, 0)
		if a.crashes < a.least {
			s.t.Errorf("task %d has %d crashes to its name, and %d runs of it ended with their child", n, a.crashes, a.least)
		}
	}
	return crashes, max(unjust-(s.kills-len(cut)), 0)
}

// crashLine is how a worker says that a task has lost its child.
var crashLine = regexp.MustCompile(`process (\d+) (?:was ended by|exited with)`)

// judgeLog holds what a worker has said of crashes against what was killed: each child
// that was killed has cost at most one task, and the one that it ran, if it ran any.
func (s *blows) judgeLog(p *process, records []record) (said, memory int) {
	s.t.Helper()
	last := map[string][]string{} // the tasks of runs that never ended, by child
	ended := map[string]bool{}
	for _, r := range records {
		if r.Op == opEnd || r.Op == opBroke {
			ended[r.Run] = true
		}
	}
	for _, r := range records {
		if r.Op == opStart && !ended[r.Run] {
			last[childOf(r.Run)] = append(last[childOf(r.Run)], r.ID)
		}
	}
	blamed := map[string]int{}
	for line := range strings.Lines(p.log()) {
		var l struct {
			Task  string `json:"task_id"`
			Error string `json:"error"`
		}
		found := crashLine.FindStringSubmatch(line)
		if len(found) == 0 || json.Unmarshal([]byte(line), &l) != nil || l.Task == "" {
			continue
		}
		said++
		if strings.Contains(l.Error, "memory") {
			memory++
		}
		who := p.name + "." + found[1]
		blamed[who]++
		if runs := last[who]; len(runs) > 0 && !slices.Contains(runs, l.Task) {
			s.t.Errorf("child %s ran task %v when it died, and task %s was blamed: %s", who, runs, l.Task, line)
		} else if len(runs) == 0 && s.killed[who] == 0 {
			s.t.Errorf("nobody has killed child %s, and task %s was blamed for it: %s", who, l.Task, line)
		}
	}
	for who, n := range blamed {
		if most := max(s.killed[who], len(last[who])); n > most {
			s.t.Errorf("child %s has died %d times and %d tasks were blamed", who, most, n)
		}
	}
	return said, memory
}

// stormSize is what the storm is in short and in long.
func stormSize() (tasks, kills, eaters int) {
	return size(2000, 20_000), size(100, 2000), size(4, 40)
}

// generous is how long replacing a child may take in the long form: it would be far
// less if nobody else worked here.
const generous = time.Second

// TestChildStorm kills child processes of a pool again and again while they work.
func TestChildStorm(t *testing.T) {
	reached := inTable(t, "T2", "child processes of a pool killed at random")
	tasks, kills, eaters := stormSize()
	cfg := workerConfig{Dir: t.TempDir(), Proc: "pool", Concurrency: 3, Children: &childConfig{MaxMemory: roomy}}
	processes, err := cfg.processes()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := newRecorder(cfg.Dir, "producer")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rec.close() }()
	r := &runner{} // whose handlers run in the children alone
	p, err := pool.NewProcesses(pool.ProcessConfig{Workers: cfg.Concurrency, MaxMemory: roomy, MaxCrashes: 20, Env: processes.Env}, r.routes()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Terminate)
	h := &herd{t: t, dir: cfg.Dir, proc: cfg.Proc, parent: syscall.Getpid(), full: cfg.Concurrency + 1}
	l := &load{t: t, to: p, rec: rec}
	s := newBlows(t)
	s.storm(l, []*herd{h}, tasks, kills, eaters)
	if !l.wait() {
		t.Fatalf("waited %v in vain for futures", patience)
	}
	if left := zombies(brood(t, syscall.Getpid())); len(left) > 0 {
		eventually(t, "no zombie to be left", func() bool { return len(zombies(left)) == 0 })
	}
	h.whole()
	p.Close()
	if err := p.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := kin(t, cfg.Dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	records := readHistories(t, cfg.Dir)
	rep := check(records, rules{Dups: kills + eaters, Crashes: 20})
	t.Log(rep)
	for _, problem := range rep.Problems {
		t.Error(problem)
	}
	crashes, unjust := s.judge(records)
	if crashes == 0 || crashes > kills+eaters || unjust > 0 {
		t.Errorf("%d crashes, %d of them not explained; there were %d kills, and %d tasks that ate", crashes, unjust, kills, eaters)
	}
	if *chaos && s.median() > generous {
		t.Errorf("the median until the pool is whole again is %v", s.median())
	}
	reached("%d tasks, %d kills, %d by memory: lost %d, completed twice %d, run again %d, crashes %d, innocents blamed %d; whole again after %v (median)",
		rep.Accepted, s.kills, eaters, rep.Lost, rep.Twice, rep.Dups, crashes, unjust, s.median())
}

// TestChildStormOverRedis kills child processes of workers again and again while they
// work. The workers live through it, and only what ran in a child is blamed for its end.
func TestChildStormOverRedis(t *testing.T) {
	reached := inTable(t, "T2", "child processes of workers killed at random")
	tasks, kills, eaters := stormSize()
	cfg := steady
	cfg.Concurrency, cfg.MaxCrashes, cfg.Children = 2, 20, &childConfig{MaxMemory: roomy}
	b := newBench(t, setup{worker: cfg})
	b.fleet.startMany(2)
	herds := make([]*herd, 0, len(b.fleet.procs))
	for _, p := range b.fleet.procs {
		herds = append(herds, p.herd())
	}
	s := newBlows(t)
	s.storm(b.load, herds, tasks, kills, eaters)
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	for _, h := range herds {
		eventually(t, "no zombie to be left", func() bool { return len(zombies(brood(t, h.parent))) == 0 })
	}
	rep := b.finish(rules{Dups: kills + eaters, Crashes: cfg.MaxCrashes})
	b.barren()
	records := readHistories(t, b.dir)
	crashes, unjust := s.judge(records)
	said, memory := 0, 0
	for _, p := range b.fleet.procs {
		n, m := s.judgeLog(p, records)
		said, memory = said+n, memory+m
		if st := p.stats(); st.Crashed != int64(n) || st.Dead != 0 {
			t.Errorf("worker %s has counted %d crashes and %d dead tasks, and said %d and none", p.name, st.Crashed, st.Dead, n)
		}
	}
	if crashes != said || crashes == 0 || unjust > 0 || memory != eaters {
		t.Errorf("tasks have %d crashes to their names, %d not explained; the workers have said %d, %d by memory; %d tasks ate", crashes, unjust, said, memory, eaters)
	}
	if *chaos && s.median() > generous {
		t.Errorf("the median until a worker is whole again is %v", s.median())
	}
	reached("%d tasks, %d kills, %d by memory: lost %d, completed twice %d, run again %d, crashes %d, innocents blamed %d; whole again after %v (median)",
		rep.Accepted, s.kills, memory, rep.Lost, rep.Twice, rep.Dups, crashes, unjust, s.median())
}

// barren fails the test if a process is left of those that the workers have started.
func (b *bench) barren() {
	b.t.Helper()
	if left := kin(b.t, b.dir); len(left) > 0 {
		b.t.Errorf("processes %v are left", left)
	}
}
