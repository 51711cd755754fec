package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// poolSize is the connection pool of every Go system measured here, so that no
// system waits for connections where another does not.
const poolSize = 128

// server is the redis-server that the run starts for itself: no persistence, a
// free port on loopback, a directory of its own.
type server struct {
	addr  string
	port  int
	admin *redis.Client // the harness's own connection: INFO, FLUSHALL, "is it empty?"
	sent  atomic.Int64  // commands the harness sent through admin
	cmd   *exec.Cmd
	dir   string
	log   bytes.Buffer // what redis-server printed; read after it has ended
}

// startServer starts redis-server and waits until it answers.
func startServer(ctx context.Context) (*server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed: install the package redis-server, then run the benchmark again")
	}
	dir, err := os.MkdirTemp("", "cenote-bench-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), port: port, dir: dir}
	s.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--save", "", "--appendonly", "no", "--loglevel", "warning")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := startBound(s.cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), os.RemoveAll(dir))
	}
	s.admin = redis.NewClient(&redis.Options{Addr: s.addr, PoolSize: 1, Protocol: 2})
	s.admin.AddHook(countingHook{&s.sent})
	if err := s.awaitUp(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *server) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := s.admin.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server did not answer on %s: %w", s.addr, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Version reports the server's version, for the heading of the table.
func (s *server) Version(ctx context.Context) string {
	info, err := s.admin.Info(ctx, "server").Result()
	if err != nil {
		return "unknown"
	}
	return infoFields(info)["redis_version"]
}

// Flush empties the server, so that no measure sees the keys of the one before.
func (s *server) Flush(ctx context.Context) error {
	return s.admin.FlushAll(ctx).Err()
}

// Close ends the server and removes its directory.
func (s *server) Close() error {
	_ = s.admin.Close()
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // nothing in it is worth a slow goodbye
	_ = s.cmd.Wait()
	return os.RemoveAll(filepath.Clean(s.dir))
}

// dial returns a go-redis client of the kind every Go system here gets.
func (s *server) dial() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:        s.addr,
		PoolSize:    poolSize,
		ReadTimeout: 10 * time.Second,
	})
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// countingHook counts the commands a client sends, so that the harness can take
// its own out of what Redis says it has processed.
type countingHook struct{ n *atomic.Int64 }

func (h countingHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h countingHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h countingHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
