package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cenote-go/cenote/internal/proctest"
)

// fleet is a test's worker processes, those that live and those that are gone. It
// is not for concurrent use.
type fleet struct {
	t     testing.TB
	cfg   workerConfig // Proc aside
	procs []*process
	kills int
	// mayDie says that the tasks end their processes: what such a one leaves behind is
	// no sign of a bug.
	mayDie bool
}

// inFlight is how many tasks one worker may have begun at a time, and so how many
// may run again when it is lost.
func (f *fleet) inFlight() int { return f.cfg.Concurrency }

// inFlightFar is inFlight of workers at the end of a bad line, which hold nothing
// ahead: what a slot has ended may not be told yet when the bell brings the next.
func (f *fleet) inFlightFar() int { return 2 * f.cfg.Concurrency }

// process is one worker process.
type process struct {
	*proctest.Process
	t      testing.TB
	name   string
	cfg    workerConfig
	killed bool // by SIGKILL, from here
}

// start starts one more worker, under a name that none had before.
func (f *fleet) start() *process {
	f.t.Helper()
	cfg := f.cfg
	cfg.Proc = fmt.Sprintf("w%d", len(f.procs)+1)
	text, err := json.Marshal(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	p := &process{t: f.t, name: cfg.Proc, cfg: cfg}
	log, err := os.Create(p.logPath())
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := proctest.Self(f.t, roleEnv+"=worker", configEnv+"="+string(text))
	cmd.Stderr = log
	if p.Process, err = proctest.Start(cmd); err != nil {
		f.t.Fatalf("start worker %s: %v", p.name, err)
	}
	f.t.Cleanup(p.Kill)
	f.procs = append(f.procs, p)
	return p
}

// startMany starts n workers.
func (f *fleet) startMany(n int) {
	f.t.Helper()
	for range n {
		f.start()
	}
}

// alive returns the workers that have not ended.
func (f *fleet) alive() []*process {
	var out []*process
	for _, p := range f.procs {
		if !p.Gone() {
			out = append(out, p)
		}
	}
	return out
}

// stopAll makes the living workers drain, and fails the test if one does not end
// well.
func (f *fleet) stopAll() {
	f.t.Helper()
	living := f.alive()
	for _, p := range living {
		p.stop()
	}
	for _, p := range living {
		p.endsWell()
	}
}

// verify fails the test if a worker has ended in a way that it should not, or has
// seen a data race.
func (f *fleet) verify() {
	f.t.Helper()
	for _, p := range f.procs {
		log := p.log()
		if f.mayDie && !strings.Contains(log, "DATA RACE") {
			continue
		}
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
			f.t.Errorf("worker %s went wrong:\n%s", p.name, log)
		}
		if p.Gone() && !p.killed && p.State().ExitCode() != 0 {
			f.t.Errorf("worker %s ended with %v:\n%s", p.name, p.State(), log)
		}
	}
}

// kill ends a worker with SIGKILL.
func (f *fleet) kill(p *process) {
	f.t.Helper()
	f.kills++
	p.killed = true
	p.Kill()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Signal(s); err != nil {
		p.t.Fatalf("%v to worker %s: %v; it said:\n%s", s, p.name, err, p.log())
	}
}

// stop makes the process drain, once it has begun to work.
func (p *process) stop() {
	p.t.Helper()
	eventually(p.t, "worker "+p.name+" to be ready", func() bool { return p.started() || p.Gone() })
	p.signal(syscall.SIGTERM)
}

// freeze stops the process and returns when it stands still.
func (p *process) freeze() {
	p.t.Helper()
	if err := p.Freeze(); err != nil {
		p.t.Fatalf("stop worker %s: %v", p.name, err)
	}
}

// thaw lets a frozen process go on.
func (p *process) thaw() {
	p.t.Helper()
	if err := p.Thaw(); err != nil {
		p.t.Fatalf("let worker %s go on: %v", p.name, err)
	}
}

// endsWell waits for the process to end, which must be with exit code 0.
func (p *process) endsWell() {
	p.t.Helper()
	eventually(p.t, "worker "+p.name+" to end", p.Gone)
	if code := p.State().ExitCode(); code != 0 {
		p.t.Fatalf("worker %s ended with %v, want exit code 0; it said:\n%s", p.name, p.State(), p.log())
	}
}

// history is what the process has written so far.
func (p *process) history() []record {
	p.t.Helper()
	rs, err := readHistory(historyPath(p.cfg.Dir, p.name))
	if err != nil {
		p.t.Fatal(err)
	}
	return rs
}

// has returns the first record that is as asked.
func (p *process) has(f func(record) bool) (record, bool) {
	p.t.Helper()
	for _, r := range p.history() {
		if f(r) {
			return r, true
		}
	}
	return record{}, false
}

// started reports whether the process has said that it takes tasks.
func (p *process) started() bool { return strings.Contains(p.log(), `"worker started"`) }

func (p *process) logPath() string { return filepath.Join(p.cfg.Dir, p.name+".log") }

// log is what the process has said on standard error.
func (p *process) log() string {
	text, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// lapsed is how many leases the workers know they have lost.
func (f *fleet) lapsed() int64 {
	f.t.Helper()
	var n int64
	for _, p := range f.procs {
		n += p.stats().Lapsed
	}
	return n
}

// stats are the last ones that the process has written down.
func (p *process) stats() stats {
	p.t.Helper()
	var last stats
	for _, r := range p.history() {
		if r.Op == opStats {
			last = *r.Stats
		}
	}
	return last
}

// count is how many records of the given kind the process has written.
func (p *process) count(op string) int {
	p.t.Helper()
	n := 0
	for _, r := range p.history() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// draining reports whether the process has said that it drains.
func (p *process) draining() bool { return strings.Contains(p.log(), `"worker draining"`) }
