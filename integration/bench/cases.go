package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mode is how thorough the run is.
type mode struct {
	quick bool
	tiny  bool // the harness's own test
	round int  // from 0
}

// benchCase is one row group of the table.
type benchCase struct {
	name  string
	about string
	// size is how many tasks, samples or seconds system gets; 0 skips it.
	size func(system string, m mode) int
	// takes is how often a quick round repeats the case: more than once where a
	// target compares small figures that one glance at a busy machine misses.
	takes int
	run   func(ctx context.Context, e env, n int) (measures, error)
}

// env is what a case works with: one fresh session on an empty server.
type env struct {
	srv     *server
	session session
	system  string
	mode    mode
}

// cases lists what is measured, in the order of the table.
func cases() []benchCase {
	return []benchCase{
		{"submit-1", "submit, 1 caller, one task a call", submitOneSize, 3, submitCase(1)},
		{"submit-64", "submit, 64 callers, one task a call", submitSize, 1, submitCase(64)},
		{"bulk", "submit in batches of 100, 1 caller", bulkSize, 1, bulkCase},
		{"drain-10", "run a backlog of no-op tasks, concurrency 10", drainSize, 1, drainCase(10)},
		{"drain-100", "run a backlog of no-op tasks, concurrency 100", drainSize, 1, drainCase(100)},
		{"submit+drain", "64 callers submit while a worker (100) runs no-op tasks", drainSize, 1, flowCase},
		{"await", "64 callers submit and await every result, worker (100)", awaitSize, 1, awaitCase},
		{"latency", "one task to an idle worker (10)", latencySize, 2, latencyCase},
		{"bytes", "Redis memory of waiting 100-byte tasks", bytesSize, 1, bytesCase},
		{"idle", "a worker (10) with nothing to do", idleSize, 1, idleCase},
		{"backlog", "drain rate (100) of a small and a large backlog", backlogSize, 1, backlogCase},
		{"due", "delayed tasks that all fall due at once, worker (100)", dueSize, 1, dueCase},
		{"map-1", "pool: MapAll of a trivial function, chunks of 1, two worker processes", mapSize(1), 1, mapCase(1)},
		{"map-10", "the same, chunks of 10", mapSize(10), 1, mapCase(10)},
		{"map-100", "the same, chunks of 100", mapSize(100), 1, mapCase(100)},
		{"map-1000", "the same, chunks of 1000", mapSize(1000), 1, mapCase(1000)},
		{"map-auto", "the same, chunks as the system chooses", mapSize(0), 1, mapCase(0)},
		{"imap-100", "the same, one value after the other, chunks of 100", mapSize(100), 1, imapCase(100)},
		{"calls", "pool: submit and await one by one, 64 at a time, two worker processes", callsSize, 1, callsCase},
		{"lock", "a lock handed over between two processes, and a bare round trip between them", lockSize, 1, lockCase},
		{"memory", "pool: memory of the process that runs a long Map", memorySize, 1, memoryCase},
		{"isolated-map", "pool of two child processes: MapAll of a trivial function, one item a message", isolatedSize, 1, isolatedMapCase},
		{"isolated-call", "one child process: no-op tasks one after the other", isolatedSize, 1, isolatedCallCase},
		{"local", "pool in the process: no-op functions, then wait for all", localSize, 1, localCase(localPools.Noops)},
		{"local-value", "pool in the process: functions with a value, all awaited", localSize, 1, localCase(localPools.Values)},
		{"local-task", "pool in the process: defined tasks with a value, all awaited", localSize, 1, localCase(localPools.Tasks)},
	}
}

func submitCase(goroutines int) func(context.Context, env, int) (measures, error) {
	return func(ctx context.Context, e env, n int) (measures, error) {
		return e.submit(ctx, load{n: n, size: 64, goroutines: goroutines}, e.session.Submit)
	}
}

func bulkCase(ctx context.Context, e env, n int) (measures, error) {
	return e.submit(ctx, load{n: n, size: 64, goroutines: 1}, e.session.SubmitBulk)
}

// submit times send, after a smaller one that opens connections and warms scripts.
func (e env) submit(ctx context.Context, l load, send func(context.Context, load) error) (measures, error) {
	warm := l
	warm.n = min(l.n, max(l.n/10, 2*batch))
	if err := send(ctx, warm); err != nil {
		return nil, err
	}
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := send(ctx, l); err != nil {
		return nil, err
	}
	elapsed := time.Since(begin)
	return e.cost(ctx, before, l.n, elapsed)
}

