package consumer

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// Config says what a worker works on and how. Every field but Concurrency has a
// default.
type Config struct {
	// Concurrency is how many tasks may run at once. There is no default: for work
	// that computes, runtime.GOMAXPROCS(0) is a good start, for work that waits,
	// more.
	Concurrency int

	// Queues are the queues to take tasks from. Default: the queue "default".
	Queues []Queue

	// Strict takes from a queue only while those before it in Queues are empty,
	// instead of sharing by weight. Default: false.
	Strict bool

	// Lease is how long the worker may be silent before others take over what it
	// runs, at least 1 second. It is renewed three times as often. Default: 30
	// seconds.
	Lease time.Duration

	// Sweep is how long after another worker's lease has lapsed this one takes over
	// at the latest, at least 100 milliseconds. Default: 5 seconds, or a third of
	// Lease if that is less.
	Sweep time.Duration

	// Grace is how long running tasks may finish after Run's context is done. A
	// negative value cancels them at once. Default: 25 seconds.
	Grace time.Duration

	// MaxCrashes is how many deliveries of one task may end with a lost worker
	// before the task is dead. It has nothing to do with [queue.Retries].
	// Default: 3.
	MaxCrashes int

	// KeepDead is how long dead tasks are kept for a look and a replay. Default:
	// 30 days.
	KeepDead time.Duration

	// LookAhead is the most tasks held ready beyond those that run, so that short
	// tasks need not wait for a round trip. How many are held is measured: none if
	// tasks take long. Negative holds none. Default: 512.
	LookAhead int

	// MaxMessage is the largest message and the largest value in bytes. Default:
	// [queue.MaxMessage].
	MaxMessage int

	// Replicas is how many replicas of the Redis must have what became of a task, and
	// a claim, before it counts: the worker tells it again until they do, and takes
	// nothing more meanwhile. Default: 0, which costs nothing. See
	// producer.Replicated, which is to be given as many.
	Replicas int

	// AllowEviction lets the worker start on a Redis that throws keys away when it
	// is full. Default: false; see [queue.ErrEvicts].
	AllowEviction bool

	// Middleware wraps every handler, the first one outermost. With Processes it stays in
	// this process, around the way to the child and back, and sees a chunk of a Map as
	// one message. Default: none.
	Middleware []queue.Middleware

	// Processes makes handlers run in child processes, which can be killed, one task in
	// each at a time, and Concurrency of them at once. Default: nil, they are goroutines of
	// this process.
	Processes *Processes

	// Seal opens tasks and seals their outcomes. Set aside as dead, with
	// [queue.ErrUnauthenticated], is a task that it does not open. Default: none; sealed tasks
	// are set aside.
	Seal *seal.Seal

	// Logger is told what the worker does. Default: nothing is logged.
	Logger *zap.Logger
}

// Queue is a queue that a worker takes tasks from.
type Queue struct {
	// Name is the queue's name.
	Name string
	// Group is the consumer group of a stream queue: each group gets every task.
	// Empty for a list queue.
	Group string
	// Weight is the queue's share of the worker relative to its other queues while
	// all have tasks. Default: 1.
	Weight int
}

func (c Config) withDefaults() (Config, error) {
	if c.Concurrency < 1 {
		return c, fmt.Errorf("%w: Concurrency is %d; say how many tasks may run at once, at least 1 (runtime.GOMAXPROCS(0) for work that computes)",
			queue.ErrOption, c.Concurrency)
	}
	if len(c.Queues) == 0 {
		c.Queues = []Queue{{Name: queue.DefaultQueue}}
	}
	c.Queues = append([]Queue(nil), c.Queues...)
	seen := map[Queue]bool{}
	for i := range c.Queues {
		q := &c.Queues[i]
		if err := queue.CheckName("queue", q.Name); err != nil {
			return c, err
		}
		if q.Group != "" {
			if err := queue.CheckName("group", q.Group); err != nil {
				return c, err
			}
		}
		if q.Weight < 0 {
			return c, fmt.Errorf("%w: queue %q has weight %d; give it at least 1", queue.ErrOption, q.Name, q.Weight)
		}
		if q.Weight == 0 {
			q.Weight = 1
		}
		key := Queue{Name: q.Name, Group: q.Group}
		if seen[key] {
			return c, fmt.Errorf("%w: queue %q is listed twice", queue.ErrOption, q.Name)
		}
		seen[key] = true
	}
	c.Lease = orDefault(c.Lease, 30*time.Second)
	if c.Lease < time.Second {
		return c, fmt.Errorf("%w: Lease is %v; give it at least 1s, or a slow network looks like a dead worker", queue.ErrOption, c.Lease)
	}
	c.Sweep = orDefault(c.Sweep, min(5*time.Second, c.Lease/3))
	if c.Sweep < 100*time.Millisecond {
		return c, fmt.Errorf("%w: Sweep is %v; give it at least 100ms", queue.ErrOption, c.Sweep)
	}
	c.Grace = orDefault(c.Grace, 25*time.Second)
	c.KeepDead = orDefault(c.KeepDead, 30*24*time.Hour)
	c.MaxCrashes = orDefault(c.MaxCrashes, 3)
	c.LookAhead = orDefault(c.LookAhead, 512)
	c.MaxMessage = orDefault(c.MaxMessage, queue.MaxMessage)
	if c.MaxCrashes < 0 || c.KeepDead < 0 || c.MaxMessage < 0 {
		return c, fmt.Errorf("%w: MaxCrashes is %d, KeepDead %v, MaxMessage %d; none may be negative", queue.ErrOption, c.MaxCrashes, c.KeepDead, c.MaxMessage)
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
