package faults

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// TestFullRedis fills a Redis that evicts nothing up to its maxmemory, and drains
// it with workers that come when it is full.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t, setup{worker: steady, redisArgs: []string{"--maxmemory", "32mb", "--maxmemory-policy", "noeviction"}})
	accepted := 0
	var full error
	for full == nil {
		var opts []queue.Option
		if accepted%10 > 0 { // a tenth waits for its outcome
			opts = append(opts, queue.NoReply())
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
	if _, err := b.load.submit(job{}, queue.NoReply()); !errors.Is(err, queue.ErrStoreFull) {
		t.Errorf("a small submission to a full Redis returns %v, want queue.ErrStoreFull", err)
	}

	b.fleet.startMany(2)
	if !within(func() bool {
		n, err := b.rdb.HLen(t.Context(), root+"tasks").Result()
		return err == nil && n == 0 || len(b.fleet.alive()) == 0
	}) || len(b.fleet.alive()) == 0 {
		b.giveUp("a full Redis is not drained")
	}
	for _, p := range b.fleet.procs {
		if log := p.log(); strings.Contains(log, `"warn"`) || strings.Contains(log, `"error"`) {
			t.Errorf("worker %s had trouble with a full Redis:\n%s", p.name, log)
		}
	}
	b.unpad()
	if _, err := b.load.submit(job{Ballast: make([]byte, 1024)}); err != nil {
		t.Errorf("a submission after the drain: %v", err)
	}
	rep := b.finish(rules{})
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
