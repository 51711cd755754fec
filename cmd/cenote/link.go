package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/internal/store"
)

// link is the Redis that a verb works on.
type link struct {
	rdb   redis.UniversalClient
	store *store.Store
	inner *embedded.Store // nil with a real Redis
	raw   string          // the address with its password; "" if no other process can use it
	said  string          // what a person may read of it
	tls   tlsFlags
}

// address returns the Redis address and where it comes from; both are empty if
// there is none.
func (p *program) address() (raw, from string) {
	if p.addressFlag != "" {
		return p.addressFlag, "--redis"
	}
	for _, name := range []string{"CENOTE_REDIS_URL", "REDIS_URL"} {
		if v := os.Getenv(name); v != "" {
			return v, name
		}
	}
	return "", ""
}

// connect connects to the Redis that the user named, and fails if there is none
// or it does not answer.
func (p *program) connect(ctx context.Context) (*link, error) {
	raw, from := p.address()
	if raw == "" {
		return nil, errNoAddress
	}
	a, err := parseAddress(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if err := p.tls.apply(&a); err != nil {
		return nil, err
	}
	if host := a.exposed(); host != "" {
		fmt.Fprintf(os.Stderr, "cenote: warning: what goes to %s, passwords included, can be read on the way; use rediss:// if that host has it\n", host)
	}
	l := &link{rdb: a.dial(), raw: raw, said: redact(raw), tls: p.tls}
	if from != "--redis" {
		l.said += " from " + from
	}
	if err = greet(ctx, a); err == nil {
		if l.store, err = store.New(l.rdb); err == nil {
			err = explainTLS(a, l.store.Ping(ctx))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", redact(raw), err), l.close())
	}
	return l, nil
}

var errNoAddress = errors.New("no Redis address: pass --redis or set CENOTE_REDIS_URL")

// connectOr connects like connect, and without an address starts an embedded
// store with start.
func (p *program) connectOr(ctx context.Context, start func() (*embedded.Store, error)) (*link, error) {
	l, err := p.connect(ctx)
	if !errors.Is(err, errNoAddress) {
		return l, err
	}
	inner, err := start()
	if err != nil {
		return nil, err
	}
	l = &link{rdb: inner.Client(), inner: inner, raw: inner.URL(), said: "embedded, in the memory of this process"}
	l.store, err = store.New(l.rdb)
	return l, err
}

// environ are the variables by which another process of this program finds the Redis.
func (l *link) environ() []string { return append(l.tls.environ(), "CENOTE_REDIS_URL="+l.raw) }

// close ends the connections, and the store if it is embedded.
func (l *link) close() error {
	err := l.rdb.Close()
	if l.inner != nil {
		l.inner.Close()
	}
	return err
}
