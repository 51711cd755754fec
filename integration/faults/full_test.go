package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// TestFullRedis fills a Redis that evicts nothing up to its maxmemory, and drains
// it with workers that come when it is full.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	t.Run("list", func(t *testing.T) {
		t.Parallel()
		full(t, "a list queue", steady, "")
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		cfg := steady
		cfg.Queues = []consumer.Queue{{Name: "events", Group: "g"}}
		full(t, "a stream queue", cfg, "events", queue.OnStream("events"), queue.ReplyFrom("g"))
	})
}

func full(t *testing.T, what string, cfg workerConfig, stream string, opts ...queue.Option) {
	reached := inTable(t, "T14", "maxmemory reached, nothing evicted, "+what)
	cfg.Lease = 3 * time.Second // for heartbeats while it is full
	b := newBench(t, setup{worker: cfg, redisArgs: []string{"--maxmemory", fmt.Sprintf("%dmb", size(24, 64)), "--maxmemory-policy", "noeviction"}})
	if stream != "" {
		b.onStream(stream, "g")
		first := b.fleet.start() // makes the group
		first.stop()
		first.endsWell()
	}
	accepted := 0
	var full error
	for full == nil {
		opts := opts
		if accepted%10 > 0 { // a tenth waits for its outcome
			opts = append(slices.Clip(opts), queue.NoReply())
		}
		if _, full = b.load.submit(job{Ballast: make([]byte, 1024+rand.IntN(9*1024))}, opts...); full == nil { //nolint:gosec // a test's choice
			accepted++
		}
	}
	if !errors.Is(full, queue.ErrStoreFull) {
		t.Fatalf("a full Redis refuses a submission with %v, want queue.ErrStoreFull", full)
	}
	for _, part := range []string{"maxmemory", "drain"} {
		if !strings.Contains(full.Error(), part) {
			t.Errorf("the error %q does not say what to do: it lacks %q", full, part)
		}
	}
	b.pad()
	if _, err := b.load.submit(job{}, append(slices.Clip(opts), queue.NoReply())...); !errors.Is(err, queue.ErrStoreFull) {
		t.Errorf("a small submission to a full Redis returns %v, want queue.ErrStoreFull", err)
	}

	b.fleet.startMany(2)
	if !within(func() bool {
		n, err := b.rdb.HLen(t.Context(), b.lines[0]+"tasks").Result()
		return err == nil && n == 0 && (stream == "" || b.readByAll(b.stream)) || len(b.fleet.alive()) == 0
	}) || len(b.fleet.alive()) == 0 {
		b.giveUp("a full Redis is not drained")
	}
	for _, p := range b.fleet.procs {
		// That a full Redis lets nobody wait at the bell is said, and does no harm.
		if log := p.log(); strings.Contains(log, "turn failed") || strings.Contains(log, "heartbeat failed") {
			t.Errorf("worker %s had trouble with a full Redis:\n%s", p.name, log)
		}
	}
	b.unpad()
	j := job{N: int(b.load.last.Add(1)), Ballast: make([]byte, 1024)}
	eventually(t, "a submission after the drain", func() bool { // a stream is shortened by the next heartbeat
		_, err := b.load.resubmit(j, opts...)
		return err == nil
	})
	rep := b.finish(rules{})
	reached("%d tasks filled it, %d refused: lost %d, run again %d, heartbeats and endings refused 0", rep.Accepted, rep.Refused, rep.Lost, rep.Dups)
	if rep.Accepted != accepted+1 || rep.Refused < 2 {
		t.Errorf("the histories say %d accepted and %d refused, want %d and 2", rep.Accepted, rep.Refused, accepted+1)
	}
}

const padding = "padding"

// pad fills the last bytes of a full Redis.
func (b *bench) pad() {
	b.t.Helper()
	for {
		err := b.rdb.RPush(b.t.Context(), padding, strings.Repeat("x", 100)).Err()
		if err == nil {
			continue
		}
		if !strings.HasPrefix(err.Error(), "OOM ") {
			b.t.Fatalf("fill Redis: %v", err)
		}
		return
	}
}

func (b *bench) unpad() {
	b.t.Helper()
	if err := b.rdb.Unlink(b.t.Context(), padding).Err(); err != nil {
		b.t.Error(err)
	}
}
