package queue

import (
	"testing"
	"time"
)

// C24, without the luck of the clock.
func TestChunkSizes(t *testing.T) {
	c := chunkSizes{size: 1, most: maxChunkItems, workers: 4}
	for i, want := range []int{4, 16, 64, 256, 1024, 4096, 4096} {
		n := c.now()
		if c.learn(time.Duration(n)*time.Microsecond, n); c.now() != want {
			t.Fatalf("step %d: %d, want fourfold at most: %d", i, c.now(), want)
		}
	}
	for _, v := range []struct{ total, left, want int }{
		{2000, 2000, 125}, {2001, 2001, 126}, {2000, 400, 50}, {2000, 9, 2}, {2000, 1, 1}, {1, 1, 1}, {1 << 20, 1 << 20, 4096},
	} {
		if got := c.guided(v.total, v.left); got != v.want {
			t.Errorf("%d of %d left on 4 workers: %d, want %d", v.left, v.total, got, v.want)
		}
	}
	c.learn(4096*time.Millisecond, 4096) // a thousand times as long
	if got := c.now(); got < 50 || got > 100 {
		t.Errorf("items of half a millisecond on average: %d, want about 100", got)
	}
	if c.learn(0, 10); c.now() > 100 {
		t.Error("learned from what was not measured")
	}
	few := chunkSizes{fixed: 7, size: 1, most: 3}
	if few.now() != 7 || few.guided(10, 2) != 7 || few.hungry(0) {
		t.Error("Chunk is to be taken at its word")
	}
	alone := chunkSizes{fixed: 7, never: true}
	if alone.now() != 1 || alone.guided(10, 2) != 1 {
		t.Error("what must travel alone does not")
	}
}
