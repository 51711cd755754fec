package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// increment is the function of the pool's cases.
var increment = queue.NewTask[int, int]("bench.increment", queue.On(queueName))

// upTo is a source of n arguments that nobody has made before they are asked for.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// chunked is what the width of a pool's case means for Cenote.
func chunked(width int) []queue.Option {
	if width == 0 {
		return nil
	}
	return []queue.Option{queue.Chunk(width)}
}

// withCrew calls do with worker processes running: once to warm them and the
// connections, and once for the record.
func (s *cenoteSession) withCrew(ctx context.Context, n int, do func(n int) error) (elapsed time.Duration, err error) {
	c, err := startCrew(s.rdb.Options().Addr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := do(max(n/10, 1)); err != nil {
		return 0, err
	}
	begin := time.Now()
	err = do(n)
	return time.Since(begin), err
}

func (s *cenoteSession) MapAll(ctx context.Context, n, chunk int) (time.Duration, error) {
	return s.withCrew(ctx, n, func(n int) error {
		values, err := increment.MapAll(ctx, s.client, upTo(n), chunked(chunk)...)
		if err != nil {
			return err
		}
		return counted(slices.Values(values), n)
	})
}

func (s *cenoteSession) MapEach(ctx context.Context, n, chunk int) (time.Duration, error) {
	return s.withCrew(ctx, n, func(n int) error {
		var failed error
		err := counted(func(yield func(int) bool) {
			for v, err := range increment.Map(ctx, s.client, upTo(n), chunked(chunk)...) {
				if failed = err; err != nil || !yield(v) {
					return
				}
			}
		}, n)
		return errors.Join(failed, err)
	})
}

// counted reports whether values are 1 to n.
func counted(values iter.Seq[int], n int) error {
	want := 0
	for v := range values {
		if want++; v != want {
			return fmt.Errorf("value %d at place %d", v, want)
		}
	}
	if want != n {
		return fmt.Errorf("%d values, want %d", want, n)
	}
	return nil
}

func (s *cenoteSession) Calls(ctx context.Context, n, outstanding int) (time.Duration, error) {
	return s.withCrew(ctx, n, func(n int) error {
		return share(n, outstanding, func(_, i int) error {
			got, err := increment.Call(ctx, s.client, i)
			if err == nil && got != i+1 {
				err = fmt.Errorf("%d + 1 is %d", i, got)
			}
			return err
		})
	})
}

// Memory runs the Map in a process of its own, so that it is that one's memory.
func (s *cenoteSession) Memory(ctx context.Context, n int) (g growth, err error) {
	addr := s.rdb.Options().Addr
	c, err := startCrew(addr)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	cmd, err := childCommand(childJob{Addr: addr, Items: n})
	if err != nil {
		return g, err
	}
	return g, ask(ctx, cmd, &g)
}

// growth is the memory that a process which runs a Map has from the system: on average
// while the first tenth and the last tenth of the values were yielded. The collector
// makes it go up and down by a third all the time; what grows shows in the average.
type growth struct {
	First, Last float64 // bytes
	Seconds     float64
}

// mapMemory watches the memory of this process during a Map of n items.
func mapMemory(ctx context.Context, x queue.Executor, n int) (growth, error) {
	var g growth
	begin := time.Now()
	seen, looks := 0, float64(n/10/1000) // a look every thousand values of a tenth
	for v, err := range increment.Map(ctx, x, upTo(n)) {
		if err != nil {
			return g, err
		}
		if seen++; v != seen {
			return g, fmt.Errorf("value %d at place %d", v, seen)
		}
		if seen%1000 == 0 && seen <= n/10 {
			g.First += memory() / looks
		}
		if seen%1000 == 0 && seen > n-n/10 {
			g.Last += memory() / looks
		}
	}
	if seen != n {
		return g, fmt.Errorf("%d values, want %d", seen, n)
	}
	g.Seconds = time.Since(begin).Seconds()
	return g, nil
}

// memory is what the runtime has taken from the system and not given back, in bytes.
func memory() float64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return float64(m[0].Value.Uint64() - m[1].Value.Uint64())
}
