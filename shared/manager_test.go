package shared

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestWhoWaitsHearsOfAChange(t *testing.T) {
	rdb := redistest.Start(t).Client()
	m, err := New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	channel := store.SharedRoot("thing", "x")
	looked := make(chan int, 100)
	done := make(chan error, 1)
	go func() {
		n := 0
		done <- m.await(t.Context(), channel, func() (bool, time.Duration, error) {
			n++
			looked <- n
			return rdb.Exists(t.Context(), "there").Val() == 1, 0, nil
		})
	}()
	<-looked // before it listens
	<-looked // since it listens
	rdb.Set(t.Context(), "there", "1", 0)
	rdb.Publish(t.Context(), channel, "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsEveryWait(t *testing.T) {
	m, err := New(redistest.Start(t).Client())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- m.await(t.Context(), store.SharedRoot("thing", "x"), func() (bool, time.Duration, error) { return false, 0, nil })
	}()
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, queue.ErrClosed) {
		t.Fatal(err)
	}
}
