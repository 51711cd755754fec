// Package redistest gives tests a Redis of their own: a real redis-server process
// that can be killed and started again, or miniredis in this process.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a redis-server process on a loopback port. It is not for concurrent
// use, but its clients are.
type Server struct {
	t    testing.TB
	bin  string
	dir  string
	port int
	args []string

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
}

// startWithin is how long a server may take to accept connections. It is
// generous: it only bounds how long a hopeless test hangs.
const startWithin = 30 * time.Second

// Start starts a redis-server on a free port, in a directory of its own, without
// persistence unless args, which are redis-server's own, say otherwise. The
// server is gone when the test is over. A machine without redis-server fails the
// test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redistest: no redis-server on this machine; install it with: apt-get install redis-server")
	}
	s := &Server{t: t, bin: bin, dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	// Between the choice of a port and its use somebody else may take it.
	for try := 0; ; try++ {
		s.port = freePort(t)
		if err = s.launch(); err == nil {
			return s
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
	}
	cmd := exec.Command(s.bin, append(args, s.args...)...)
	dieWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	started, ready, exited := make(chan error, 1), make(chan struct{}), make(chan struct{})
	var tail tail
	go func() {
		// The kernel ties the child to the thread that starts it, so the thread is kept
		// until the child is gone.
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		once := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			tail.add(lines.Text())
			if strings.Contains(lines.Text(), "eady to accept connections") {
				once()
			}
		}
		_ = cmd.Wait() // how it ended is in what it printed
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.bin, err)
	}
	s.cmd, s.exited = cmd, exited
	select {
	case <-ready:
		return nil
	case <-exited:
		return fmt.Errorf("%s %s ended at once:\n%s", s.bin, strings.Join(s.args, " "), tail.String())
	case <-time.After(startWithin):
		s.Kill()
		return fmt.Errorf("%s was not ready after %v:\n%s", s.bin, startWithin, tail.String())
	}
}

// tail keeps the last lines of a server's log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines = append(t.lines, line); len(t.lines) > 30 {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

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
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Stop asks the server to shut down, which saves what its configuration says, and
// waits until it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
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
	case <-s.exited:
		s.cmd = nil
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
