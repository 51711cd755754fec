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
// return nil only when n replicas have what they wrote or read, and Submit only when it
// is on disk besides, if the master knows WAITAOF and keeps an append-only file. After
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
	r.replicas, r.disks = n, &disks{}
	return &r, nil
}

// Waits reports whether the store is Replicated.
func (s *Store) Waits() bool { return s.replicas > 0 }

// confirmed has do send commands, which concern key, and returns what its result
// says. If the store is Replicated they travel together with a WAIT, over one
// connection and in one round trip: WAIT is about what its own connection wrote
// before. With durable set, WAITAOF follows where it means something: see disks.
func (s *Store) confirmed(ctx context.Context, key string, durable bool, do func(redis.Cmdable) (result func() error)) error {
	if s.replicas == 0 {
		return s.explain(do(s.rdb)())
	}
	master, err := s.master(ctx, key)
	if err != nil {
		return s.explain(err)
	}
	o := master.Options()
	durable = durable && s.disks.asked(o.Addr)
	patience, patienceAOF := waitFor, syncFor
	if t := o.ReadTimeout; t > 0 && durable {
		patience, patienceAOF = min(patience, t/4), min(patienceAOF, t/2) // both pass within one read
	} else if t > 0 {
		patience = min(patience, t/2)
	}
	pipe := master.Pipeline()
	result := do(pipe)
	wait := pipe.Do(ctx, "WAIT", s.replicas, max(patience.Milliseconds(), 1))
	var sync *redis.Cmd
	if durable {
		sync = pipe.Do(ctx, "WAITAOF", 1, s.replicas, max(patienceAOF.Milliseconds(), 1))
	}
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
	if sync == nil {
		return nil
	}
	return s.synced(o.Addr, sync, patienceAOF)
}

// master is a client of the node that the key is on.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster != nil {
		return s.cluster.MasterForKey(ctx, key)
	}
	return s.rdb.(*redis.Client), nil
}

// runConfirmed is run for a script that always writes.
func (s *Store) runConfirmed(ctx context.Context, sc *script, durable bool, args []any) ([]string, error) {
	if s.replicas == 0 {
		return s.run(ctx, sc, args)
	}
	args = s.whole(args)
	var reply []string
	once := func() error {
		return s.confirmed(ctx, args[3].(string), durable, func(p redis.Cmdable) func() error {
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
