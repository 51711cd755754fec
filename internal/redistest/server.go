// Package redistest gives tests a Redis of their own: a real redis-server process
// that can be killed and started again, or miniredis in this process.
package redistest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/proctest"
)

// Server is a redis-server process on a loopback port. It is not for concurrent
// use, but its clients are.
type Server struct {
	t    testing.TB
	bin  string
	dir  string
	port int
	args []string
	env  []string
	conf string // the configuration file of a Sentinel; "" for a server

	process *proctest.Process // nil if it does not run
	frozen  bool
}

// startWithin is how long a server may take to accept connections. It is
// generous: it only bounds how long a hopeless test hangs.
const startWithin = 30 * time.Second

// Start starts a redis-server on a free port, in a directory of its own, without
// persistence unless args, which are redis-server's own, say otherwise. The
// server is gone when the test is over. A machine without redis-server fails the
// test. CENOTE_TEST_SERVER names another program to be it.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartIn(t, nil, args...)
}

// StartIn is [Start] with env, such as "LD_PRELOAD=lib.so", besides the environment
// of this process.
func StartIn(t testing.TB, env []string, args ...string) *Server {
	t.Helper()
	bin, err := exec.LookPath(cmp.Or(os.Getenv("CENOTE_TEST_SERVER"), "redis-server"))
	if err != nil {
		t.Fatalf("redistest: no redis-server on this machine; install it with: apt-get install redis-server (%v)", err)
	}
	return startBin(t, bin, env, args)
}

// StartValkey is [Start] with a valkey-server, which knows what redis-server 7.0 does
// not. A machine without one fails the test.
func StartValkey(t testing.TB, args ...string) *Server {
	t.Helper()
	bin, err := exec.LookPath("valkey-server")
	if err != nil { // where tools/valkey.sh puts it
		cache, _ := os.UserCacheDir()
		bin, err = exec.LookPath(filepath.Join(cache, "cenote-tests/valkey/usr/bin/valkey-server"))
	}
	if err != nil {
		t.Fatalf("redistest: no valkey-server on this machine; fetch it with: make deps (%v)", err)
	}
	return startBin(t, bin, nil, args)
}

func startBin(t testing.TB, bin string, env, args []string) *Server {
	t.Helper()
	s := &Server{t: t, bin: bin, dir: t.TempDir(), args: args, env: env}
	s.start(nil)
	return s
}

// start chooses a port and launches the server there, which prepare may get ready
// for.
func (s *Server) start(prepare func() error) {
	t := s.t
	t.Helper()
	t.Cleanup(s.Kill)
	// Between the choice of a port and its use somebody else may take it.
	for try := 0; ; try++ {
		s.port = freePort(t)
		var err error
		if prepare != nil {
			err = prepare()
		}
		if err == nil {
			err = s.launch()
		}
		if err == nil {
			return
		}
		if try == 4 {
			t.Fatalf("redistest: %v", err)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: no free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// launch starts the process and waits until it accepts connections.
func (s *Server) launch() error {
	args := []string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "",
		"--repl-diskless-sync-delay", "0", // a replica is not kept waiting for others
	}
	log := &log{ready: make(chan struct{}), sign: "eady to accept connections"}
	cmd := exec.Command(s.bin, append(args, s.args...)...)
	if s.conf != "" {
		log.sign = "+monitor master"
		cmd = exec.Command(s.bin, s.conf, "--sentinel")
	}
	cmd.Stdout, cmd.Stderr = log, log
	if len(s.env) > 0 {
		cmd.Env = append(os.Environ(), s.env...)
	}
	p, err := proctest.Start(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.bin, err)
	}
	s.process = p
	select {
	case <-log.ready:
		return nil
	case <-p.Exited():
		return fmt.Errorf("%s %s ended at once:\n%s", s.bin, strings.Join(s.args, " "), log)
	case <-time.After(startWithin):
		s.Kill()
		return fmt.Errorf("%s was not ready after %v:\n%s", s.bin, startWithin, log)
	}
}

// log is what a server has said.
type log struct {
	ready chan struct{} // closed when it has said sign, that it accepts connections
	sign  string

	mu   sync.Mutex
	text []byte
	seen bool
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if !l.seen && bytes.Contains(l.text, []byte(l.sign)) {
		l.seen = true
		close(l.ready)
	}
	if over := len(l.text) - logKept; over > 0 && l.seen {
		l.text = l.text[over:]
	}
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// logKept is how much of a server's log is kept, in bytes.
const logKept = 4 << 10

// Addr is the server's address, host:port. It stays the same over a [Server.Restart].
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Dir is the server's directory, where its dump and log files are.
func (s *Server) Dir() string { return s.dir }

// Options are what a client of the server needs. They are the caller's to change.
func (s *Server) Options() *redis.Options {
	o := &redis.Options{Addr: s.Addr()}
	for i, a := range s.args {
		if a == "--requirepass" && i+1 < len(s.args) {
			o.Password = s.args[i+1]
		}
	}
	return o
}

// Client makes a client, which is closed when the test is over.
func (s *Server) Client() *redis.Client { return client(s.t, s.Options()) }

func client(t testing.TB, o *redis.Options) *redis.Client {
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server without a chance to save anything, and waits until it is
// gone. A server that is gone already stays so.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
		s.process, s.frozen = nil, false
	}
}

// Stop asks the server to shut down, which saves what its configuration says, and
// waits until it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	o := s.Options()
	o.MaxRetries, o.DialerRetries = -1, 1
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	_ = c.Shutdown(ctx).Err() // the connection ends before there is an answer
	select {
	case <-s.process.Exited():
		s.process = nil
	case <-ctx.Done():
		s.t.Errorf("redistest: the server at %s did not shut down within %v; it is killed", s.Addr(), startWithin)
		s.Kill()
	}
}

// Restart ends the server if it runs and starts it again: same port, same
// directory, same arguments.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
}

// Follow restarts the server as a replica of the master.
func (s *Server) Follow(master *Server) {
	s.t.Helper()
	s.args = append(slices.Clip(s.args), "--replicaof", "127.0.0.1 "+fmt.Sprint(master.port))
	s.Restart()
}

// Freeze stops the server's process where it is, connections and all, as a machine
// that hangs or a network that swallows everything does.
func (s *Server) Freeze() {
	s.t.Helper()
	if err := s.process.Freeze(); err != nil {
		s.t.Fatalf("redistest: freeze %s: %v", s.Addr(), err)
	}
	s.frozen = true
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.t.Helper()
	if err := s.process.Thaw(); err != nil {
		s.t.Fatalf("redistest: thaw %s: %v", s.Addr(), err)
	}
	s.frozen = false
}

// Running reports whether the server was not killed, stopped or frozen.
func (s *Server) Running() bool { return s.process != nil && !s.frozen }

// settled waits until f is true of what a server says. It is for what servers find
// out among themselves.
func settled(t testing.TB, what string, f func() (bool, error)) {
	t.Helper()
	var last error
	limit := time.After(startWithin)
	for {
		ok, err := f()
		if ok {
			return
		}
		if err != nil {
			last = err
		}
		select {
		case <-limit:
			t.Fatalf("redistest: waited %v in vain for %s (last error: %v)", startWithin, what, last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
