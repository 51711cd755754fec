package run_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/internal/run"
)

// TestALifetimeIsAContext holds it against one of package context, whether it is asked
// before it ends or after.
func TestALifetimeIsAContext(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct{ causes []error }{
		"ended":                 {[]error{nil}},
		"cancelled":             {[]error{boom}},
		"ended, then cancelled": {[]error{nil, boom}},
		"cancelled, then ended": {[]error{boom, nil}},
	} {
		for when, early := range map[string]bool{"asked before": true, "asked after": false} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					want, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					var got run.Lifetime
					called := make(chan error, 1)
					var child context.Context
					ask := func() {
						var stop context.CancelFunc
						child, stop = context.WithTimeout(&got, time.Hour)
						t.Cleanup(stop)
						context.AfterFunc(child, func() { called <- context.Cause(&got) })
					}
					if early {
						ask()
						if got.Err() != nil || context.Cause(&got) != nil || child.Err() != nil {
							t.Errorf("at first: %v, %v, %v", got.Err(), context.Cause(&got), child.Err())
						}
					}
					for _, cause := range c.causes {
						cancel(cause)
						got.End(cause)
					}
					if !early {
						ask()
					}
					for _, ctx := range []context.Context{&got, child} {
						<-ctx.Done()
						if ctx.Err() != want.Err() || context.Cause(ctx) != context.Cause(want) { //nolint:errorlint // the very same
							t.Errorf("%v, because %v; want %v, %v", ctx.Err(), context.Cause(ctx), want.Err(), context.Cause(want))
						}
					}
					if err := <-called; err != context.Cause(want) { //nolint:errorlint // the very same
						t.Errorf("AfterFunc: %v", err)
					}
				})
			})
		}
	}
}
