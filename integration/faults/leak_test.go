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

// TestNothingGrows has a worker and a producer, here, do some work and end, and then others
// ten times as much. All is as it was between the two: what Redis keeps without an
// end, its memory and its connections, and what this process has.
func TestNothingGrows(t *testing.T) {
	reached := inTable(t, "T29", "none, for long: what is left behind")
	tasks := size(50_000, 1_000_000)
	// Of each command that it is given for the first time it keeps 30 KiB of statistics.
	srv := redistest.Start(t, "--latency-tracking", "no")
	rdb := srv.Client()
	session(t, srv, tasks/10)
	before := census(t, rdb)
	session(t, srv, tasks)
	var after count // connections are closed a moment later
	if !within(func() bool { after = census(t, rdb); return after.like(before) }) {
		t.Errorf("after %d tasks there is %+v, after a tenth of them there was %+v", tasks, after, before)
	}
	reached("%d tasks: %d keys, then %d; Redis %d KiB, then %d; heap %d KiB, then %d; goroutines %d, then %d; files %d, then %d; connections %d, then %d", tasks,
		len(before.keys), len(after.keys), before.redis>>10, after.redis>>10, before.heap>>10, after.heap>>10,
		before.goroutines, after.goroutines, before.files, after.files, before.connections, after.connections)
}

// session is a worker and a producer from their beginning to their end.
func session(t *testing.T, srv *redistest.Server, tasks int) {
	t.Helper()
	client := redis.NewClient(srv.Options())
	defer func() { _ = client.Close() }()
	c, err := producer.New(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var runs atomic.Int64
	w, err := consumer.New(client, consumer.Config{Concurrency: 10}, slowly.Handler(func(_ context.Context, n int) (int, error) {
		runs.Add(1)
		return n, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	const at = 1000
	for range tasks / at {
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
	if n := int(runs.Load()); n != tasks {
		t.Errorf("%d runs of %d tasks", n, tasks)
	}
}

// count is how much there is of everything that could grow.
type count struct {
	keys                           []string // those that do not expire
	redis, heap                    int      // bytes
	goroutines, files, connections int
}

// like reports whether there is no more than before, give or take what a moment
// makes out. An empty Redis has less than a MiB, of which 5 % may be one buffer more; 128 KiB
// are 3 bytes a task in the short form, and one id of each would be 16.
func (c count) like(before count) bool {
	return slices.Equal(c.keys, before.keys) && c.goroutines <= before.goroutines && c.files <= before.files && c.connections <= before.connections &&
		c.redis <= max(before.redis*105/100, before.redis+(128<<10)) && c.heap <= before.heap*105/100+1<<20
}

func census(t *testing.T, rdb *redis.Client) (c count) {
	t.Helper()
	ctx := t.Context()
	keys := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		if ttl := rdb.PTTL(ctx, keys.Val()).Val(); ttl == -1 { // what expires may do so
			c.keys = append(c.keys, keys.Val())
		}
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
	// What Redis holds for its connections comes and goes with what they have just said, and
	// which scripts it has been given depends on what was needed.
	c.redis = number("used_memory") - number("mem_clients_normal") - number("used_memory_scripts_eval")
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
