package store

import (
	"context"
	"time"
)

// Pause waits between two attempts at something, until d has passed or ctx has ended.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
