package producer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// commands are the names of the commands that a client sends.
type commands struct {
	mu    sync.Mutex
	names []string
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.mu.Lock()
		c.names = append(c.names, cmd.Name())
		c.mu.Unlock()
		return next(ctx, cmd)
	}
}

func TestWhatIsSharedAgainIsNotSentAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		var c commands
		b.rdb.AddHook(&c)
		first, err := b.x.Share(b.ctx, "default", []byte("table"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.producer().Share(b.ctx, "default", []byte("table"))
		if err != nil || again != first {
			t.Errorf("%q, %v, the first time %q", again, err, first)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		sent := slices.DeleteFunc(c.names, func(n string) bool { return n != "expire" && n != "set" })
		if !slices.Equal(sent, []string{"expire", "set", "expire"}) {
			t.Errorf("sent %q", sent)
		}
	})
}

func TestWhatIsSharedHasALimit(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		x, err := producer.New(b.rdb, producer.MaxMessage(10))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Share(b.ctx, "default", make([]byte, 160)); err != nil {
			t.Error(err)
		}
		if _, err := x.Share(b.ctx, "default", make([]byte, 161)); !errors.Is(err, queue.ErrTooLarge) || !strings.Contains(err.Error(), "producer.MaxMessage") {
			t.Errorf("above it: %v", err)
		}
		if _, err := x.Share(b.ctx, "not/a name", nil); !errors.Is(err, queue.ErrName) {
			t.Errorf("a bad name: %v", err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Share(b.ctx, "default", nil); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
