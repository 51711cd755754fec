package producer

import (
	"testing"

	"github.com/cenote-go/cenote/internal/store"
)

// TestTripsAreNoLargerThanTheyMayBe: what does not fit leaves with the next one, and
// each call's tasks stay together, in the order of the calls.
func TestTripsAreNoLargerThanTheyMayBe(t *testing.T) {
	items := func(n, bytes int) []store.Item {
		all := make([]store.Item, n)
		for i := range all {
			all[i].Wire = make([]byte, bytes)
		}
		return all
	}
	type at struct{ trip, first int }
	for name, c := range map[string]struct {
		calls [][]store.Item
		want  []at
	}{
		"a few":             {[][]store.Item{items(1, 10), items(3, 10), items(1, 10)}, []at{{0, 0}, {0, 1}, {0, 4}}},
		"just enough tasks": {[][]store.Item{items(1, 1), items(store.MaxBatch-1, 1), items(1, 1)}, []at{{0, 0}, {0, 1}, {1, 0}}},
		"too many tasks":    {[][]store.Item{items(2, 1), items(store.MaxBatch-1, 1), items(1, 1), items(1, 1)}, []at{{0, 0}, {1, 0}, {1, store.MaxBatch - 1}, {2, 0}}},
		"just enough bytes": {[][]store.Item{items(1, maxBatchBytes/2), items(1, maxBatchBytes/2), items(1, 1)}, []at{{0, 0}, {0, 1}, {1, 0}}},
		"a huge one":        {[][]store.Item{items(1, 1), items(1, maxBatchBytes+1), items(1, 1)}, []at{{0, 0}, {1, 0}, {2, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLane(nil, "", place{}, "", 0)
			l.busy = true // a round trip is under way
			var subs []submission
			for _, call := range c.calls {
				subs = append(subs, l.post(t.Context(), true, call...))
			}
			trips := map[*trip]int{}
			for n := 0; len(l.waiting) > 0; n++ {
				trips[l.next()] = n
			}
			for i, s := range subs {
				n, known := trips[s.trip]
				if got := (at{n, s.first}); !known || got != c.want[i] {
					t.Errorf("call %d: on trip %d, from item %d; want %+v", i, got.trip, got.first, c.want[i])
				}
				if got, want := &s.trip.items[s.first].Wire[0], &c.calls[i][0].Wire[0]; got != want {
					t.Errorf("call %d: another call's task is in its place", i)
				}
			}
		})
	}
}
