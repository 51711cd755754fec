package queue

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"
)

// Event is something a handler says while it runs: how far it is, or a line for
// whoever waits.
type Event struct {
	At      time.Time // by the worker's clock
	Attempt int       // the attempt that says it, counted from 1
	Done    int64     // how much is done, if there is no Text
	Total   int64     // of how much; 0 if that is not known
	Text    string    // a line of log
}

// Progress tells whoever waits for the task how far its handler is: done of total,
// in units of its own; total is 0 if it is not known. Only the newest of many in a
// row is sure to arrive. Outside a handler it does nothing.
func Progress(ctx context.Context, done, total int64) {
	if r := hostOf(ctx); r != nil && r.host != nil {
		r.host.Emit(Event{At: time.Now(), Attempt: r.about().Attempt, Done: done, Total: total})
	}
}

// Logf sends a line to whoever waits for the task. Outside a handler it does
// nothing.
func Logf(ctx context.Context, format string, args ...any) {
	if r := hostOf(ctx); r != nil && r.host != nil {
		text := clip(fmt.Sprintf(format, args...), maxErrorText)
		r.host.Emit(Event{At: time.Now(), Attempt: r.about().Attempt, Text: text})
	}
}

// maxEvents is how many events wait for a slow reader; the oldest go first.
const maxEvents = 1000

// Events yields what the task's handler says, from now on, until the future is
// done or ctx is. Who waits from another process sees only what is said while it
// waits. A reader that falls far behind misses the oldest.
func (f *Future[Out]) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var (
			mu   sync.Mutex
			wait []Event
			news = make(chan struct{}, 1)
		)
		stop := f.p.listen(func(e Event) {
			mu.Lock()
			if len(wait) == maxEvents {
				wait = wait[1:]
			}
			wait = append(wait, e)
			mu.Unlock()
			select {
			case news <- struct{}{}:
			default:
			}
		})
		defer stop()
		for over := false; ; {
			mu.Lock()
			batch := wait
			wait = nil
			mu.Unlock()
			for _, e := range batch {
				if !yield(e) {
					return
				}
			}
			if over && len(batch) == 0 {
				return
			}
			select {
			case <-news:
			case <-f.Done():
				over = true // what came before the end is yielded yet
			case <-ctx.Done():
				return
			}
		}
	}
}
