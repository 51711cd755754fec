package main

import (
	"context"
	"time"
)

// processPool is a session that runs a trivial function in crewSize other
// processes. Its times leave their start out.
type processPool interface {
	// MapAll maps n arguments and collects the values; chunk 0 leaves the size of
	// chunks to the system.
	MapAll(ctx context.Context, n, chunk int) (time.Duration, error)
	// MapEach maps n arguments and looks at one value after the other.
	MapEach(ctx context.Context, n, chunk int) (time.Duration, error)
	// Calls submits and awaits n tasks one by one, so many at a time.
	Calls(ctx context.Context, n, outstanding int) (time.Duration, error)
}

// localPools is a session that runs n functions on as many goroutines of this
// process as it has processors, and waits for each of them.
type localPools interface {
	Noops(ctx context.Context, n int) (time.Duration, error)  // without a value
	Values(ctx context.Context, n int) (time.Duration, error) // with one
	Tasks(ctx context.Context, n int) (time.Duration, error)  // that were defined before
}

func mapCase(chunk int) func(context.Context, env, int) (measures, error) {
	return onProcesses(func(ctx context.Context, p processPool, n int) (time.Duration, error) { return p.MapAll(ctx, n, chunk) })
}

func imapCase(chunk int) func(context.Context, env, int) (measures, error) {
	return onProcesses(func(ctx context.Context, p processPool, n int) (time.Duration, error) {
		return p.MapEach(ctx, n, chunk)
	})
}

// callsCase keeps 64 tasks outstanding.
var callsCase = onProcesses(func(ctx context.Context, p processPool, n int) (time.Duration, error) { return p.Calls(ctx, n, 64) })

func onProcesses(do func(context.Context, processPool, int) (time.Duration, error)) func(context.Context, env, int) (measures, error) {
	return func(ctx context.Context, e env, n int) (measures, error) {
		p, ok := e.session.(processPool)
		if !ok {
			return nil, errNone
		}
		return timed(do(ctx, p, n))(n)
	}
}

func localCase(do func(localPools, context.Context, int) (time.Duration, error)) func(context.Context, env, int) (measures, error) {
	return func(ctx context.Context, e env, n int) (measures, error) {
		p, ok := e.session.(localPools)
		if !ok {
			return nil, errNone
		}
		return timed(do(p, ctx, n))(n)
	}
}

func timed(elapsed time.Duration, err error) func(n int) (measures, error) {
	return func(n int) (measures, error) {
		if err != nil {
			return nil, err
		}
		return measures{taskCount: float64(n), rate: perSecond(n, elapsed)}, nil
	}
}

// memoryCase is Cenote's alone.
func memoryCase(ctx context.Context, e env, n int) (measures, error) {
	s, ok := e.session.(*cenoteSession)
	if !ok {
		return nil, errNone
	}
	g, err := s.Memory(ctx, n)
	if err != nil {
		return nil, err
	}
	const mib = 1 << 20
	return measures{
		taskCount: float64(n), rate: float64(n) / g.Seconds,
		memoryFirst: g.First / mib, memoryLast: g.Last / mib,
	}, nil
}
