package queue_test

import (
	"math"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestBackoffDoubles(t *testing.T) {
	b := queue.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	want := []time.Duration{100, 200, 400, 800, 1000, 1000}
	for i, w := range want {
		if d := b.Delay(i+1, 0); d != w*time.Millisecond {
			t.Errorf("failure %d waits %v, want %v", i+1, d, w*time.Millisecond)
		}
	}
}

func TestBackoffDefaults(t *testing.T) {
	for name, b := range map[string]queue.Backoff{"zero": {}, "negative": {Base: -1, Max: -1}} {
		if d := b.Delay(1, 0); d != queue.DefaultBackoffBase {
			t.Errorf("%s: first wait %v, want %v", name, d, queue.DefaultBackoffBase)
		}
		if d := b.Delay(1000, 0); d != queue.DefaultBackoffMax {
			t.Errorf("%s: longest wait %v, want %v", name, d, queue.DefaultBackoffMax)
		}
	}
	if d := (queue.Backoff{Base: time.Hour}).Delay(1, 0); d != time.Hour {
		t.Errorf("a base above the default maximum is cut to %v", d)
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	for _, b := range []queue.Backoff{{}, {Base: time.Microsecond, Max: math.MaxInt64}, {Base: math.MaxInt64, Max: math.MaxInt64}, {Base: time.Minute, Max: time.Second}} {
		most := b.Max
		if most <= 0 {
			most = queue.DefaultBackoffMax
		}
		for _, failure := range []int{math.MinInt, -1, 0, 1, 2, 62, 63, 64, 1023, 1024, 1025, math.MaxInt} {
			full := b.Delay(failure, 0)
			for _, jitter := range []float64{0, 0.25, 0.5, 0.999} {
				d := b.Delay(failure, jitter)
				if d < 0 || d > most || d > full || float64(d) < 0.74*float64(full) {
					t.Errorf("%+v failure %d jitter %v: %v, of a full %v", b, failure, jitter, d, full)
				}
			}
		}
	}
}

func TestBackoffJitterSpreads(t *testing.T) {
	b := queue.Backoff{Base: time.Second}
	if a, z := b.Delay(1, 0), b.Delay(1, 0.5); a-z != 125*time.Millisecond {
		t.Errorf("half of the jitter takes off %v, want 125ms", a-z)
	}
}
