package shared

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func openValue[T any](b *bed, m *Manager, opts ...Option) *Value[T] {
	b.t.Helper()
	return must[*Value[T]](b)(OpenValue[T](m, "v", opts...))
}

func TestValueIsSharedBetweenManagers(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		here, there := openValue[string](b, b.manager()), openValue[string](b, b.manager())
		wants(b, "before", must[string](b)(there.Get(b.ctx)), "")
		b.ok(here.Set(b.ctx, "x"))
		wants(b, "after Set", must[string](b)(there.Get(b.ctx)), "x")
		made := must[string](b)(there.Update(b.ctx, func(s string) (string, error) { return s + "y", nil }))
		wants(b, "made", made, "xy")
		wants(b, "after Update", must[string](b)(here.Get(b.ctx)), "xy")
		b.ok(there.Delete(b.ctx))
		wants(b, "after Delete", must[string](b)(here.Get(b.ctx)), "")
	})
}

func TestValueVersions(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		v := openValue[int](b, b.manager())
		_, none, err := v.GetVersion(b.ctx)
		b.ok(err)
		wants(b, "version of nothing", none, 0)
		first, ok, err := v.CompareAndSwap(b.ctx, none, 1)
		b.ok(err)
		wants(b, "swapped nothing", ok, true)
		now, ok, err := v.CompareAndSwap(b.ctx, none, 2)
		b.ok(err)
		wants(b, "swapped nothing, again", ok, false)
		wants(b, "version", now, first)
		_, seen, err := v.GetVersion(b.ctx)
		b.ok(err)
		wants(b, "version", seen, first)
		b.ok(v.Delete(b.ctx))
		b.ok(v.Set(b.ctx, 3))
		if _, ok, err := v.CompareAndSwap(b.ctx, first, 4); ok || err != nil {
			t.Errorf("a version from before a deletion was taken for the present one: %v", err)
		}
		got, last, err := v.GetVersion(b.ctx)
		b.ok(err)
		if got != 3 || last <= first {
			t.Errorf("%d with version %d, after version %d", got, last, first)
		}
	})
}

func TestValueUpdateThatFails(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		v := openValue[int](b, b.manager())
		refused := errors.New("refused")
		b.ok(v.Set(b.ctx, 7))
		if _, err := v.Update(b.ctx, func(int) (int, error) { return 8, refused }); err != refused { //nolint:errorlint // as it is
			t.Errorf("error %v", err)
		}
		func() {
			defer func() { wants(b, "panic", recover(), any("no")) }()
			_, _ = v.Update(b.ctx, func(int) (int, error) { panic("no") })
		}()
		wants(b, "value", must[int](b)(v.Get(b.ctx)), 7)
		// What f is told of must be what is there, also if it refuses: another has changed it.
		b.ok(openValue[int](b, b.manager()).Set(b.ctx, 100))
		made := must[int](b)(v.Update(b.ctx, func(n int) (int, error) {
			if n < 100 {
				return 0, refused
			}
			return n + 1, nil
		}))
		wants(b, "made", made, 101)
	})
}

