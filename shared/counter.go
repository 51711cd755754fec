package shared

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	counterScript = store.LoadVerb(luaFiles, "counter")
	getScript     = store.LoadVerb(luaFiles, "get")
)

// Counter is a whole number that programs add to. It is 0 until somebody does. Its
// methods may be called concurrently: what is added while a round trip is under way
// travels together in the next.
type Counter struct{ object }

// OpenCounter opens the counter of that name.
func OpenCounter(m *Manager, name string, opts ...Option) (*Counter, error) {
	o, err := m.open("counter", name, opts)
	if err != nil {
		return nil, err
	}
	return &Counter{o}, nil
}

// Add adds n, which may be negative, and returns what the counter is then: of concurrent
// Adds each gets another number. The error is [ErrOverflow] if it would leave the int64s.
func (c *Counter) Add(ctx context.Context, n int64) (int64, error) {
	return c.number(c.do(ctx, counterScript, false, "add", n))
}

// Set makes it n.
func (c *Counter) Set(ctx context.Context, n int64) error {
	_, err := c.number(c.do(ctx, counterScript, false, "set", n))
	return err
}

// Reset makes it 0 and returns what it was, so that nothing that is added is counted
// twice or missed.
func (c *Counter) Reset(ctx context.Context) (int64, error) {
	return c.number(c.do(ctx, counterScript, false, "set", 0))
}

// Get returns what it is.
func (c *Counter) Get(ctx context.Context) (int64, error) {
	r, err := c.read(ctx, getScript)
	if err != nil || len(r) == 0 {
		return 0, c.about(err)
	}
	return c.number(reply("="+r[0]), nil)
}

// Delete deletes the counter: it is 0 again.
func (c *Counter) Delete(ctx context.Context) error {
	_, err := c.do(ctx, counterScript, true, "del")
	return err
}

func (c *Counter) number(r reply, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	text, _, err := r.value()
	if err != nil {
		return 0, c.about(err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, c.about(fmt.Errorf("%w: %q is no number from %d to %d", queue.ErrDecode, text, math.MinInt64, math.MaxInt64))
	}
	return n, nil
}
