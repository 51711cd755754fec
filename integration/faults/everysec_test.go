package faults

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// TestEverySecond kills a Redis that writes its log to disk once a second, again and again
// while tasks are submitted. What it had accepted may be gone only if it did so in the
// last two seconds, as it promises.
func TestEverySecond(t *testing.T) {
	t.Parallel()
	reached := inTable(t, "T5", "Redis killed, append-only file written every second")
	const window = 2 * time.Second
	kills, each := size(3, 20), size(300, 10_000)
	rnd := newRand(t)
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec")
	rdb := srv.Client()
	x, err := producer.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()

	accepted, lost := 0, 0
	var farthest time.Duration
	for range kills {
		var mu sync.Mutex
		when := map[string]time.Time{} // accepted before
		submit := func() error {
			f, err := work.Submit(t.Context(), x, job{}, queue.NoReply())
			if err == nil {
				id := f.ID()
				mu.Lock()
				when[string(id[:])] = time.Now()
				mu.Unlock()
			}
			return err
		}
		some := each/2 + rnd.IntN(each/2)
		enough := make(chan struct{})
		var reach sync.Once
		var work sync.WaitGroup
		for range 16 {
			work.Go(func() {
				for submit() == nil { // until Redis is gone
					mu.Lock()
					n := len(when)
					mu.Unlock()
					if n >= some {
						reach.Do(func() { close(enough) })
					}
				}
			})
		}
		eventually(t, "a share of the submissions", func() bool { return isClosed(enough) })
		srv.Kill()
		struck := time.Now()
		work.Wait()
		srv.Restart()
		kept := keptTasks(t, rdb)
		for id, at := range when {
			accepted++
			if _, there := slices.BinarySearch(kept, id); there {
				continue
			}
			lost++
			farthest = max(farthest, struck.Sub(at))
			if struck.Sub(at) > window {
				t.Errorf("a task is lost that was accepted %v before the kill; Redis promises all but the last %v", struck.Sub(at), window)
			}
		}
	}
	reached("%d tasks accepted, %d kills: lost %d, accepted at most %v before (of %v)", accepted, kills, lost, farthest.Round(time.Millisecond), window)
}
