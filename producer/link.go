package producer

import (
	"context"
	"time"

	"github.com/cenote-go/cenote/internal/store"
)

// link makes the client hold the link to which its [queue.Linked] tasks are bound.
// From the first of them on the client renews it until it is closed.
func (c *Client) link(ctx context.Context) error {
	c.mu.Lock()
	linked := c.linked
	c.mu.Unlock()
	if linked {
		return nil
	}
	if err := c.store.HoldLink(ctx, c.id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if !c.linked {
		c.linked = true
		c.mail.running.Go(c.keepLink)
	}
	return nil
}

// keepLink renews the link, sooner if Redis could not be asked.
func (c *Client) keepLink() {
	const soon = time.Second
	for wait := store.LinkFor / 3; ; {
		store.Pause(c.mail.ctx, wait)
		if c.mail.ctx.Err() != nil {
			return
		}
		wait = store.LinkFor / 3
		if c.store.HoldLink(c.mail.ctx, c.id) != nil {
			wait = soon
		}
	}
}

// cutLink says that the client goes. If that does not arrive, the link lapses.
func (c *Client) cutLink() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.store.CutLink(ctx, c.id)
}
