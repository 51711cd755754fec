// Package embedded is a Redis inside this process: miniredis with its clock
// ticking, so that leases lapse and results expire as they do on a server. What
// it holds is in memory and gone with the process: it is for trying things out
// and for programs that need a queue no longer than they run, not for data that
// matters.
package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Store is a running embedded Redis. Its methods may be called concurrently.
type Store struct {
	mini     *miniredis.Miniredis
	addr     string // "" for one that listens nowhere
	password string // "" for none
	close    sync.Once
}

// Start starts an embedded Redis that listens on a free loopback port, for other
// processes of this machine to connect to. Any user of the machine can: see
// [StartProtected].
func Start() (*Store, error) {
	s := newStore()
	return s, s.listen()
}

// StartProtected is [Start] with a random password, which [Store.URL] carries.
func StartProtected() (*Store, error) {
	s := newStore()
	s.password = rand.Text()
	s.mini.RequireAuth(s.password)
	return s, s.listen()
}

// StartPrivate starts an embedded Redis that listens nowhere: [Store.Client] is
// the only way in, and Addr and URL are empty.
func StartPrivate() (*Store, error) {
	s := newStore()
	conn, err := s.mini.Dial() // the first connection starts it
	if err != nil {
		return nil, fmt.Errorf("start the embedded store: %w", err)
	}
	Tick(s.mini)
	return s, conn.Close()
}

func newStore() *Store { return &Store{mini: miniredis.NewMiniRedis()} }

func (s *Store) listen() error {
	if err := s.mini.Start(); err != nil {
		return fmt.Errorf("start the embedded store on a loopback port: %w", err)
	}
	s.addr = s.mini.Addr()
	Tick(s.mini)
	return nil
}

// Addr is the host and port that the store listens on.
func (s *Store) Addr() string { return s.addr }

// URL is the address in the form that Redis clients take, with the password.
func (s *Store) URL() string {
	if s.addr == "" {
		return ""
	}
	u := url.URL{Scheme: "redis", Host: s.addr}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Client makes a client of the store that goes by no network. The caller closes
// it, before the store.
func (s *Store) Client() *redis.Client { return redis.NewClient(s.Options()) }

// Options are what a client of the store needs that goes by no network. They are the
// caller's to change.
func (s *Store) Options() *redis.Options {
	return &redis.Options{
		Addr:     "127.0.0.1:0", // nothing is there; a name go-redis would look up
		Password: s.password,
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return s.mini.Dial() },
	}
}

// Close stops the store and drops all it holds. It may be called more than once.
func (s *Store) Close() { s.close.Do(s.mini.Close) }
