package store_test

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
)

// A subscription whose other end hangs hears nothing, as if nothing happened.
func TestASubscriptionThatHangsIsMadeAnew(t *testing.T) {
	t.Parallel()
	g := redistest.StartCluster(t, 2, "--cluster-replica-no-failover", "yes", "--cluster-require-full-coverage", "no")
	s, err := store.New(g.Client())
	if err != nil {
		t.Fatal(err)
	}
	sub := s.Replies(t.Context())
	defer func() { _ = sub.Close() }()
	// One log a master, so that the other one can be listened to.
	logs := map[*redistest.Server]string{}
	for part := uint16(0); len(logs) < 2; part++ {
		log := store.ReplyKey("q", part, "addr")
		logs[g.MasterOf(g.Slot(log))] = log
	}
	for _, log := range logs {
		if err := sub.Add(t.Context(), log); err != nil {
			t.Fatal(err)
		}
	}
	heard := make(chan store.Hint, 100)
	go func() {
		for {
			h, err := sub.Receive(t.Context())
			if t.Context().Err() != nil {
				return
			}
			if err == nil {
				heard <- h
			}
			time.Sleep(time.Millisecond)
		}
	}()
	// stands waits until the subscription to both logs stands, and has it checked
	// meanwhile.
	stands := func(check func()) {
		t.Helper()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		limit := time.After(3 * time.Minute) // go-redis chooses the node: the hung one every other time, for seconds
		for n := 0; n < 2; {
			select {
			case h := <-heard:
				if h.Subscribed {
					n++
				}
			case <-tick.C:
				check()
			case <-limit:
				t.Fatal("the subscription does not stand")
			}
		}
	}
	stands(func() {})
	// While the other end answers, nothing is made anew.
	for range 3 {
		if err := sub.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if len(heard) > 0 {
		t.Fatalf("a subscription that is well was made anew: %+v", <-heard)
	}
	var hung *redistest.Server
	for server := range logs {
		if server.Client().PubSubNumSub(t.Context(), logs[server]).Val()[logs[server]] > 0 {
			hung = server
		}
	}
	if hung == nil {
		t.Fatal("nobody has the subscription")
	}
	hung.Freeze()
	defer hung.Thaw()
	stands(func() { _ = sub.Check(t.Context()) }) // until the other one has it
}