// cost puts a rate and the Redis costs since before together.
func (e env) cost(ctx context.Context, before snapshot, n int, elapsed time.Duration) (measures, error) {
	after, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	m := measures{taskCount: float64(n), rate: perSecond(n, elapsed)}
	after.since(before).perTask(m, n)
	return m, nil
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// fill makes a backlog in the fastest way the system has.
func (e env) fill(ctx context.Context, l load) error {
	err := e.session.SubmitBulk(ctx, l)
	if errors.Is(err, errNone) {
		l.goroutines = 64
		err = e.session.Submit(ctx, l)
	}
	return err
}

func drainCase(concurrency int) func(context.Context, env, int) (measures, error) {
	return func(ctx context.Context, e env, n int) (measures, error) {
		return e.drain(ctx, n, concurrency)
	}
}

// drain fills the queue, then times a worker from its start until Redis is empty.
func (e env) drain(ctx context.Context, n, concurrency int) (measures, error) {
	return e.drainAfter(ctx, n, concurrency, 0)
}

// drainAfter starts the worker no sooner than lead after the filling began.
func (e env) drainAfter(ctx context.Context, n, concurrency int, lead time.Duration) (measures, error) {
	rest := time.After(lead)
	if err := e.fill(ctx, load{n: n, size: 64, goroutines: 1}); err != nil {
		return nil, err
	}
	select {
	case <-rest:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	w, err := e.session.Work(ctx, concurrency)
	if err != nil {
		return nil, err
	}
	m, _, err := e.finish(ctx, w, n, begin, before)
	return m, err
}

// finish waits until w has handled n tasks and Redis holds none, and stops w.
// It also returns when the first task started.
func (e env) finish(ctx context.Context, w worker, n int, begin time.Time, before snapshot) (measures, time.Time, error) {
	first, err := w.Handled(ctx, n)
	if err == nil {
		err = e.empty(ctx)
	}
	if err != nil {
		return nil, first, errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
	}
	end := time.Now()
	m, err := e.cost(ctx, before, n, end.Sub(begin))
	if err != nil {
		return nil, first, errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
	}
	m[steadyRate] = perSecond(n, end.Sub(first))
	return m, first, w.Stop(ctx)
}

// empty waits until Redis holds no task any more.
func (e env) empty(ctx context.Context) error {
	for {
		left, err := e.session.Left(ctx, e.srv.admin)
		if err != nil {
			return fmt.Errorf("ask whether Redis is empty: %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("all handlers ran, but Redis still holds %d tasks: %w", left, ctx.Err())
		case <-time.After(500 * time.Microsecond):
		}
	}
}

func flowCase(ctx context.Context, e env, n int) (measures, error) {
	send := e.session.Submit
	if f, ok := e.session.(feeder); ok {
		send = f.Feed
	}
	return e.both(ctx, load{n: n, size: 64, goroutines: 64}, send)
}

func awaitCase(ctx context.Context, e env, n int) (measures, error) {
	return e.both(ctx, load{n: n, size: 64, goroutines: 64}, e.session.Await)
}

// both times send with a worker beside it, from the first submission until send
// has returned, every task is handled and Redis is empty.
func (e env) both(ctx context.Context, l load, send func(context.Context, load) error) (measures, error) {
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	sent := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { sent <- send(ctx, l) }()
	if err := e.begun(ctx, sent); err != nil {
		cancel()
		return nil, err
	}
	w, err := e.session.Work(ctx, 100)
	if err != nil {
		cancel()
		return nil, errors.Join(err, <-sent)
	}
	if err := <-sent; err != nil {
		return nil, errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
	}
	m, _, err := e.finish(ctx, w, l.n, begin, before)
	return m, err
}

// begun waits until Redis holds a task, before a worker starts: one that found the
// queue empty at first might sleep, for a second in asynq, which is what the
// latency case measures.
func (e env) begun(ctx context.Context, sent chan error) error {
	for {
		select {
		case err := <-sent:
			sent <- err // the caller waits for it as well
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
		left, err := e.session.Left(ctx, e.srv.admin)
		if err != nil || left > 0 {
			return err
		}
	}
}
