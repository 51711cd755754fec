package shared

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// change is how one element of an object becomes another.
type change struct {
	read func() (old string, there bool, err error)
	f    func(old string, there bool) (to []byte, err error)
	// swap replies with "-" if it was old and is to, else with "=1" and what is there, or
	// with "=0" if nothing is.
	swap func(old string, there bool, to []byte) (reply, error)
}

// change asks f again until nobody else was faster. In this program one at a time changes
// the element.
func (o *object) change(ctx context.Context, element string, c change) error {
	leave, err := o.m.desk.enter(ctx, o.root+" "+element)
	if err != nil {
		return o.about(err)
	}
	defer leave()
	old, there, err := c.read()
	if err != nil {
		return err
	}
	for lost := 0; ; lost++ {
		to, err := c.f(old, there)
		if err != nil {
			return err
		}
		r, err := c.swap(old, there, to)
		if err != nil {
			return err
		}
		now, other, err := r.value()
		if err != nil {
			return o.about(err)
		}
		if !other {
			return nil
		}
		if now == "" {
			return o.about(fmt.Errorf("%w: a swap came to nothing", queue.ErrMalformed))
		}
		old, there = now[1:], now[0] == '1'
		if lost >= patience { // let the others finish
			store.Pause(ctx, time.Duration(rand.Int64N(int64(min(lost, 100))*int64(100*time.Microsecond))))
			if ctx.Err() != nil {
				return o.about(fmt.Errorf("%w: others were faster %d times", ctx.Err(), lost))
			}
		}
	}
}
