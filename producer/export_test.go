package producer

import "time"

// WaitsFor has the client give replicas up sooner.
func WaitsFor(d time.Duration) Option { return func(c *Client) { c.until = d } }

// Doubts has a new client ask after tasks that were silent for so long.
func Doubts(c *Client, d time.Duration) { c.mail.tick, c.mail.silence = d, d }
