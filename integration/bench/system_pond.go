package main

import (
	"context"
	"runtime"
	"time"

	"github.com/alitto/pond/v2"
)

// pondSystem is a pool of goroutines, to compare with pool.Local.
type pondSystem struct{}

func (pondSystem) Name() string { return "pond" }
func (pondSystem) Close() error { return nil }

func (pondSystem) Open(context.Context, *server) (session, error) { return pondSession{}, nil }

type pondSession struct{ noQueue }

func (pondSession) Noops(_ context.Context, n int) (time.Duration, error) {
	p := pond.NewPool(runtime.GOMAXPROCS(0))
	tasks := make([]pond.Task, n)
	begin := time.Now()
	for i := range tasks {
		tasks[i] = p.Submit(func() {})
	}
	for _, t := range tasks {
		if err := t.Wait(); err != nil {
			return 0, err
		}
	}
	elapsed := time.Since(begin)
	p.StopAndWait()
	return elapsed, nil
}

func (pondSession) Values(_ context.Context, n int) (time.Duration, error) {
	p := pond.NewResultPool[int](runtime.GOMAXPROCS(0))
	tasks := make([]pond.ResultTask[int], n)
	begin := time.Now()
	for i := range tasks {
		tasks[i] = p.SubmitErr(func() (int, error) { return i + 1, nil })
	}
	for i, t := range tasks {
		v, err := t.Wait()
		if err != nil {
			return 0, err
		}
		if v != i+1 {
			return 0, wrongValue(i, v)
		}
	}
	elapsed := time.Since(begin)
	p.StopAndWait()
	return elapsed, nil
}

// Tasks is Values: a closure is the only task that pond has.
func (s pondSession) Tasks(ctx context.Context, n int) (time.Duration, error) {
	return s.Values(ctx, n)
}
