package shared

import (
	"fmt"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// defaultTTL is how long an object outlives the last time it was written.
const defaultTTL = 7 * 24 * time.Hour

// maxTTL is what a TTL may be: Redis adds it to its clock.
const maxTTL = 100 * 365 * 24 * time.Hour

// settings are what options set.
type settings struct {
	ttl   time.Duration // 0 is for ever
	lease time.Duration
	err   error
}

// Option is how an object is kept. Given to [New] it holds for all objects that the
// manager opens, given to an Open function for that one. Programs that share an object
// should agree: what the last writer says counts.
type Option func(*settings)

// TTL is how long the object outlives the last time it was written; reading it does not
// count. Then all of it is gone at once. d is at least a millisecond.
// Default: 7 days.
func TTL(d time.Duration) Option {
	return func(s *settings) {
		if d < time.Millisecond || d > maxTTL {
			s.err = fmt.Errorf("%w: a TTL of %v; give a millisecond or more, or shared.Forever", queue.ErrOption, d)
			return
		}
		s.ttl = d
	}
}

// Forever keeps the object until it is deleted.
func Forever() Option { return func(s *settings) { s.ttl = 0 } }

func (s settings) with(opts []Option) (settings, error) {
	for _, o := range opts {
		if o == nil {
			return s, fmt.Errorf("%w: an option is nil", queue.ErrOption)
		}
		o(&s)
	}
	return s, s.err
}
