// Package bubble runs tests in virtual time: a Redis of their own and all who talk
// to it are in one bubble of testing/synctest, where hours pass as soon as
// everybody waits.
package bubble

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
)

// Bubble is a Redis in virtual time.
type Bubble struct {
	T     *testing.T
	store *embedded.Store
}

// Run runs the test in a bubble. Everything that it starts must have ended when it
// returns, or be ended by what it leaves to T's Cleanup.
func Run(t *testing.T, test func(b *Bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// A client that was closed while it could not connect sleeps on for a second.
		t.Cleanup(func() { time.Sleep(time.Minute) })
		s, err := embedded.StartPrivate()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		test(&Bubble{T: t, store: s})
	})
}

// Client is a client whose connections can be cut.
type Client struct {
	*redis.Client
	dial func(context.Context, string, string) (net.Conn, error)

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

var errCut = errors.New("bubble: the network is cut")

// Client makes a client, which is closed when the test is over.
func (b *Bubble) Client() *Client {
	inner := b.store.Client()
	b.T.Cleanup(func() { _ = inner.Close() })
	o := *inner.Options()
	c := &Client{dial: o.Dialer, conns: map[net.Conn]bool{}}
	o.Dialer, o.DialerRetries = c.connect, 1
	c.Client = redis.NewClient(&o)
	b.T.Cleanup(func() { _ = c.Close() })
	return c
}

func (c *Client) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	conn, err := c.dial(ctx, network, addr)
	if err == nil {
		c.conns[conn] = true
	}
	return conn, err
}

// Cut ends all connections, and lets no new ones through until they are mended.
// What the server was told before stays told; a program whose client is cut is as
// good as dead to all others.
func (c *Client) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

// Mend lets new connections through again.
func (c *Client) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}
