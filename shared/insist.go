package shared

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// insist runs a script that may be sent twice, and again while Redis is away, as long as
// ctx allows.
func (o *object) insist(ctx context.Context, script store.Verb, args ...any) ([]string, error) {
	wait := 10 * time.Millisecond
	for {
		if o.m.life.Err() != nil {
			return nil, o.about(errClosed)
		}
		r, err := o.m.store.Do(ctx, script, o.root, args...)
		if !errors.Is(err, queue.ErrUnavailable) {
			return r, o.about(err)
		}
		if ended := o.rest(ctx, wait); ended != nil {
			return nil, o.about(fmt.Errorf("%w: %w", ended, err))
		}
		wait = min(2*wait, time.Second)
	}
}

// rest waits for a moment, unless ctx or the manager ends.
func (o *object) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-o.m.life.Done():
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
