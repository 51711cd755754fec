package producer

import (
	"context"
	"fmt"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// shareTimes is how much larger than a message a common argument may be: it is
// there once, however many tasks use it.
const shareTimes = 16

var _ queue.Sharer = (*Client)(nil)

// Share stores data for the tasks of a queue, for a day, and returns what to call it
// in their messages; see [queue.Sharing]. The same data is stored once, and only
// kept for longer when it is shared again. ctx bounds the wait for Redis. After an
// error the data may be there or not; sharing it again is safe.
func (c *Client) Share(ctx context.Context, name string, data []byte) (ref string, err error) {
	if err := queue.CheckName("queue", name); err != nil {
		return "", err
	}
	if len(data) > c.most*shareTimes {
		return "", fmt.Errorf("%w: the common argument has %d bytes, the limit is %d times that of a message, %d; share a reference to the data, or raise producer.MaxMessage",
			queue.ErrTooLarge, len(data), shareTimes, c.most)
	}
	if c.isClosed() {
		return "", errClosed
	}
	if c.seal != nil {
		data = c.seal.Data(seal.Common, name, queue.TaskID{}, 0, data)
	}
	return c.store.Share(ctx, name, data)
}
