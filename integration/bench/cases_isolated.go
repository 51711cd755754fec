package main

import (
	"context"
	"time"
)

// isolatedPools is a session that runs a trivial function in child processes of this one,
// which do one task at a time.
type isolatedPools interface {
	// MapIsolated maps n arguments, one in a message, over crewSize children.
	MapIsolated(ctx context.Context, n int) (time.Duration, error)
	// CallIsolated calls one warm child n times, one call after the other, and as often
	// a goroutine to which arguments and values travel as bytes as well.
	CallIsolated(ctx context.Context, n int) (child, goroutine time.Duration, err error)
}

func isolatedMapCase(ctx context.Context, e env, n int) (measures, error) {
	if p, ok := e.session.(isolatedPools); ok {
		return timed(p.MapIsolated(ctx, n))(n)
	}
	if p, ok := e.session.(pythonSession); ok { // its pool is nothing else
		return timed(p.MapAll(ctx, n, 1))(n)
	}
	return nil, errNone
}

func isolatedCallCase(ctx context.Context, e env, n int) (measures, error) {
	p, ok := e.session.(isolatedPools)
	if !ok {
		return nil, errNone
	}
	child, goroutine, err := p.CallIsolated(ctx, n)
	if err != nil {
		return nil, err
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
	return measures{taskCount: float64(n), rate: perSecond(n, child), isolationCost: us(child) - us(goroutine)}, nil
}
