package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// onDisk is a bed on a master that knows WAITAOF, with a replica that the store waits for.
func onDisk(t *testing.T, master, replica string) (b *bed, there *redistest.Server) {
	t.Helper()
	m := redistest.StartValkey(t, "--appendonly", master, "--appendfsync", "always")
	there = redistest.StartReplica(t, m, "--appendonly", replica, "--appendfsync", "always")
	b = newBed(t, m.Client(), nil, m)
	var err error
	if b.s, err = b.s.Replicated(1); err != nil {
		t.Fatal(err)
	}
	return b, there
}

// calls is how often the server was given the command.
func (b *bed) calls(command string) int {
	b.t.Helper()
	info, err := b.rdb.Info(b.ctx(), "commandstats").Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Count(info, "cmdstat_"+command+":")
}

func TestWhatIsAcceptedIsOnDisk(t *testing.T) {
	t.Parallel()
	b, replica := onDisk(t, "yes", "yes")
	id := b.submit(msg())[0]
	if b.calls("waitaof") == 0 {
		t.Fatal("the master was not asked for disks")
	}
	// Both are lost at the same moment, and so is what they had in memory only.
	replica.Kill()
	b.real.Kill()
	replica.Restart()
	b.real.Restart()
	for name, s := range map[string]*redistest.Server{"master": b.real, "replica": replica} {
		if there, err := s.Client().HExists(b.ctx(), store.Root("q", 0)+"tasks", string(id[:])).Result(); err != nil || !there {
			t.Errorf("the task that was accepted is not on the %s's disk, %v", name, err)
		}
	}
}

func TestAReplicaWithoutADisk(t *testing.T) {
	t.Parallel()
	b, replica := onDisk(t, "yes", "no")
	batch := newBatch(queue.KindList, 1, msg())
	_, err := b.s.Submit(b.ctx(), batch)
	if !errors.Is(err, queue.ErrUnreplicated) || !strings.Contains(err.Error(), "0 of 1 have it on disk") || !strings.Contains(err.Error(), "set appendonly yes") {
		t.Fatalf("a replica that writes nothing: %v, want ErrUnreplicated that says the fix", err)
	}
	// Turns wait for memory only: what a crash of everything takes from them runs again.
	w := b.worker("w", long)
	wantIDs(t, "a claim", w.claim(1), batch.Items[0].Msg.ID)
	if err := replica.Client().ConfigSet(b.ctx(), "appendonly", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	for err != nil { // it writes a new file first
		if _, err = b.s.Submit(b.ctx(), batch); err != nil && !errors.Is(err, queue.ErrUnreplicated) {
			t.Fatal(err)
		}
	}
}

func TestAMasterThatCannotSayWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *bed{
		"no append-only file": func(t *testing.T) *bed {
			b, _ := onDisk(t, "no", "no")
			return b
		},
		"too old": func(t *testing.T) *bed {
			b, _ := replicated(t)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			b.submit(msg())
			before := b.errors()
			b.submit(msg())
			if n := b.errors(); n != before {
				t.Errorf("it is asked again at once: %q, then %q", before, n)
			}
		})
	}
}

// errors is what the server says of the errors that it has replied.
func (b *bed) errors() string {
	b.t.Helper()
	info, err := b.rdb.Info(b.ctx(), "errorstats").Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}
