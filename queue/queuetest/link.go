package queuetest

import (
	"context"
	"net"
	"sync"
)

// link is what a worker's connections go over. It can be cut, and mended.
type link struct {
	mu    sync.Mutex
	off   bool
	conns []net.Conn
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer dials by way of the link.
func (l *link) dialer(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.off {
			// Nobody is at the other end. An error would have go-redis dial again and again,
			// with pauses, and a killed worker take seconds to be gone.
			near, far := net.Pipe()
			return near, far.Close()
		}
		c, err := dial(ctx, network, addr)
		if err == nil {
			l.conns = append(l.conns, c)
		}
		return c, err
	}
}

// mend lets connections be made again.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = false
}

// up reports whether connections can be made.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.off
}

// cut ends all connections, and keeps new ones from being made.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}
