package faults

import (
	"testing"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// TestRedisKilled kills a Redis that writes every command to disk before it
// answers. Submissions that fail are made again under the same key.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T4", "Redis killed, append-only file written always")
	const workers = 3
	tasks, kills := size(4000, 10_000), size(6, 10)
	b := newBench(t, setup{worker: short, redisArgs: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	b.load.chains = true
	b.fleet.startMany(workers)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		b.load.spread(200, upTo(tasks), func() error { return b.load.insist(brief()) })
	}()
	for k := range kills {
		eventually(t, "another share of the work", func() bool { return b.load.heard.Load() >= int64((k+1)*tasks/(kills+1)) })
		before := b.fleet.lapsed()
		b.redis.Kill()
		if k%3 == 2 { // away for so long that a worker gives its lease up
			eventually(t, "a worker to give its lease up", func() bool { return b.fleet.lapsed() > before })
		}
		b.redis.Restart()
	}
	<-submitted
	if !b.load.wait() {
		b.giveUp("waited in vain for futures")
	}
	for _, p := range b.fleet.procs {
		if p.Gone() {
			t.Errorf("worker %s has ended: it must outlive any outage; it said:\n%s", p.name, p.log())
		}
	}
	checkKept(t, b)
	rep := b.finish(rules{Dups: kills * workers * b.fleet.inFlight(), Crashes: short.MaxCrashes})
	reached("%d tasks, %d kills: lost %d, completed twice %d, run again %d", rep.Accepted, kills, rep.Lost, rep.Twice, rep.Dups)
}

// checkKept asks another client for outcomes that are kept: they must be what the
// futures said.
func checkKept(t *testing.T, b *bench) {
	t.Helper()
	c, err := producer.New(b.any)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	checked := 0
	for _, r := range readHistories(t, b.dir) {
		if r.Op != opOutcome || r.N%10 != 0 {
			continue
		}
		id, err := queue.ParseTaskID(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		fut, err := work.Open(t.Context(), c, id)
		if err != nil {
			t.Errorf("I2: open task %s: %v", r.ID, err)
			continue
		}
		if a, err := fut.Get(t.Context()); err != nil || a.Run != r.Run {
			t.Errorf("I2: what is kept of task %s is %+v, %v; its future said\n    %s", r.ID, a, err, r)
		}
		checked++
	}
	t.Logf("%d kept outcomes are what the futures said", checked)
}
