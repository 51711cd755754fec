package faults

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
)

// TestNothingGrows has one worker and one producer, here, do much work and finish it. All
// is as it was after a tenth of it: the keys and the memory of Redis, and what the two
// have. When they have ended nothing of them is left.
func TestNothingGrows(t *testing.T) {
	reached := inTable(t, "T29", "none, for long: what is left behind")
	tasks := size(50_000, 1_000_000)
	srv := redistest.Start(t)
	rdb := srv.Client()
	nobody := census(t, rdb)

	client := srv.Client()
	c, err := producer.New(client)
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	w, err := consumer.New(client, consumer.Config{Concurrency: 10}, slowly.Handler(func(_ context.Context, n int) (int, error) {
		runs.Add(1)
		return n, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	rounds := func(n int) {
		const at = 1000
		for range n / at {
			futs, err := slowly.SubmitAll(t.Context(), c, make([]int, at))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range futs {
				if _, err := f.Get(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	rounds(tasks / 10)
	before := census(t, rdb)
	rounds(tasks)
	// Logs are cut a moment later.
	var after count
	if !within(func() bool { after = census(t, rdb); return after.like(before) }) {
		t.Errorf("after %d tasks there is %+v, after a tenth of them %+v", tasks, after, before)
	}
	if n := int(runs.Load()); n != tasks+tasks/10 {
		t.Errorf("%d runs of %d tasks", n, tasks+tasks/10)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_ = client.Close()
	var left count
	if !within(func() bool {
		left = census(t, rdb)
		return left.goroutines <= nobody.goroutines && left.files <= nobody.files && left.connections <= nobody.connections
	}) {
		t.Errorf("when all have ended there is %+v, before they began %+v", left, nobody)
	}
	reached("%d tasks: %d keys, then %d; Redis %d KiB, then %d; heap %d KiB, then %d; goroutines %d, then %d, at last %d of %d; files %d of %d", tasks,
		len(before.keys), len(after.keys), before.redis>>10, after.redis>>10, before.heap>>10, after.heap>>10, before.goroutines, after.goroutines,
		left.goroutines, nobody.goroutines, left.files, nobody.files)
}

// count is how much there is of everything that could grow.
type count struct {
	keys                           []string
	redis, heap                    int // bytes
	goroutines, files, connections int
}

// like reports whether there is no more than before, give or take what a moment makes
// out. How many connections a client keeps follows the load: that none is left is seen
// at the end.
func (c count) like(before count) bool {
	return slices.Equal(c.keys, before.keys) && c.goroutines <= before.goroutines &&
		c.redis <= before.redis*105/100 && c.heap <= before.heap*105/100+1<<20
}

func census(t *testing.T, rdb *redis.Client) (c count) {
	t.Helper()
	ctx := t.Context()
	keys := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		c.keys = append(c.keys, keys.Val())
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(c.keys)
	info, err := rdb.Info(ctx, "memory", "clients").Result()
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) int {
		_, rest, _ := strings.Cut(info, "\n"+name+":")
		text, _, _ := strings.Cut(rest, "\r")
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("INFO says that %s is %q", name, text)
		}
		return n
	}
	// What Redis holds for its connections comes and goes with what they have just said.
	c.redis = number("used_memory") - number("mem_clients_normal")
	c.connections = number("connected_clients")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.heap = int(m.HeapAlloc) //nolint:gosec // far from that
	c.goroutines = runtime.NumGoroutine()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	c.files = len(files)
	return c
}
