package security_test

import (
	"context"
	"testing"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/shared"
)

// TestUsersShare has producers and consumers share values. Nothing of it may be denied.
func TestUsersShare(t *testing.T) {
	t.Parallel()
	w := found(t, "mine")
	w.share()
	w.nothingDenied()
}

// share does all that there is to do with shared values.
func (w *town) share() {
	w.t.Helper()
	for _, role := range []store.Role{store.RoleProducer, store.RoleConsumer} {
		m, err := shared.New(w.as(role))
		w.ok(err)
		v, err := shared.OpenValue[int](m, "v")
		w.ok(err)
		c, err := shared.OpenCounter(m, "c", shared.Forever())
		w.ok(err)
		a, err := shared.OpenArray[int64](m, "a", 3)
		w.ok(err)
		d, err := shared.OpenDict[string, int](m, "d")
		w.ok(err)
		l, err := shared.OpenList[int](m, "l")
		w.ok(err)

		ctx, stop := context.WithCancel(w.ctx)
		changed := make(chan int, 10)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for n, err := range v.Watch(ctx) {
				if err != nil {
					return
				}
				changed <- n
			}
		}()
		<-changed
		// Somebody had the turn, and others wait for it: they line up.
		w.ok(w.root.Set(w.ctx, store.SharedRoot("value", "v")+":turn", "other", 1e8).Err())
		_, err = v.Update(w.ctx, func(n int) (int, error) { return n + 1, nil })
		w.ok(err)
		<-changed
		stop()
		<-ended
		w.ok(v.Set(w.ctx, 2))
		_, version, err := v.GetVersion(w.ctx)
		w.ok(err)
		_, _, err = v.CompareAndSwap(w.ctx, version, 3)
		w.ok(err)

		_, err = c.Add(w.ctx, 1)
		w.ok(err)
		_, err = c.Reset(w.ctx)
		w.ok(err)
		_, err = c.Get(w.ctx)
		w.ok(err)

		w.ok(a.SetSlice(w.ctx, 0, []int64{1, 2}))
		_, err = a.Add(w.ctx, 2, 1)
		w.ok(err)
		_, err = a.CompareAndSwap(w.ctx, 2, 1, 2)
		w.ok(err)
		_, err = a.Slice(w.ctx, 0, 3)
		w.ok(err)

		_, err = d.Update(w.ctx, "k", func(n int, _ bool) (int, error) { return n + 1, nil })
		w.ok(err)
		_, _, err = d.SetDefault(w.ctx, "k", 1)
		w.ok(err)
		_, err = d.Len(w.ctx)
		w.ok(err)
		for _, err := range d.All(w.ctx) {
			w.ok(err)
		}
		_, _, err = d.Remove(w.ctx, "k")
		w.ok(err)

		w.ok(l.Append(w.ctx, 1, 2, 3))
		w.ok(l.Prepend(w.ctx, 0))
		w.ok(l.Insert(w.ctx, 1, 9))
		w.ok(l.Set(w.ctx, 1, 8))
		_, err = l.Update(w.ctx, 1, func(n int) (int, error) { return n + 1, nil })
		w.ok(err)
		_, err = l.Remove(w.ctx, 1)
		w.ok(err)
		_, err = l.PopFront(w.ctx)
		w.ok(err)
		_, err = l.Pop(w.ctx)
		w.ok(err)
		for _, err := range l.All(w.ctx) {
			w.ok(err)
		}

		for _, o := range []interface{ Delete(context.Context) error }{v, c, a, d, l} {
			w.ok(o.Delete(w.ctx))
		}
		w.ok(m.Close(w.ctx))
	}
}
