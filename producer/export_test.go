package producer

import "time"

// WaitsFor has the client give replicas up sooner.
func WaitsFor(d time.Duration) Option { return func(c *Client) { c.until = d } }
