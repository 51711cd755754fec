package queue_test

import (
	"slices"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// The words are the same in Redis, in metrics and on every screen: they are for
// ever.
var states = map[queue.State]string{
	queue.StateUnknown: "unknown", queue.StateScheduled: "scheduled", queue.StateReady: "ready", queue.StateRunning: "running",
	queue.StateRetry: "retry", queue.StateSucceeded: "succeeded", queue.StateDead: "dead", queue.StateCancelled: "cancelled",
	queue.StateExpired: "expired",
}

func TestStateNames(t *testing.T) {
	for s := range queue.State(255) {
		want, ok := states[s]
		if !ok {
			want = "unknown"
		}
		if s.String() != want {
			t.Errorf("state %d is %q, want %q", s, s, want)
		}
	}
}

func TestTerminalStates(t *testing.T) {
	terminal := []queue.State{queue.StateSucceeded, queue.StateDead, queue.StateCancelled, queue.StateExpired}
	for s := range queue.State(255) {
		if s.Terminal() != slices.Contains(terminal, s) {
			t.Errorf("%v (%d): terminal is %v", s, s, s.Terminal())
		}
	}
}

func TestMoves(t *testing.T) {
	moves := map[queue.State][]queue.State{
		queue.StateUnknown:   {queue.StateScheduled, queue.StateReady},
		queue.StateScheduled: {queue.StateReady, queue.StateRunning, queue.StateCancelled},
		queue.StateReady:     {queue.StateRunning, queue.StateCancelled, queue.StateExpired},
		queue.StateRunning: {
			queue.StateSucceeded, queue.StateRetry, queue.StateDead, queue.StateCancelled, queue.StateExpired,
			queue.StateReady, queue.StateScheduled,
		},
		queue.StateRetry: {queue.StateReady, queue.StateRunning, queue.StateCancelled, queue.StateDead},
	}
	for from := range queue.State(20) {
		for to := range queue.State(20) {
			if got, want := from.CanMove(to), slices.Contains(moves[from], to); got != want {
				t.Errorf("%v -> %v: %v, want %v", from, to, got, want)
			}
			if from.Terminal() && from.CanMove(to) {
				t.Errorf("%v is terminal and moves to %v: a task ends once", from, to)
			}
		}
	}
}

func TestEveryStateCanBeReachedAndLeft(t *testing.T) {
	reached := map[queue.State]bool{queue.StateUnknown: true}
	for range states {
		for from := range states {
			for to := range states {
				if reached[from] && from.CanMove(to) {
					reached[to] = true
				}
			}
		}
	}
	for s := range states {
		if !reached[s] {
			t.Errorf("nothing leads to %v", s)
		}
		leaves := false
		for to := range states {
			leaves = leaves || s.CanMove(to)
		}
		if leaves == s.Terminal() {
			t.Errorf("%v: moves on is %v, terminal is %v", s, leaves, s.Terminal())
		}
	}
}
