package main

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// pythonSystem is the multiprocessing.Pool of Python's own library, with crewSize
// processes; pool.py runs it. Redis has no part in it.
type pythonSystem struct{ path string }

func findPython() (pythonSystem, error) {
	path, err := exec.LookPath("python3")
	if err != nil {
		return pythonSystem{}, errors.New("python3 is not installed")
	}
	return pythonSystem{path}, nil
}

func (pythonSystem) Name() string { return "python" }
func (pythonSystem) Close() error { return nil }

func (s pythonSystem) Open(context.Context, *server) (session, error) {
	return pythonSession{path: s.path}, nil
}

type pythonSession struct {
	noQueue
	path string
}

func (s pythonSession) MapAll(ctx context.Context, n, chunk int) (time.Duration, error) {
	return s.time(ctx, "map", n, chunk)
}

func (s pythonSession) MapEach(ctx context.Context, n, chunk int) (time.Duration, error) {
	return s.time(ctx, "imap", n, chunk)
}

func (s pythonSession) Calls(ctx context.Context, n, outstanding int) (time.Duration, error) {
	return s.time(ctx, "calls", n, outstanding)
}

func (s pythonSession) time(ctx context.Context, verb string, n, width int) (time.Duration, error) {
	var took struct{ Seconds float64 }
	err := ask(ctx, exec.Command(s.path, "pool.py", verb, strconv.Itoa(crewSize), strconv.Itoa(n), strconv.Itoa(width)), &took)
	return time.Duration(took.Seconds * float64(time.Second)), err
}

// noQueue is the session of a system that has a pool and no queue.
type noQueue struct{}

func (noQueue) Submit(context.Context, load) error                 { return errNone }
func (noQueue) SubmitBulk(context.Context, load) error             { return errNone }
func (noQueue) Await(context.Context, load) error                  { return errNone }
func (noQueue) Work(context.Context, int) (worker, error)          { return nil, errNone }
func (noQueue) Left(context.Context, *redis.Client) (int64, error) { return 0, errNone }
func (noQueue) Latency(context.Context, int) (latencies, error)    { return latencies{}, errNone }
func (noQueue) Close() error                                       { return nil }
