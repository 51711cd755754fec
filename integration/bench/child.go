package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/producer"
)

// childEnv makes this program one of its own children: it says what the child is
// to do, as JSON. The harness's own test is such a program too.
const childEnv = "CENOTE_BENCH_CHILD"

// childJob is what a child process does.
type childJob struct {
	Addr  string // of Redis
	Items int    // of the Map that it runs; 0 makes it a worker
	Locks int    // how often it takes the lock, instead
}

// child does the job that the environment gives, if it does, and reports whether.
func child(ctx context.Context) (did bool, err error) {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		return false, nil
	}
	var job childJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return true, fmt.Errorf("%s: %w", childEnv, err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: job.Addr, PoolSize: poolSize, ReadTimeout: 10 * time.Second})
	defer rdb.Close()
	if job.Locks > 0 {
		return true, runLocks(ctx, rdb, job.Locks)
	}
	if job.Items == 0 {
		return true, runWorker(ctx, rdb)
	}
	client, err := producer.New(rdb)
	if err != nil {
		return true, err
	}
	grown, err := mapMemory(ctx, client, job.Items)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(grown)
	}
	return true, errors.Join(err, client.Close())
}

// runWorker runs increment until its parent has had enough of it.
func runWorker(ctx context.Context, rdb *redis.Client) error {
	w, err := consumer.New(rdb,
		consumer.Config{Queues: []consumer.Queue{{Name: queueName}}, Concurrency: runtime.GOMAXPROCS(0)},
		incrementRoute())
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// crewSize is how many processes work for a pool's case, Cenote's or Python's.
const crewSize = 2

// crew is the worker processes of Cenote.
type crew []*exec.Cmd

// startCrew starts them. They are ready when they have done something.
func startCrew(addr string) (c crew, err error) {
	for range crewSize {
		cmd, err := childCommand(childJob{Addr: addr})
		if err == nil {
			err = startBound(cmd)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start a worker process: %w", err), c.stop())
		}
		c = append(c, cmd)
	}
	return c, nil
}

// stop ends the processes. What they run is worth nothing any more.
func (c crew) stop() error {
	for _, cmd := range c {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	var errs []error
	for _, cmd := range c {
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil && !terminated(cmd) {
			errs = append(errs, fmt.Errorf("a worker process ended: %w", err))
		}
		late.Stop()
	}
	return errors.Join(errs...)
}

// terminated tells a process that was told to end before it was ready to be told so.
func terminated(cmd *exec.Cmd) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGTERM
}

func childCommand(job childJob) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// ask runs cmd and reads the JSON that it prints into answer.
func ask(ctx context.Context, cmd *exec.Cmd, answer any) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startBound(cmd); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	text, err := io.ReadAll(out)
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
	return json.Unmarshal(text, answer)
}
