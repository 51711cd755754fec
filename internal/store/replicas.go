package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// waitFor is how long the server waits for its replicas at a time.
const waitFor = 500 * time.Millisecond

// Replicated returns a store over the same Redis whose Submit, Take and ReadLog
// return nil only when n replicas have what they wrote or read. After
// [queue.ErrUnreplicated] it is in the master, and in fewer replicas: call again, with
// the same number, to wait on, or to store it at the master that was elected
// meanwhile.
func (s *Store) Replicated(n int) (*Store, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: %d replicas; give the number that must have what was accepted, or 0", queue.ErrOption, n)
	}
	switch s.rdb.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		if n > 0 {
			return nil, fmt.Errorf("%w: replicas can be waited for over a *redis.Client (also of Sentinel) or a *redis.ClusterClient, not over a %T", queue.ErrOption, s.rdb)
		}
	}
	r := *s
	r.replicas = n
	return &r, nil
}

// Waits reports whether the store is Replicated.
func (s *Store) Waits() bool { return s.replicas > 0 }

// confirmed has do send commands, which concern key, and returns what its result
// says. If the store is Replicated they travel together with a WAIT, over one
// connection and in one round trip: WAIT is about what its own connection wrote
// before.
func (s *Store) confirmed(ctx context.Context, key string, do func(redis.Cmdable) (result func() error)) error {
	if s.replicas == 0 {
		return s.explain(do(s.rdb)())
	}
	master, err := s.master(ctx, key)
	if err != nil {
		return s.explain(err)
	}
	patience := waitFor
	if t := master.Options().ReadTimeout; t > 0 {
		patience = min(patience, t/2)
	}
	pipe := master.Pipeline()
	result := do(pipe)
	wait := pipe.Do(ctx, "WAIT", s.replicas, max(patience.Milliseconds(), 1))
	_, _ = pipe.Exec(ctx)
	if err := result(); err != nil {
		return s.explain(err)
	}
	have, err := wait.Int()
	if err != nil {
		return s.explain(err)
	}
	if have < s.replicas {
		return fmt.Errorf("%w: %d of %d confirmed it within %v; see INFO replication of the master: mend or add replicas, or wait for fewer",
			queue.ErrUnreplicated, have, s.replicas, patience)
	}
	return nil
}

// master is a client of the node that the key is on.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster != nil {
		return s.cluster.MasterForKey(ctx, key)
	}
	return s.rdb.(*redis.Client), nil
}

// runConfirmed is run for a script that always writes.
func (s *Store) runConfirmed(ctx context.Context, sc *script, args []any) ([]string, error) {
	if s.replicas == 0 {
		return s.run(ctx, sc, args)
	}
	args = s.whole(args)
	var reply []string
	once := func() error {
		return s.confirmed(ctx, args[3].(string), func(p redis.Cmdable) func() error {
			cmd := redis.NewStringSliceCmd(ctx, args...)
			_ = p.(redis.Pipeliner).Process(ctx, cmd) // it only lines up
			return func() error {
				reply = cmd.Val()
				return cmd.Err()
			}
		})
	}
	err := once()
	if isNoScript(err) {
		args[0], args[1] = "EVAL", sc.src
		err = once()
	}
	return reply, err
}
