package conformance

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/proctest"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
)

// site is a Redis with processes around it. The fleet of D is one; rows that kill
// and stop things have their own.
type site struct {
	t     testing.TB
	redis *redistest.Server
}

func newSite(t testing.TB, redisArgs ...string) *site {
	t.Helper()
	return &site{t, redistest.Start(t, redisArgs...)}
}

// client is a producer of this process.
func (s *site) client() *producer.Client {
	s.t.Helper()
	c, err := producer.New(s.redis.Client())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// process is the test binary in another part.
type process struct {
	*proctest.Process
	t   testing.TB
	in  io.WriteCloser // its standard input: closed, it comes to its end
	out *bufio.Reader  // its standard output
	log string
}

// worker starts a worker process that runs so many tasks at once.
func (s *site) worker(slots int, lease time.Duration) *process {
	s.t.Helper()
	return s.play(script{Part: "worker", Slots: slots, Lease: lease})
}

// play starts a process that plays a part around the site's Redis.
func (s *site) play(sc script) *process {
	s.t.Helper()
	sc.Addr = s.redis.Addr()
	return start(s.t, sc)
}

// start starts a process that plays a part. At the end of the test it must end well,
// unless it was killed.
func start(t testing.TB, sc script) *process {
	t.Helper()
	text, err := json.Marshal(sc)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	cmd := proctest.Self(t, scriptEnv+"="+string(text))
	cmd.Stderr = log
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe() // not the command's own, which is closed when the process ends, read or not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	defer w.Close() // the child has its own
	p.out, cmd.Stdout = bufio.NewReader(out), w
	if p.Process, err = proctest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	return p
}

// end lets the process come to its end, which must be a good one.
func (p *process) end() {
	p.t.Helper()
	if p.Gone() {
		return
	}
	defer p.Kill()
	_ = p.in.Close()
	select {
	case <-p.Exited():
	case <-time.After(within):
		p.t.Errorf("a process did not end within %v; it said:\n%s", within, p.said())
		return
	}
	if code := p.State().ExitCode(); code != 0 {
		p.t.Errorf("a process ended with %v; it said:\n%s", p.State(), p.said())
	}
}

// said is what the process has written to its standard error.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
