package main

import (
	"context"
	"math"
	"slices"
	"time"
)

// idlePause is how long the workers are left idle before each latency sample.
const idlePause = 2 * time.Millisecond

// warmSamples are taken and thrown away before the latency samples that count.
const warmSamples = 50

// latencies are the samples of one latency measure, from the call of submit.
type latencies struct {
	start  []time.Duration // until the handler started
	result []time.Duration // until the caller had the result
	max    time.Duration   // the longest until a result, those thrown away included
}

// probe takes n samples: pause, submit one task, wait for its start and for its
// result. started carries the time at which the handler began.
func probe(ctx context.Context, n, warm int, pause func() time.Duration, started <-chan time.Time, trip func(context.Context) error) (latencies, error) {
	var l latencies
	for i := range warm + n {
		time.Sleep(pause())
		begin := time.Now()
		if err := trip(ctx); err != nil {
			return l, err
		}
		end := time.Now()
		l.max = max(l.max, end.Sub(begin))
		select {
		case at := <-started:
			if i >= warm {
				l.start = append(l.start, at.Sub(begin))
				l.result = append(l.result, end.Sub(begin))
			}
		case <-ctx.Done():
			return l, ctx.Err()
		}
	}
	return l, nil
}

func shortPause() time.Duration { return idlePause }

// percentile returns the p-th percentile (nearest rank) of the samples in microseconds.
func percentile(samples []time.Duration, p float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := max(int(math.Ceil(p/100*float64(len(sorted))))-1, 0)
	return float64(sorted[rank].Nanoseconds()) / 1e3
}

// median returns the middle value, or the mean of the two middle ones.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
