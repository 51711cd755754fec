package store

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// LinkFor is how long a program holds its link without a renewal.
const LinkFor = 15 * time.Second

// cutFor is how long a link is known to be cut, rather than merely not to be there.
const cutFor = time.Hour

// Link is what a program's link is like, to which tasks are bound.
type Link byte

// The links.
const (
	LinkHeld    Link = iota // the program is there
	LinkMissing             // it was not heard of for long, or Redis has forgotten it
	LinkCut                 // it said that it goes
)

// HoldLink makes the link hold for LinkFor from now on.
func (s *Store) HoldLink(ctx context.Context, name string) error {
	return s.explain(s.rdb.Set(ctx, linkKey(name), "on", LinkFor).Err())
}

// CutLink makes it LinkCut.
func (s *Store) CutLink(ctx context.Context, name string) error {
	return s.explain(s.rdb.Set(ctx, linkKey(name), "off", cutFor).Err())
}

// Link returns what the link is like.
func (s *Store) Link(ctx context.Context, name string) (Link, error) {
	v, err := s.rdb.Get(ctx, linkKey(name)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return LinkMissing, nil
	case err != nil:
		return LinkHeld, s.explain(err)
	case v == "off":
		return LinkCut, nil
	}
	return LinkHeld, nil
}
