package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/proctest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// producerConfig is what a producer process has to know.
type producerConfig struct {
	Addr  string // of Redis
	Dir   string // where the history goes
	Proc  string // the producer's name in the histories
	First int    // the N before its first
	Most  int    // how many tasks it submits at a time at most
}

// runProducer is a process that submits batches until it is killed. It waits for
// no outcomes, as it will not be there to hear them.
func runProducer() error {
	var cfg producerConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &cfg); err != nil {
		return fmt.Errorf("%s: %w", configEnv, err)
	}
	rec, err := newRecorder(cfg.Dir, cfg.Proc)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: cfg.Addr})
	c, err := producer.New(rdb)
	if err != nil {
		return err
	}
	n := cfg.First
	for number := 0; ; number++ {
		jobs := make([]job, 1+number*37%cfg.Most)
		for i := range jobs {
			n++
			jobs[i] = job{N: n}
			rec.add(record{Op: opSubmit, N: n, Batch: fmt.Sprintf("%s.%d", cfg.Proc, number)})
		}
		futs, err := work.SubmitAll(context.Background(), c, jobs, queue.NoReply())
		if err != nil {
			return err
		}
		for i, f := range futs {
			rec.add(record{Op: opAccept, N: jobs[i].N, ID: f.ID().String(), NoReply: true})
		}
	}
}

// TestProducersKilled kills producers in the middle of their batches. What they
// submitted together is there as a whole or not at all, and what they were told was
// accepted is there.
func TestProducersKilled(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T18", "producers killed in the middle of a batch")
	kills := size(12, 100)
	b := newBench(t, setup{worker: workerConfig{Concurrency: 10, MaxCrashes: 3}})
	b.fleet.startMany(2)
	rnd := newRand(t)
	for k := range kills {
		b.killProducer(k, 8_000+rnd.Int64N(80_000))
	}
	rep := b.finish(rules{})
	torn := rep.Submitted - rep.Accepted
	if rep.Accepted == 0 || torn == 0 {
		t.Errorf("%d accepted and %d not: no producer was killed in the middle", rep.Accepted, torn)
	}
	reached("%d kills, %d tasks accepted, %d lost; %d that nobody was told of, no batch in part", kills, rep.Accepted, rep.Lost, torn)
}

// killProducer starts a producer process and kills it when it has written down so
// many bytes of history: somewhere in a batch, while it is noted, sent, or answered.
func (b *bench) killProducer(k int, bytes int64) {
	b.t.Helper()
	cfg := producerConfig{Addr: b.fleet.cfg.Addr, Dir: b.dir, Proc: fmt.Sprintf("producer-%d", k+1), First: 1<<40 + k<<20, Most: 500}
	text, err := json.Marshal(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := proctest.Self(b.t, roleEnv+"=producer", configEnv+"="+string(text))
	var said strings.Builder
	cmd.Stderr = &said
	p, err := proctest.Start(cmd)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Kill)
	eventually(b.t, "a producer to submit", func() bool { return size64(historyPath(b.dir, cfg.Proc)) > bytes || p.Gone() })
	if p.Gone() {
		b.t.Fatalf("the producer has ended by itself: %s", said.String())
	}
	p.Kill()
}

// size64 is how long a file is; 0 if it is not there.
func size64(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
