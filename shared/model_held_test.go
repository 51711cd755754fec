package shared

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestValueIsLikeAVariable(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		v := opened(rt, managers, func(m *Manager) (*Value[int], error) { return OpenValue[int](m, name) })
		model, changes := 0, 0
		none := struct{}{}
		var stale []Version // of what has changed since
		version := func(rt *rapid.T) Version {
			got, version, err := v().GetVersion(b.ctx)
			same(rt, "get version", got, model, err, nil)
			return version
		}
		changed := func(rt *rapid.T, was Version) {
			changes++
			if now := version(rt); now <= was {
				rt.Fatalf("version %v after %v", now, was)
			}
			stale = append(stale, was)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				was := version(rt)
				model = rapid.Int().Draw(rt, "value")
				same(rt, "set", none, none, v().Set(b.ctx, model), nil)
				changed(rt, was)
			},
			"update": func(rt *rapid.T) {
				was := version(rt)
				by := rapid.IntRange(1, 9).Draw(rt, "by")
				got, err := v().Update(b.ctx, func(n int) (int, error) { return n + by, nil })
				model += by
				same(rt, "update", got, model, err, nil)
				changed(rt, was)
			},
			"refuse": func(rt *rapid.T) {
				no := errors.New("no")
				_, err := v().Update(b.ctx, func(int) (int, error) { return 0, no })
				same(rt, "refuse", none, none, err, no)
			},
			"compare and swap": func(rt *rapid.T) {
				was := version(rt)
				to := rapid.Int().Draw(rt, "value")
				if len(stale) > 0 && rapid.Bool().Draw(rt, "stale") {
					_, ok, err := v().CompareAndSwap(b.ctx, rapid.SampledFrom(stale).Draw(rt, "version"), to)
					same(rt, "compare and swap of what has changed", ok, false, err, nil)
					return
				}
				_, ok, err := v().CompareAndSwap(b.ctx, was, to)
				same(rt, "compare and swap", ok, true, err, nil)
				model = to
				changed(rt, was)
			},
			"": func(rt *rapid.T) {
				got, err := v().Get(b.ctx)
				same(rt, "get", got, model, err, nil)
			},
		})
	})
}

// A lock has one holder, tokens grow, and a fenced value takes nothing from who has held it
// before.
func TestLockIsLikeAMutex(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		lock := opened(rt, managers, func(m *Manager) (*Lock, error) { return OpenLock(m, name) })
		fenced := opened(rt, managers, func(m *Manager) (*Fenced[int], error) { return OpenFenced[int](m, name) })
		var holder *Held
		var former []*Held
		var last, seen uint64
		value := 0
		none := struct{}{}
		defer func() {
			if holder != nil {
				_ = holder.Release(b.ctx)
			}
		}()
		took := func(rt *rapid.T, h *Held) {
			if h.Token() <= last {
				rt.Fatalf("token %d after %d", h.Token(), last)
			}
			holder, last = h, h.Token()
		}
		rt.Repeat(map[string]func(*rapid.T){
			"try": func(rt *rapid.T) {
				h, ok, err := lock().TryAcquire(b.ctx)
				same(rt, "try", ok, holder == nil, err, nil)
				if ok {
					took(rt, h)
				}
			},
			"hand over": func(rt *rapid.T) {
				if holder == nil {
					rt.Skip("nobody holds it")
				}
				ctx, stop := context.WithCancel(b.ctx)
				defer stop()
				got := make(chan *Held, 1)
				l := lock()
				go func() {
					h, _ := l.Acquire(ctx)
					got <- h
				}()
				former = append(former, holder)
				same(rt, "release", none, none, holder.Release(b.ctx), nil)
				holder = nil
				h := <-got
				if h == nil {
					rt.Fatal("who waits does not get it")
				}
				took(rt, h)
			},
			"release": func(rt *rapid.T) {
				if holder == nil {
					rt.Skip("nobody holds it")
				}
				former = append(former, holder)
				same(rt, "release", none, none, holder.Release(b.ctx), nil)
				holder = nil
			},
			"release again": func(rt *rapid.T) {
				if len(former) == 0 {
					rt.Skip("nobody has held it")
				}
				same(rt, "release again", none, none, rapid.SampledFrom(former).Draw(rt, "former").Release(b.ctx), ErrNotOwner)
			},
			"write": func(rt *rapid.T) {
				all := slices.Clone(former)
				if holder != nil {
					all = append(all, holder)
				}
				if len(all) == 0 {
					rt.Skip("nobody has held it")
				}
				token, to := rapid.SampledFrom(all).Draw(rt, "by").Token(), rapid.Int().Draw(rt, "value")
				var want error
				if token < seen {
					want = ErrStale
				} else {
					seen, value = token, to
				}
				same(rt, "write", none, none, fenced().Write(b.ctx, token, to), want)
			},
			"": func(rt *rapid.T) {
				got, token, ok, err := fenced().Read(b.ctx)
				same(rt, "read", got, value, err, nil)
				same(rt, "read", token, seen, err, nil)
				same(rt, "read", ok, seen > 0, err, nil)
			},
		})
	})
}

