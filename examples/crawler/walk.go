package main

import (
	"context"
	"errors"
	"sync"

	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/shared"
)

// walk reads pages, until the frontier is closed. A page that it holds when it dies goes to
// another walker: Reserve lends it, Ack says that all it leads to is on the frontier.
func walk(ctx context.Context, site string, frontier, titles *shared.Queue[string], seen *sync.Map) error {
	for {
		page, err := frontier.Reserve(ctx)
		if errors.Is(err, queue.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		title, links, err := read(ctx, site+page.Value)
		if err != nil {
			return err
		}
		for _, link := range links {
			if _, before := seen.LoadOrStore(link, true); before {
				continue
			}
			if err := frontier.Put(ctx, link); err != nil {
				return err
			}
		}
		if err := titles.Put(ctx, page.Value+" "+title); err != nil { // waits while the last stage lags
			return err
		}
		if err := page.Ack(ctx); err != nil {
			return err
		}
	}
}
