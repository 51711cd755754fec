package queue

import "time"

// What bounds a chunk whose size is measured.
const (
	maxChunkItems = 4096
	maxChunkBytes = 256 << 10
	chunkTime     = 50 * time.Millisecond
)

// chunkSizes says how many arguments share a message.
type chunkSizes struct {
	fixed   int  // what Chunk says; 0 is measured
	never   bool // the task's options do not allow it
	workers int  // 0 if not known
	most    int

	size int           // as measured
	each time.Duration // what an item takes
}

// now is the size of a chunk while the source has more.
func (c *chunkSizes) now() int {
	switch {
	case c.never:
		return 1
	case c.fixed > 0:
		return c.fixed
	}
	return min(c.size, c.most)
}

// guided is the size of a chunk when total arguments are all there are, and left of
// them are not sent: smaller towards the end, so that all workers end together.
func (c *chunkSizes) guided(total, left int) int {
	n := c.now()
	if c.never || c.fixed > 0 {
		return n
	}
	workers := c.workers
	if workers > 0 {
		n = min(n, ceilDiv(total, 4*workers))
	} else {
		workers = 4 // a guess
	}
	return max(1, min(n, ceilDiv(left, 2*workers)))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// hungry reports whether so few messages are on their way that a small chunk had
// better leave now.
func (c *chunkSizes) hungry(flying int) bool {
	if c.fixed > 0 {
		return false // exactly what was asked for
	}
	if c.workers > 0 {
		return flying < 2*c.workers
	}
	return flying < 8
}

// learn takes a measurement. The size grows at most fourfold each time: one lucky
// item says little about a thousand.
func (c *chunkSizes) learn(took time.Duration, items int) {
	if took <= 0 || items == 0 {
		return
	}
	each := max(took/time.Duration(items), 1)
	if c.each > 0 {
		each = (c.each + each) / 2
	}
	c.each = each
	ideal := int(min(max(chunkTime/each, 1), maxChunkItems))
	if ideal > c.size {
		ideal = min(ideal, max(c.size, 4*items))
	}
	c.size = ideal
}