func TestEventIsLikeAFlag(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		e := opened(rt, managers, func(m *Manager) (*Event, error) { return OpenEvent(m, name) })
		set := false
		none := struct{}{}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				same(rt, "set", none, none, e().Set(b.ctx), nil)
				set = true
			},
			"clear": func(rt *rapid.T) {
				same(rt, "clear", none, none, e().Clear(b.ctx), nil)
				set = false
			},
			"wait": func(rt *rapid.T) {
				if set {
					same(rt, "wait", none, none, e().Wait(b.ctx), nil)
					return
				}
				// Set and cleared at once wakes whoever has looked before.
				waiters := make(chan error, 4)
				looked := make(chan struct{}, 4)
				for range 4 {
					w := e()
					look := w.waiter(b.ctx)
					go func() {
						_, _, err := look()
						looked <- struct{}{}
						for done := false; err == nil && !done; {
							done, _, err = look()
						}
						waiters <- err
					}()
				}
				for range 4 {
					<-looked
				}
				same(rt, "set", none, none, e().Set(b.ctx), nil)
				same(rt, "clear", none, none, e().Clear(b.ctx), nil)
				for range 4 {
					same(rt, "wait", none, none, <-waiters, nil)
				}
			},
			"": func(rt *rapid.T) {
				got, err := e().IsSet(b.ctx)
				same(rt, "is set", got, set, err, nil)
			},
		})
	})
}

// In each round of a barrier all get through with another index each; one that is broken
// lets nobody through until it is reset.
func TestBarrierIsARoundAfterTheOther(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		parties := rapid.IntRange(1, 4).Draw(rt, "parties")
		at := opened(rt, managers, func(m *Manager) (*Barrier, error) { return OpenBarrier(m, name, parties) })
		broken := false
		none := struct{}{}
		wait := func(n int) (indices []int, errs []error) {
			ctx, stop := context.WithTimeout(b.ctx, time.Minute)
			defer stop()
			indices, errs = make([]int, n), make([]error, n)
			var all sync.WaitGroup
			for i := range n {
				party := at()
				all.Go(func() { indices[i], errs[i] = party.Wait(ctx) })
			}
			all.Wait()
			return indices, errs
		}
		rt.Repeat(map[string]func(*rapid.T){
			"round": func(rt *rapid.T) {
				indices, errs := wait(parties)
				slices.Sort(indices)
				for i, err := range errs {
					if broken {
						same(rt, "wait", none, none, err, ErrBroken)
						continue
					}
					same(rt, "wait", indices[i], i, err, nil)
				}
			},
			"abort": func(rt *rapid.T) {
				same(rt, "abort", none, none, at().Abort(b.ctx), nil)
				broken = true
			},
			"reset": func(rt *rapid.T) {
				same(rt, "reset", none, none, at().Reset(b.ctx), nil)
				broken = false
			},
		})
	})
}
