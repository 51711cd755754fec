package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// replicated is a bed on a master, its replica, and the bed of a store that waits
// for it.
func replicated(t *testing.T) (b *bed, replica *redistest.Server) {
	t.Helper()
	master := redistest.Start(t)
	replica = redistest.StartReplica(t, master)
	b = newBed(t, master.Client(), nil, master)
	var err error
	if b.s, err = b.s.Replicated(1); err != nil {
		t.Fatal(err)
	}
	return b, replica
}

func TestWhatIsAcceptedIsInTheReplica(t *testing.T) {
	t.Parallel()
	b, replica := replicated(t)
	there := newBed(t, replica.Client(), nil, replica)
	for range 50 { // a store that does not wait would be found out by some
		id := b.submit(msg())[0]
		if n := there.rdb.HExists(b.ctx(), store.Root("q", 0)+"tasks", string(id[:])).Val(); !n {
			t.Fatal("a task that was accepted is not in the replica")
		}
	}
	w := b.worker("w", long)
	r := w.take(50)
	if n := there.rdb.HLen(b.ctx(), store.Root("q", 0)+"run:w").Val(); n != 52 {
		t.Errorf("the replica knows of %d entries in flight, want 50 tasks, the sign and the lane", n)
	}
	e := ended(queue.VerdictDone, r.Tasks[0].ID, queue.StateSucceeded)
	e.ReplyTo = "addr"
	w.take(0, e)
	logged, err := b.s.ReadLog(b.ctx(), store.ReplyKey("q", 0, "addr"), "", 10)
	if err != nil || len(logged) != 1 {
		t.Fatalf("%d outcomes in the log, %v; want 1", len(logged), err)
	}
}

func TestTooFewReplicas(t *testing.T) {
	t.Parallel()
	b, replica := replicated(t)
	w := b.worker("w", long)
	first := b.submit(msg())[0]
	replica.Freeze()
	batch := newBatch(queue.KindList, 7, msg())
	_, err := b.s.Submit(b.ctx(), batch)
	if !errors.Is(err, queue.ErrUnreplicated) || !strings.Contains(err.Error(), "0 of 1") || !strings.Contains(err.Error(), "add replicas") {
		t.Fatalf("nobody confirms: %v, want ErrUnreplicated that says the fix", err)
	}
	_, err = w.try(1)
	if !errors.Is(err, queue.ErrUnreplicated) {
		t.Fatalf("a claim that nobody confirms: %v, want ErrUnreplicated", err)
	}
	// What was sent before has been written, but not by this connection, for which
	// WAIT would have nothing to wait for if the scripts wrote nothing now.
	fresh := newBed(t, b.real.Client(), nil, b.real)
	if fresh.s, err = fresh.s.Replicated(1); err != nil {
		t.Fatal(err)
	}
	if _, err = fresh.s.Submit(b.ctx(), batch); !errors.Is(err, queue.ErrUnreplicated) {
		t.Fatalf("the same batch over another connection: %v, want ErrUnreplicated", err)
	}
	fresh = newBed(t, b.real.Client(), nil, b.real)
	if fresh.s, err = fresh.s.Replicated(1); err != nil {
		t.Fatal(err)
	}
	w.turn.Number, w.turn.Want = 1, 1
	if _, err = fresh.s.Take(b.ctx(), &w.turn); !errors.Is(err, queue.ErrUnreplicated) {
		t.Fatalf("the same turn over another connection: %v, want ErrUnreplicated", err)
	}
	replica.Thaw()
	if _, err := b.s.Submit(b.ctx(), batch); err != nil {
		t.Fatalf("the replica is back: %v", err)
	}
	r := w.again(1)
	wantIDs(t, "the claim, told again", idsOf(r), first)
	wantIDs(t, "what was stored once", w.claim(10), batch.Items[0].Msg.ID)
	if n := b.counts().Ready; n != 0 {
		t.Errorf("%d tasks are ready, want none: a batch was stored twice", n)
	}
}

func TestAMasterThatRefusesToWriteAlone(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--min-replicas-to-write", "1")
	b := newBed(t, r.Client(), nil, r)
	_, err := b.s.Submit(b.ctx(), newBatch(queue.KindList, 1, msg()))
	if !errors.Is(err, queue.ErrUnreplicated) || !strings.Contains(err.Error(), "min-replicas-to-write") {
		t.Fatalf("%v, want ErrUnreplicated that says why", err)
	}
}

func TestReplicatedRefuses(t *testing.T) {
	t.Parallel()
	s, err := store.New(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replicated(-1); !errors.Is(err, queue.ErrOption) {
		t.Errorf("-1 replicas: %v, want ErrOption", err)
	}
	ring, err := store.New(redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Replicated(1); !errors.Is(err, queue.ErrOption) || !strings.Contains(err.Error(), "Ring") {
		t.Errorf("a ring: %v, want ErrOption that names it", err)
	}
	if _, err := ring.Replicated(0); err != nil {
		t.Errorf("a ring that waits for nobody: %v", err)
	}
}

// TestForgottenTurns are what a replica forgets that did not get them before it
// became the master.
func TestForgottenTurns(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		ids := b.submit(msg(), msg())
		w := b.worker("w", long)
		w.claim(2)
		run := store.Root("q", 0) + "run:w"
		was := b.rdb.HGetAll(b.ctx(), run).Val()
		w.take(0, done(ids[0]))
		// The replica knows of the claim and not of the ending.
		if err := b.rdb.HSet(b.ctx(), run, was).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.s.Beat(b.ctx(), line, "w", long, 0, w.turn.Number); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("a heartbeat: %v, want ErrLapsed", err)
		}
		if _, err := b.s.Beat(b.ctx(), line, "w", long, 0, w.turn.Number-1); err != nil {
			t.Errorf("a heartbeat that knows of no later turn: %v", err)
		}
		w.turn.Number++
		if _, err := w.try(1); !errors.Is(err, store.ErrLapsed) {
			t.Errorf("the next turn: %v, want ErrLapsed", err)
		}
	})
}
