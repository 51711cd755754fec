package queue

import "slices"

// State is where a task is in its life. The words are the same in Go, in Redis,
// in metrics, on the command line and on every screen.
type State uint8

// The states of a task.
const (
	StateUnknown   State = iota // not in the store: never submitted, or finished and not kept
	StateScheduled              // waits for its time
	StateReady                  // waits for a worker
	StateRunning                // a worker holds its lease
	StateRetry                  // failed, waits for its next attempt
	StateSucceeded              // finished with a value
	StateDead                   // gave up; kept for a look and a replay
	StateCancelled              // called off
	StateExpired                // did not start in time
)

var stateNames = [...]string{"unknown", "scheduled", "ready", "running", "retry", "succeeded", "dead", "cancelled", "expired"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Terminal reports whether a task in this state is finished for good. A
// terminal state is reached once.
func (s State) Terminal() bool { return s >= StateSucceeded && s <= StateExpired }

// moves is the one table of what may follow what. An operator's replay of a
// dead task is a new life, not a move.
var moves = map[State][]State{
	StateUnknown:   {StateScheduled, StateReady},
	StateScheduled: {StateReady, StateRunning, StateCancelled},
	StateReady:     {StateRunning, StateCancelled, StateExpired},
	StateRunning: {
		StateSucceeded, StateRetry, StateDead, StateCancelled, StateExpired,
		StateReady, StateScheduled, // given back unfinished, or parked for a worker that knows the type
	},
	StateRetry: {StateReady, StateRunning, StateCancelled, StateDead},
}

// CanMove reports whether a task in state s may move to state to.
func (s State) CanMove(to State) bool { return slices.Contains(moves[s], to) }
