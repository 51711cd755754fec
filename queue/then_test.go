package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestThenRefusesWhatDoesNotTravel(t *testing.T) {
	next := queue.NewTask[int, int]("next")
	for name, o := range map[string]queue.Option{
		"At": queue.At(time.Now()), "Expire": queue.Expire(time.Hour), "Sharing": queue.Sharing(1),
		"codec": queue.Encoded(queue.JSON), "option": queue.Delay(-1),
	} {
		first := queue.NewTask[int, int]("first", queue.Then(next, o))
		if _, err := first.Submit(t.Context(), newFake(t), 1); !errors.Is(err, queue.ErrOption) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWhatFollowsTravels(t *testing.T) {
	m := &queue.Message{Type: "next", Queue: "other", Stream: true, Key: "k", Delay: 3 * time.Millisecond, Retries: 2}
	got, err := queue.ParseNext(queue.AppendNext(nil, m))
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != m.Type || got.Queue != m.Queue || !got.Stream || got.Key != m.Key || got.Delay != m.Delay || got.Retries != 2 {
		t.Errorf("read %+v", got)
	}
	for _, bad := range [][]byte{nil, {0x90}, {0x96, 0xa1, 'q'}} {
		if _, err := queue.ParseNext(bad); !errors.Is(err, queue.ErrMalformed) {
			t.Errorf("%x: error %v", bad, err)
		}
	}
}
