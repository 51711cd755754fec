package pool

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Config is what a pool of goroutines is made of. The zero value is good.
type Config struct {
	// Workers is how many tasks run at once. Default: GOMAXPROCS.
	Workers int

	// Initializer runs in every worker goroutine before its first task. If it fails
	// three times in a row the pool is broken: what waits and what is submitted from
	// then on fails with [queue.ErrPoolBroken]. ctx is done when the pool is
	// terminated. Default: none.
	Initializer func(ctx context.Context) error

	// Strict makes arguments, values and errors travel as bytes, as they do over
	// Redis: what works on a strict pool works there. Default: they are passed as
	// they are.
	Strict bool

	// MaxQueued bounds how many tasks wait for a worker or for their time. A
	// submission to a full pool waits for room until its ctx is done; one by a
	// handler of the pool itself goes in all the same, as all workers could be
	// waiting for room otherwise. Default: no bound.
	MaxQueued int
}

func (c *Config) complete() error {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Workers < 1 {
		return fmt.Errorf("%w: a pool of %d workers; give it at least 1", queue.ErrOption, c.Workers)
	}
	if c.MaxQueued < 0 {
		return fmt.Errorf("%w: MaxQueued is %d; 0 is no bound", queue.ErrOption, c.MaxQueued)
	}
	return nil
}

// Local makes a pool on which n tasks run at once, each in a goroutine, by the
// handlers of the routes. n must be at least 1.
func Local(n int, routes ...queue.Route) (*LocalPool, error) {
	if n < 1 {
		return nil, fmt.Errorf("%w: a pool of %d workers; give it at least 1", queue.ErrOption, n)
	}
	return NewLocal(Config{Workers: n}, routes...)
}

// NewLocal is [Local] with more to choose.
func NewLocal(cfg Config, routes ...queue.Route) (*LocalPool, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	mux, err := queue.NewMux(routes)
	if err != nil {
		return nil, err
	}
	p := &LocalPool{
		cfg: cfg, mux: mux, types: make(map[string]bool, len(routes)), size: cfg.Workers,
		index: map[place]*task{}, kept: map[place]kept{}, shared: map[string]*sharedArg{},
		born: time.Now(), done: make(chan struct{}),
	}
	for _, r := range routes {
		p.types[r.Type] = true
	}
	p.life, p.endLife = context.WithCancelCause(context.Background())
	return p, nil
}
