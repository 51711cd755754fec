package queue

import (
	"math"
	"time"
)

// Backoff says how long a failed task waits before it is tried again: Base
// after the first failure, doubled after each further one, at most Max, with
// up to a quarter taken off at random so that tasks that failed together do not
// come back together.
type Backoff struct {
	// Base is the wait after the first failure. Default: 1 second.
	Base time.Duration
	// Max is the longest wait. Default: 10 minutes.
	Max time.Duration
}

// The defaults of [Backoff].
const (
	DefaultBackoffBase = time.Second
	DefaultBackoffMax  = 10 * time.Minute
)

// Delay is the wait after the given failure, counted from 1. jitter is a number
// in [0, 1) that chooses the random part; the result depends on nothing else.
func (b Backoff) Delay(failure int, jitter float64) time.Duration {
	base, most := b.Base, b.Max
	if base <= 0 {
		base = DefaultBackoffBase
	}
	if most <= 0 {
		most = max(DefaultBackoffMax, base)
	}
	d := float64(base) * math.Pow(2, float64(max(failure, 1)-1))
	d = min(d, float64(most)) * (1 - 0.25*jitter) // also catches +Inf
	if d >= float64(most) {                       // which may be above the longest duration
		return most
	}
	return time.Duration(d)
}
