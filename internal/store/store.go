// Package store keeps tasks in Redis. It is the only room that speaks Redis:
// every key, every script and every error reply is known here and nowhere else.
// It holds no business logic; what becomes of a task is decided by its callers
// and carried out here, each verb in one script.
package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// Store is a handle on Redis. It has no state of its own and may be used
// concurrently; who made the client closes it.
type Store struct {
	rdb      redis.UniversalClient
	cluster  *redis.ClusterClient // rdb, if it is one
	replicas int                  // see Replicated
	disks    *disks               // if there are replicas to wait for
	seal     *seal.Seal
}

// New makes a store over rdb.
func New(rdb redis.UniversalClient) (*Store, error) {
	if rdb == nil {
		return nil, fmt.Errorf("%w: the Redis client is nil; make one with redis.NewClient", queue.ErrOption)
	}
	cluster, _ := rdb.(*redis.ClusterClient)
	return &Store{rdb: rdb, cluster: cluster}, nil
}

// Sealing has what the store itself makes of sealed tasks sealed: what handlers say, and
// the outcomes of those that are cancelled. It is called before anything else.
func (s *Store) Sealing(with *seal.Seal) { s.seal = with }

// Declare stores how the queue is laid out, or learns it, and returns what is
// stored. It refuses to change the kind or to take partitions away.
func (s *Store) Declare(ctx context.Context, name string, want queue.Layout) (queue.Layout, error) {
	if err := queue.CheckName("queue", name); err != nil {
		return queue.Layout{}, err
	}
	if want.Partitions < 0 || want.Partitions > queue.MaxPartitions {
		return queue.Layout{}, fmt.Errorf("%w: %d partitions; give 1 to %d", queue.ErrOption, want.Partitions, queue.MaxPartitions)
	}
	keep := int64(-1)
	if want.Retention >= 0 {
		keep = want.Retention.Milliseconds()
	}
	r, err := s.run(ctx, declareScript, append(declareScript.args(Root(name, 0)), string(want.Kind), want.Partitions, keep))
	if err != nil {
		return queue.Layout{}, err
	}
	got, err := parseLayout(r)
	if err != nil {
		return queue.Layout{}, err
	}
	if got.Kind != want.Kind {
		return got, fmt.Errorf("%w: %q is a %s queue, not a %s queue; use another name", queue.ErrQueueKind, name, got.Kind, want.Kind)
	}
	if want.Partitions > 0 && got.Partitions != want.Partitions {
		return got, fmt.Errorf("%w: %q has %d partitions, and partitions cannot be taken away", queue.ErrOption, name, got.Partitions)
	}
	// The list of names is for people; a queue works without being on it, and a
	// worker that comes to drain a full Redis must not be stopped by it.
	if err := s.explain(s.rdb.SAdd(ctx, queuesKey, name).Err()); err != nil && !errors.Is(err, queue.ErrStoreFull) {
		return got, err
	}
	return got, nil
}

func parseLayout(r []string) (queue.Layout, error) {
	if len(r) != 3 {
		return queue.Layout{}, badReply("declare", r)
	}
	parts, err1 := strconv.Atoi(r[1])
	ms, err2 := strconv.ParseInt(r[2], 10, 64)
	if err1 != nil || err2 != nil || parts < 1 || parts > queue.MaxPartitions {
		return queue.Layout{}, badReply("declare", r)
	}
	return queue.Layout{Kind: queue.Kind(r[0]), Partitions: parts, Retention: time.Duration(ms) * time.Millisecond}, nil
}

// Join makes sure that the line's group exists, and reports whether it did not. It
// does nothing for a list.
func (s *Store) Join(ctx context.Context, l Line) (made bool, err error) {
	if l.Group == "" {
		return false, nil
	}
	n, err := s.runInt(ctx, joinScript, append(joinScript.args(l.root), l.Group))
	return n == 1, err
}

// Queues returns the names of all queues that were ever declared.
func (s *Store) Queues(ctx context.Context) ([]string, error) {
	names, err := s.rdb.SMembers(ctx, queuesKey).Result()
	return names, s.explain(err)
}

// Lookup returns how the queue is laid out, or false if nobody declared it.
func (s *Store) Lookup(ctx context.Context, name string) (queue.Layout, bool, error) {
	m, err := s.rdb.HGetAll(ctx, Root(name, 0)+"conf").Result()
	if err != nil || len(m) == 0 {
		return queue.Layout{}, false, s.explain(err)
	}
	parts, _ := strconv.Atoi(m["partitions"])
	ms, _ := strconv.ParseInt(m["retention"], 10, 64)
	return queue.Layout{Kind: queue.Kind(m["kind"]), Partitions: max(parts, 1), Retention: time.Duration(ms) * time.Millisecond}, true, nil
}

// Groups returns the consumer groups of a stream queue.
func (s *Store) Groups(ctx context.Context, name string) ([]string, error) {
	names, err := s.rdb.SMembers(ctx, Root(name, 0)+"groups").Result()
	return names, s.explain(err)
}

// Trim drops what no group needs any more from a stream partition.
func (s *Store) Trim(ctx context.Context, l Line, retention time.Duration) (int64, error) {
	return s.runInt(ctx, trimScript, append(trimScript.args(l.root), retention.Milliseconds()))
}

// CheckEviction returns [queue.ErrEvicts] if the server would throw tasks away to
// make room. A server that does not say is trusted: managed ones deny CONFIG.
func (s *Store) CheckEviction(ctx context.Context) error {
	policy := s.config(ctx, "maxmemory-policy")
	if policy == "" || policy == "noeviction" || s.config(ctx, "maxmemory") == "0" {
		return nil
	}
	return fmt.Errorf("%w: maxmemory-policy is %s; set it to noeviction", queue.ErrEvicts, policy)
}

func (s *Store) config(ctx context.Context, name string) string {
	m, err := s.rdb.ConfigGet(ctx, name).Result()
	if err != nil {
		return ""
	}
	return m[name]
}

// Ping returns nil if the server answers and lets this client in.
func (s *Store) Ping(ctx context.Context) error { return s.explain(s.rdb.Ping(ctx).Err()) }

func badReply(verb string, r []string) error {
	return fmt.Errorf("store: %s: a reply of %d elements makes no sense; is another program using the key prefix %q?", verb, len(r), prefix)
}
