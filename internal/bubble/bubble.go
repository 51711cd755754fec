// Package bubble runs tests in virtual time: a Redis of their own and all who talk
// to it are in one bubble of testing/synctest, where hours pass as soon as
// everybody waits.
package bubble

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
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
		t.Cleanup(func() { <-time.After(time.Minute) })
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
	dies  func(command, arg string) Moment
}

// Moment says whether a client dies at a command.
type Moment int

// The moments.
const (
	Never  Moment = iota
	Before        // the command is not sent
	After         // the server has done what it says; its reply is lost
)

// DieAt has the client cut off for good at a moment of pick's choice, which is told
// every command that is about to be sent, with its first argument. It may be called
// by several goroutines at once.
func (c *Client) DieAt(pick func(command, arg string) Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dies = pick
}

// wire is a connection that sees what is sent.
type wire struct {
	net.Conn
	c    *Client
	lost atomic.Bool // the next reply is
}

func (w *wire) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	dies := w.c.dies
	w.c.mu.Unlock()
	if dies != nil {
		if f := strings.SplitN(string(p), "\r\n", 6); len(f) == 6 && strings.HasPrefix(f[0], "*") {
			switch dies(strings.ToLower(f[2]), f[4]) {
			case Before:
				w.c.Cut()
				return 0, errCut
			case After:
				w.lost.Store(true)
			}
		}
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 && w.lost.Load() {
		w.c.Cut()
		return 0, errCut
	}
	return n, err
}

var errCut = errors.New("bubble: the network is cut")

// Client makes a client, which is closed when the test is over.
func (b *Bubble) Client() *Client {
	inner := b.store.Client()
	b.T.Cleanup(func() { _ = inner.Close() })
	o := *inner.Options()
	c := &Client{dial: o.Dialer, conns: map[net.Conn]bool{}}
	o.Dialer, o.DialerRetries = c.connect, 1
	// Who waits for a connection takes a timer that all clients of the process share, and a
	// bubble's timers must not get out of it.
	o.PoolSize = 10_000
	o.WriteBufferSize = 64 << 10 // a script's text, the longest of what is sent, is to be seen in one piece
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
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, c: c}
	c.conns[w] = true
	return w, nil
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
