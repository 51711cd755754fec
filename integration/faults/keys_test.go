package faults

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// root is what the keys of the tests' queue begin with.
var root = store.Root(queue.DefaultQueue, 0)

// anyRoot finds what the keys of any of its partitions begin with.
var anyRoot = regexp.MustCompile(`^cenote:\{` + queue.DefaultQueue + `(/\d+)?\}:`)

// checkKeys looks at what is left in Redis when all workers and producers have
// gone: how the queue is laid out, and what expires by itself.
func (b *bench) checkKeys() {
	b.t.Helper()
	if b.rdb != nil {
		b.checkKeysOf(b.rdb)
		return
	}
	var mu sync.Mutex
	err := b.any.(*redis.ClusterClient).ForEachMaster(b.t.Context(), func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		b.checkKeysOf(node)
		return nil
	})
	if err != nil {
		b.t.Errorf("I8: list the keys: %v", err)
	}
}

func (b *bench) checkKeysOf(node *redis.Client) {
	b.t.Helper()
	ctx := b.t.Context()
	left := 0
	keys := node.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		at := anyRoot.FindStringIndex(key)
		if key == "cenote:queues" {
			continue
		}
		if at == nil {
			b.t.Errorf("I8: key %q is nobody's", key)
			continue
		}
		name := key[at[1]:]
		if name == "conf" {
			continue
		}
		ttl, err := b.any.PTTL(ctx, key).Result()
		if err != nil {
			b.t.Errorf("I8: key %q: %v", key, err)
			continue
		}
		if ttl == -2 || ttl > 0 { // it has expired meanwhile, or will
			continue
		}
		if name == "bell" && b.onlyTokens(key) {
			continue
		}
		if left++; left <= mostProblems {
			b.t.Errorf("I8: key %q (%s) is left over and never expires: %s", key, b.any.Type(ctx, key).Val(), b.content(key))
		}
	}
	if err := keys.Err(); err != nil {
		b.t.Errorf("I8: list the keys: %v", err)
	}
}

// onlyTokens reports whether nothing is on the bell but wake-up calls, which
// cost the next worker one look: no more than there were workers.
func (b *bench) onlyTokens(key string) bool {
	b.t.Helper()
	on, err := b.any.LRange(b.t.Context(), key, 0, -1).Result()
	if err != nil || len(on) > len(b.fleet.procs) {
		return false
	}
	for _, e := range on {
		if e != "" {
			return false
		}
	}
	return true
}

// content is the beginning of what a key holds, with ids in their text form.
func (b *bench) content(key string) string {
	ctx := b.t.Context()
	var items []string
	switch b.any.Type(ctx, key).Val() {
	case "hash":
		items = b.any.HKeys(ctx, key).Val()
	case "list":
		items = b.any.LRange(ctx, key, 0, 9).Val()
	case "zset":
		items = b.any.ZRange(ctx, key, 0, 9).Val()
	case "set":
		items = b.any.SMembers(ctx, key).Val()
	case "string":
		items = []string{b.any.Get(ctx, key).Val()}
	}
	for i, s := range items {
		if len(s) > len(queue.TaskID{}) { // from the bell: a sign, the id, the message
			s = s[1 : 1+len(queue.TaskID{})]
		}
		if len(s) == len(queue.TaskID{}) {
			items[i] = queue.TaskID([]byte(s)).String()
		}
	}
	return strings.Join(items[:min(len(items), 10)], " ")
}
