package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"time"
)

// measureLimit ends a measure that hangs, so that the others still run.
const measureLimit = 3 * time.Minute

// plan is what a run measures.
type plan struct {
	systems []system
	only    *regexp.Regexp // nil means every case
	rounds  int
	mode    mode
	log     io.Writer // progress
	begin   time.Time // of the run, for the progress
}

// run takes every measure of p and returns the medians of its rounds.
func (p plan) run(ctx context.Context, srv *server) (*results, error) {
	r := newResults()
	if err := p.warm(ctx, srv); err != nil {
		return r, err
	}
	for round := range p.rounds {
		m := p.mode
		m.round = round
		for _, c := range cases() {
			if p.only != nil && !p.only.MatchString(c.name) {
				continue
			}
			takes := 1
			if m.quick && !m.tiny {
				takes = c.takes
			}
			for take := range takes {
				if err := p.take(ctx, srv, r, c, m, round+take); err != nil {
					return r, err
				}
			}
		}
	}
	return r, nil
}

// take measures every system once in case c, starting with another one each turn:
// no system should profit from its place.
func (p plan) take(ctx context.Context, srv *server, r *results, c benchCase, m mode, turn int) error {
	for i := range p.systems {
		sys := p.systems[(i+turn)%len(p.systems)]
		n := c.size(sys.Name(), m)
		if n == 0 {
			continue
		}
		begin := time.Now()
		got, err := p.measure(ctx, srv, sys, c, n, m)
		said := brief(got)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNone):
			continue
		case err != nil:
			r.fail(c.name, sys.Name(), err)
			said = "FAILED: " + err.Error()
		default:
			r.add(c.name, sys.Name(), got)
		}
		fmt.Fprintf(p.log, "[%4.0fs] %d/%d %-13s %-8s took %4.1fs: %s\n",
			time.Since(p.begin).Seconds(), m.round+1, p.rounds, c.name, sys.Name(), time.Since(begin).Seconds(), said)
	}
	return nil
}

// warmTasks are run by every system before the first round: node compiles what is
// hot, and pages and the processor's clock settle, at nobody's expense.
const warmTasks = 5000

// warm runs some cases without recording them. What fails will fail again later.
func (p plan) warm(ctx context.Context, srv *server) error {
	for _, c := range cases() {
		if c.name != "await" && c.name != "bulk" && c.name != "drain-10" || p.mode.tiny {
			continue
		}
		for _, sys := range p.systems {
			if _, err := p.measure(ctx, srv, sys, c, warmTasks, p.mode); err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// measure runs one case on one system with a fresh session and an empty server.
func (p plan) measure(ctx context.Context, srv *server, sys system, c benchCase, n int, m mode) (_ measures, err error) {
	// Not a deadline: a server's calls can usually be cancelled and have none, and
	// clients may treat the two differently.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(measureLimit, func() { cancel(fmt.Errorf("not done after %v", measureLimit)) })
	defer limit.Stop()
	if err := srv.Flush(ctx); err != nil {
		return nil, fmt.Errorf("empty Redis: %w", err)
	}
	s, err := sys.Open(ctx, srv)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", sys.Name(), err)
	}
	defer func() {
		if cerr := s.Close(); cerr != nil && err == nil {
			fmt.Fprintf(p.log, "       close %s after %s: %v\n", sys.Name(), c.name, cerr)
		}
	}()
	runtime.GC() // the garbage of the measure before is not this one's
	return c.run(ctx, env{srv: srv, session: s, system: sys.Name(), mode: m}, n)
}

// stuckError says that not every task was handled in time.
type stuckError struct{ handled, want int64 }

func (e stuckError) Error() string {
	return fmt.Sprintf("stuck: %d of %d tasks handled", e.handled, e.want)
}
