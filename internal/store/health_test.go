package store_test

import (
	"testing"
	"time"
)

// The trial goes the whole way, beside whatever is there, and leaves nothing.
func TestTryLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		n := newTown(b)
		before := b.rdb.DBSize(b.ctx()).Val()
		for range 3 {
			if err := b.s.Try(b.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		wants(t, "keys", b.rdb.DBSize(b.ctx()).Val(), before)
		n.sound("after three trials")
	})
}

func TestNodesTellOfTheServer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, b *bed) {
		nodes, err := b.s.Nodes(b.ctx(), time.Minute)
		if err != nil || len(nodes) != 1 {
			t.Fatalf("%d nodes, %v", len(nodes), err)
		}
		n := nodes[0]
		wants(t, "round trips", len(n.Laps), 300)
		if n.Offset.Abs() > n.Doubt+time.Minute {
			t.Errorf("the clock is said to be %v off, give or take %v", n.Offset, n.Doubt)
		}
		if b.real != nil && (n.Info["redis_version"] == "" || n.Config["maxmemory-policy"] != "noeviction" || n.Addr != b.real.Addr()) {
			t.Errorf("a real server says %+v", n)
		}
		if b.mini != nil && n.Config != nil {
			t.Errorf("miniredis knows no CONFIG, and is said to have %v", n.Config)
		}
	})
}
