package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// fleet is a test's worker processes, those that live and those that are gone. It
// is not for concurrent use.
type fleet struct {
	t     testing.TB
	cfg   workerConfig // Proc aside
	procs []*process
	kills int
}

// inFlight is how many tasks one worker may have begun at a time, and so how many
// may run again when it is lost.
func (f *fleet) inFlight() int { return f.cfg.Concurrency }

// process is one worker process.
type process struct {
	t      testing.TB
	name   string
	cfg    workerConfig
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and waited for
	killed bool          // by SIGKILL, from here
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
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	p := &process{t: f.t, name: cfg.Proc, cfg: cfg, cmd: exec.Command(self), exited: make(chan struct{})}
	log, err := os.Create(p.logPath())
	if err != nil {
		f.t.Fatal(err)
	}
	p.cmd.Stderr = log
	p.cmd.Env = append(os.Environ(), roleEnv+"=worker", configEnv+"="+string(text),
		"GORACE=atexit_sleep_ms=0") // else a worker built with -race takes a second to end
	dieWithParent(p.cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that starts it, so the thread is kept
		// until the child is gone.
		runtime.LockOSThread()
		defer close(p.exited)
		defer func() { _ = log.Close() }()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is looked at by those who want to know
		}
	}()
	if err := <-started; err != nil {
		f.t.Fatalf("start worker %s: %v", p.name, err)
	}
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
		if !p.gone() {
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
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
			f.t.Errorf("worker %s went wrong:\n%s", p.name, log)
		}
		if p.gone() && !p.killed && p.cmd.ProcessState.ExitCode() != 0 {
			f.t.Errorf("worker %s ended with %v:\n%s", p.name, p.cmd.ProcessState, log)
		}
	}
}

// endAll kills what still lives, when the test is over.
func (f *fleet) endAll() {
	for _, p := range f.alive() {
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// kill ends a worker with SIGKILL.
func (f *fleet) kill(p *process) {
	f.t.Helper()
	f.kills++
	p.killed = true
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) gone() bool { return isClosed(p.exited) }

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%v to worker %s: %v; it said:\n%s", s, p.name, err, p.log())
	}
}

// stop makes the process drain, once it has begun to work.
func (p *process) stop() {
	p.t.Helper()
	eventually(p.t, "worker "+p.name+" to be ready", func() bool { return p.started() || p.gone() })
	p.signal(syscall.SIGTERM)
}

// freeze stops the process and returns when it stands still.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	eventually(p.t, "worker "+p.name+" to be stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if os.IsNotExist(err) {
			return true // no /proc here: the signal is on its way, which must do
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	})
}

// thaw lets a frozen process go on.
func (p *process) thaw() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

// endsWell waits for the process to end, which must be with exit code 0.
func (p *process) endsWell() {
	p.t.Helper()
	eventually(p.t, "worker "+p.name+" to end", p.gone)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("worker %s ended with %v, want exit code 0; it said:\n%s", p.name, p.cmd.ProcessState, p.log())
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
