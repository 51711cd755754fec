package main

import (
	"context"
	"fmt"
	"time"
)

func latencyCase(ctx context.Context, e env, n int) (measures, error) {
	l, err := e.session.Latency(ctx, n)
	if err != nil {
		return nil, err
	}
	return measures{
		taskCount: float64(n),
		startP50:  percentile(l.start, 50), startP99: percentile(l.start, 99),
		resultP50: percentile(l.result, 50), resultP99: percentile(l.result, 99),
		resultMax: float64(l.max.Microseconds()), // a lost wake-up is one in thousands
	}, nil
}

func bytesCase(ctx context.Context, e env, n int) (measures, error) {
	// One batch first: what a queue costs once is not a task's.
	if err := e.fill(ctx, load{n: batch, size: 100, goroutines: 1}); err != nil {
		return nil, err
	}
	// Redis takes stock of its clients' buffers, which are left out, once a second.
	time.Sleep(1100 * time.Millisecond)
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.fill(ctx, load{n: n, size: 100, goroutines: 1}); err != nil {
		return nil, err
	}
	time.Sleep(1100 * time.Millisecond)
	after, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	return measures{taskCount: float64(n), bytesWaiting: after.since(before).memory / float64(n)}, nil
}

// idleCase watches an idle worker for n seconds.
func idleCase(ctx context.Context, e env, n int) (measures, error) {
	w, err := e.session.Work(ctx, 10)
	if err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second) // starting up is not idling
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(n) * time.Second)
	after, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	d := after.since(before)
	return measures{
		idleCommands: max(d.commands, 0) / d.elapsed.Seconds(),
		idleReads:    max(d.reads, 0) / d.elapsed.Seconds(),
	}, w.Stop(ctx)
}

// smallBacklogSize is the backlog that the large one is compared with.
const smallBacklogSize = 10_000

// backlogCase drains the small backlog several times before and after one of n
// tasks. It compares rates from the first start on: a worker's start-up is a
// large part of 10,000 tasks and would flatter the large backlog.
func backlogCase(ctx context.Context, e env, n int) (measures, error) {
	var small []float64
	drainSmall := func() error {
		for range 5 {
			m, err := e.drain(ctx, min(smallBacklogSize, n), 100)
			if err != nil {
				return err
			}
			small = append(small, m[steadyRate])
		}
		return nil
	}
	if err := drainSmall(); err != nil {
		return nil, err
	}
	large, err := e.drain(ctx, n, 100)
	if err != nil {
		return nil, err
	}
	if err := drainSmall(); err != nil {
		return nil, err
	}
	return measures{taskCount: float64(n), smallBacklog: median(small), largeBacklog: large[steadyRate]}, nil
}

// dueRepeats is how often a round of Cenote's measures what it compares within itself.
const dueRepeats = 3

// dueCase submits n tasks that fall due at one moment and lets an idle worker
// wait for it. Cenote also drains as many plain tasks before and after, to compare
// with: rates from the first start, a few seconds apart, by turns, as the machine changes its
// speed meanwhile. The plain ones lie as long before they are drained, since a machine
// that has rested is slower at first.
func dueCase(ctx context.Context, e env, n int) (measures, error) {
	if e.system != "cenote" {
		return e.due(ctx, n)
	}
	var plain, due []float64
	drain := func() error {
		m, err := e.drainAfter(ctx, n, 100, dueLead(e.system, n))
		plain = append(plain, m[steadyRate])
		return err
	}
	if err := drain(); err != nil {
		return nil, err
	}
	var m measures
	repeats := dueRepeats
	if e.mode.quick {
		repeats = 1
	}
	for range repeats {
		var err error
		if m, err = e.due(ctx, n); err != nil {
			return nil, err
		}
		due = append(due, m[steadyRate])
		if err := drain(); err != nil {
			return nil, err
		}
	}
	m[plainRate], m[steadyRate] = median(plain), median(due)
	return m, nil
}

// due submits n tasks that fall due at one moment, far enough ahead, and times them.
func (e env) due(ctx context.Context, n int) (measures, error) {
	for lead := dueLead(e.system, n); ; lead *= 2 {
		at := time.Now().Add(lead)
		if err := e.fill(ctx, load{n: n, size: 64, goroutines: 1, at: at}); err != nil {
			return nil, err
		}
		if time.Until(at) > 300*time.Millisecond {
			return e.awaitDue(ctx, n, at)
		}
		if lead > time.Minute {
			return nil, fmt.Errorf("%d delayed tasks took longer than %v to submit", n, lead)
		}
		if err := e.srv.Flush(ctx); err != nil {
			return nil, err
		}
	}
}

func (e env) awaitDue(ctx context.Context, n int, at time.Time) (measures, error) {
	before, err := e.srv.snap(ctx)
	if err != nil {
		return nil, err
	}
	w, err := e.session.Work(ctx, 100)
	if err != nil {
		return nil, err
	}
	m, first, err := e.finish(ctx, w, n, at, before)
	if err != nil {
		return nil, err
	}
	m[firstStart] = float64(first.Sub(at).Microseconds()) / 1e3
	return m, nil
}
