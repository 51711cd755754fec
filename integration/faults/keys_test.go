package faults

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// root is what the keys of the tests' queue begin with.
var root = store.Root(queue.DefaultQueue, 0)

// onStream makes the bench look at the line of a group of a stream queue.
func (b *bench) onStream(name, group string) {
	r := store.Root(name, 0)
	b.stream, b.lines = r+"stream", []string{r + "@" + group + "/"}
}

// nodes calls f for each server that has keys, one after the other.
func (b *bench) nodes(f func(node *redis.Client)) {
	b.t.Helper()
	if b.rdb != nil {
		f(b.rdb)
		return
	}
	var mu sync.Mutex
	err := b.any.(*redis.ClusterClient).ForEachMaster(b.t.Context(), func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		f(node)
		return nil
	})
	if err != nil {
		b.t.Errorf("I8: look at the nodes: %v", err)
	}
}

// survey writes down the keys that Redis has when all workers and producers have
// gone, except those that the queue is known to have for ever or the test leaves.
func (b *bench) survey() {
	b.t.Helper()
	b.nodes(b.surveyOf)
}

func (b *bench) surveyOf(node *redis.Client) {
	b.t.Helper()
	ctx := b.t.Context()
	keys := node.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		_, name, _ := strings.Cut(key, "}:")
		if constant(key) || slices.Contains(b.leaves, name) || name == "bell" && b.onlyTokens(key) || name == "stream" && b.readByAll(key) {
			continue
		}
		ttl, err := b.any.PTTL(ctx, key).Result()
		if err != nil {
			b.t.Errorf("I8: key %q: %v", key, err)
			continue
		}
		if ttl == -2 { // it has expired meanwhile
			continue
		}
		k := &kept{Name: key, Left: ttl, Kind: b.any.Type(ctx, key).Val()}
		if ttl < 0 {
			k.Content = b.content(key)
		}
		b.notes.add(record{Op: opKey, Key: k})
	}
	if err := keys.Err(); err != nil {
		b.t.Errorf("I8: list the keys: %v", err)
	}
}

// readByAll reports whether every group has read all of a stream.
func (b *bench) readByAll(key string) bool {
	groups, err := b.any.XInfoGroups(b.t.Context(), key).Result()
	for _, g := range groups {
		if g.Lag != 0 {
			return false
		}
	}
	return err == nil && len(groups) > 0
}

// connections writes down the connections to Redis that are left although all
// workers and producers have gone.
func (b *bench) connections() {
	b.t.Helper()
	var left []string
	within(func() bool {
		left = left[:0]
		failed := false
		b.nodes(func(node *redis.Client) {
			list, err := node.ClientList(b.t.Context()).Result()
			failed = failed || err != nil
			for line := range strings.Lines(list) {
				if b.theirs(line) {
					left = append(left, strings.TrimSpace(line))
				}
			}
		})
		return !failed && len(left) == 0
	})
	for _, line := range left {
		b.notes.add(record{Op: opConn, Error: line})
	}
}

// theirs reports whether a connection is a worker's or a producer's. Several servers have
// more of them than the bench's: their own, and those of who moves slots.
func (b *bench) theirs(line string) bool {
	if b.redis == nil {
		return strings.Contains(line, " name="+partyName+" ")
	}
	return !strings.Contains(line, " name="+benchName+" ")
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
