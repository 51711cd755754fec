package faults

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// TestWhatRedisKeeps kills a Redis that has accepted tasks and starts it again, with
// what it can be told about keeping them. Everybody uses it as before afterwards.
func TestWhatRedisKeeps(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		snap bool // what came before the last snapshot is kept
		all  bool
	}{
		{name: "none"},
		{name: "rdb", args: []string{"--save", "3600 1000000"}, snap: true},
		{name: "everysec", args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}, all: true},
		{name: "always", args: []string{"--appendonly", "yes", "--appendfsync", "always"}, all: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const before, after = 300, 200
			srv := redistest.Start(t, c.args...)
			rdb := srv.Client()
			x, err := producer.New(rdb)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = x.Close() }()
			submit := func(n int) (ids []string) {
				futs, err := work.SubmitAll(t.Context(), x, make([]job, n), queue.NoReply())
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range futs {
					id := f.ID()
					ids = append(ids, string(id[:]))
				}
				return ids
			}
			want := submit(before)
			if c.snap {
				if err := rdb.Save(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			late := submit(after)
			switch {
			case c.all:
				want = append(want, late...)
			case !c.snap:
				want = nil
			}
			// While the disk is busy with what came before, the log waits for it in the
			// process, for two seconds at most, unless it is written always.
			eventually(t, "the log to be written", func() bool {
				info, err := rdb.Info(t.Context(), "persistence").Result()
				return err == nil && (!c.all || strings.Contains(info, "aof_buffer_length:0\r"))
			})
			srv.Kill() // the process: what it has written is with the kernel
			srv.Restart()
			got := keptTasks(t, rdb)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%d of %d tasks are kept, want %d", len(got), before+after, len(want))
			}
			if ids := submit(1); !slices.Contains(keptTasks(t, rdb), ids[0]) {
				t.Error("a task that was accepted afterwards is not there")
			}
			t.Logf("%d accepted, 1 kill, lost %d", before+after, before+after-len(got))
		})
	}
}

// keptTasks are the ids of the tasks that Redis has, in order, once it answers.
func keptTasks(t *testing.T, rdb *redis.Client) (ids []string) {
	t.Helper()
	eventually(t, "Redis to be back", func() bool {
		var err error
		ids, err = rdb.HKeys(t.Context(), root+"tasks").Result()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		return err == nil
	})
	slices.Sort(ids)
	return ids
}