// TestValueUpdatesAreNotLost has several programs of several goroutines update one value.
func TestValueUpdatesAreNotLost(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const programs, goroutines, times = 3, 4, 100
		var all sync.WaitGroup
		for range programs {
			v := openValue[map[string]int](b, b.manager())
			for g := range goroutines {
				name := fmt.Sprint(g)
				all.Go(func() {
					for range times {
						if _, err := v.Update(b.ctx, func(m map[string]int) (map[string]int, error) {
							if m == nil {
								m = map[string]int{}
							}
							m[name]++
							return m, nil
						}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		all.Wait()
		for name, n := range must[map[string]int](b)(openValue[map[string]int](b, b.manager()).Get(b.ctx)) {
			wants(b, "updates of "+name, n, programs*times)
		}
	})
}

// TestSlowUpdaterDoesNotStarve lets one whose function takes long compete with others
// that never pause.
func TestSlowUpdaterDoesNotStarve(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		stop := make(chan struct{})
		var others sync.WaitGroup
		for range 2 {
			v := openValue[int](b, b.manager())
			others.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := v.Update(b.ctx, func(n int) (int, error) { return n + 1, nil }); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		slow := openValue[int](b, b.manager())
		for range 3 {
			calls := 0
			must[int](b)(slow.Update(b.ctx, func(n int) (int, error) {
				calls++
				time.Sleep(20 * time.Millisecond) // far more than a round trip of the others
				return n + 1, nil
			}))
			if calls > patience+5 {
				t.Errorf("it was asked %d times", calls)
			}
		}
		close(stop)
		others.Wait()
	})
}

// TestATurnOfTheDeadIsPassedOver has somebody leave who holds the turn, and others who
// have lined up.
func TestATurnOfTheDeadIsPassedOver(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		v := openValue[int](b, b.manager())
		b.ok(v.Set(b.ctx, 1))
		b.ok(b.rdb.Set(b.ctx, v.root+":turn", "dead", 100*time.Millisecond).Err())
		b.ok(b.rdb.Do(b.ctx, "ZADD", v.root+":line", 1, "dead too", 2, "dead as well").Err())
		made := must[int](b)(v.Update(b.ctx, func(n int) (int, error) { return n + 1, nil }))
		wants(b, "made", made, 2)
		b.ok(v.Set(b.ctx, 3))
		if n := b.rdb.Exists(b.ctx, v.root+":turn", v.root+":line").Val(); n != 0 {
			t.Errorf("somebody has still the turn")
		}
	})
}

func TestValueWatch(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		v, writer := openValue[int](b, b.manager()), openValue[int](b, b.manager())
		b.ok(writer.Set(b.ctx, 1))
		seen := make(chan int)
		ctx, cancel := context.WithCancel(b.ctx)
		ended := make(chan error, 1)
		go func() {
			for n, err := range v.Watch(ctx) {
				if err != nil {
					ended <- err
					return
				}
				seen <- n
			}
		}()
		wants(b, "the present value", <-seen, 1)
		for i := 2; i <= 100; i++ {
			b.ok(writer.Set(b.ctx, i))
		}
		for last := 1; last < 100; {
			n := <-seen
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
		b.ok(writer.Delete(b.ctx))
		wants(b, "after Delete", <-seen, 0)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestValueOfAnotherTypeIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		m := b.manager()
		b.ok(openValue[float64](b, m).Set(b.ctx, 1.5))
		if n, err := openValue[int](b, m).Get(b.ctx); !errors.Is(err, ErrMismatch) {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := openValue[int](b, m).Update(b.ctx, func(n int) (int, error) { return n + 1, nil }); !errors.Is(err, ErrMismatch) {
			t.Error(err)
		}
		wants(b, "value", must[float64](b)(openValue[float64](b, m).Get(b.ctx)), 1.5)
	})
}

func TestValueExpires(t *testing.T) {
	b := newMini(t)
	v := openValue[int](b, b.manager(), TTL(time.Hour))
	b.ok(v.Set(b.ctx, 1))
	if d := b.rdb.PTTL(b.ctx, v.root).Val(); d <= 0 || d > time.Hour {
		t.Errorf("it is kept for %v", d)
	}
	b.mini.SetTime(time.Now().Add(2 * time.Hour))
	b.mini.FastForward(2 * time.Hour)
	wants(b, "value", must[int](b)(v.Get(b.ctx)), 0)
	kept := openValue[int](b, b.manager(), Forever())
	b.ok(kept.Set(b.ctx, 1))
	wants(b, "time left", b.rdb.PTTL(b.ctx, v.root).Val(), -1)
}

func TestNoVerbOutlivesItsManager(t *testing.T) {
	b := newReal(t)
	m := b.manager()
	v := openValue[int](b, m)
	b.ok(m.Close(b.ctx))
	if err := v.Set(b.ctx, 1); !errors.Is(err, queue.ErrClosed) {
		t.Error(err)
	}
	if _, err := v.Get(b.ctx); !errors.Is(err, queue.ErrClosed) {
		t.Error(err)
	}
}

// BenchmarkUpdate is Updates a second of two programs.
func BenchmarkUpdate(b *testing.B) {
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			bed := newReal(b)
			var all sync.WaitGroup
			for range 2 {
				v := openValue[int](bed, bed.manager())
				for range goroutines {
					all.Go(func() {
						for range b.N / 2 / goroutines {
							if _, err := v.Update(bed.ctx, func(n int) (int, error) { return n + 1, nil }); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
			}
			all.Wait()
		})
	}
}
