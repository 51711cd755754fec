package shared

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// crowd runs f in several goroutines of several programs, one of which loses replies.
func crowd(b *bed, f func(m *Manager, program, goroutine int)) {
	managers := []*Manager{b.manager(), b.forgetful(), b.manager()}
	var all sync.WaitGroup
	for p, m := range managers {
		for g := range 3 {
			all.Go(func() { f(m, p, g) })
		}
	}
	all.Wait()
}

const crowdSize = 9

func TestCounterGivesEachAddAnotherNumber(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const times = 100
		var mu sync.Mutex
		var got []int64
		crowd(b, func(m *Manager, _, _ int) {
			c := must[*Counter](b)(OpenCounter(m, "c"))
			for range times {
				n, err := c.Add(b.ctx, 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, n)
				mu.Unlock()
			}
		})
		slices.Sort(got)
		for i, n := range got {
			if n != int64(i+1) {
				t.Fatalf("the %dth number is %d", i+1, n)
			}
		}
		wants(b, "numbers", len(got), crowdSize*times)
	})
}

func TestListElementsAreTakenOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const times = 60
		var mu sync.Mutex
		taken := map[string]int{}
		crowd(b, func(m *Manager, p, g int) {
			l := must[*List[string]](b)(OpenList[string](m, "l"))
			last := map[string]int{} // what was taken last of each who appends
			for i := range times {
				if err := l.Append(b.ctx, fmt.Sprint(p, g, " ", i)); err != nil {
					t.Error(err)
					return
				}
				v, err := l.PopFront(b.ctx)
				if err != nil { // each appends before it takes
					t.Error(err)
					return
				}
				var who, where, n int
				if _, err := fmt.Sscan(v, &who, &where, &n); err != nil {
					t.Error(err)
				}
				from := fmt.Sprint(who, where)
				if before, ok := last[from]; ok && n <= before {
					t.Errorf("%d of %s came after %d", n, from, before)
				}
				last[from] = n
				mu.Lock()
				taken[v]++
				mu.Unlock()
			}
		})
		wants(b, "elements", len(taken), crowdSize*times)
		for v, n := range taken {
			if n != 1 {
				t.Errorf("%q was taken %d times", v, n)
			}
		}
	})
}

func TestDictUpdatesAreNotLost(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const times = 30
		crowd(b, func(m *Manager, p, g int) {
			d := must[*Dict[string, []int]](b)(OpenDict[string, []int](m, "d"))
			for i := range times {
				if _, err := d.Update(b.ctx, fmt.Sprint("k", i%2), func(v []int, _ bool) ([]int, error) { return append(v, p), nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
		d := must[*Dict[string, []int]](b)(OpenDict[string, []int](b.manager(), "d"))
		for e, err := range d.All(b.ctx) {
			b.ok(err)
			wants(b, "updates of "+e.Key, len(e.Value), crowdSize*times/2)
		}
		wants(b, "keys", must[int](b)(d.Len(b.ctx)), 2)
	})
}

func TestArrayAddsAreNotLost(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const times = 40
		crowd(b, func(m *Manager, _, _ int) {
			ints := must[*Array[uint64]](b)(OpenArray[uint64](m, "ints", 3))
			floats := must[*Array[float64]](b)(OpenArray[float64](m, "floats", 3))
			for i := range times {
				if _, err := ints.Add(b.ctx, i%3, 1<<50+1); err != nil {
					t.Error(err)
				}
				if _, err := floats.Add(b.ctx, 1, 0.5); err != nil {
					t.Error(err)
				}
			}
		})
		m := b.manager()
		sum := uint64(0)
		for v, err := range must[*Array[uint64]](b)(OpenArray[uint64](m, "ints", 3)).All(b.ctx) {
			b.ok(err)
			sum += v
		}
		wants(b, "sum of whole numbers", sum, crowdSize*times*(1<<50+1))
		wants(b, "sum of floats", must[float64](b)(must[*Array[float64]](b)(OpenArray[float64](m, "floats", 3)).Get(b.ctx, 1)), crowdSize*times*0.5)
	})
}

// TestAllToleratesChange ranges over a list and a dictionary while others take away and
// add.
func TestAllToleratesChange(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		const n = 1000
		m := b.manager()
		l := must[*List[int]](b)(OpenList[int](m, "l"))
		d := must[*Dict[int, int]](b)(OpenDict[int, int](m, "d"))
		for i := range n {
			b.ok(l.Append(b.ctx, i))
			b.ok(d.Set(b.ctx, i, i))
		}
		next := 0
		for v, err := range l.All(b.ctx) {
			b.ok(err)
			if v < 0 || v >= n {
				continue // it came meanwhile
			}
			if v != next {
				t.Fatalf("%d after %d", v, next-1)
			}
			next++
			if v%20 == 0 {
				must[int](b)(l.PopFront(b.ctx))
				b.ok(l.Append(b.ctx, n+v))
			}
			if v%50 == 0 {
				b.ok(l.Prepend(b.ctx, -1, -1))
			}
		}
		wants(b, "elements", next, n)
		seen := map[int]bool{}
		for e, err := range d.All(b.ctx) {
			b.ok(err)
			if seen[e.Key] {
				t.Errorf("%d came twice", e.Key)
			}
			seen[e.Key] = true
			b.ok(d.Set(b.ctx, n+e.Key, 0))
			if len(seen)%10 == 0 {
				if _, _, err := d.Remove(b.ctx, 2*n+e.Key); err != nil {
					t.Fatal(err)
				}
			}
			if len(seen) > 5*n {
				break // each that comes brings another
			}
		}
		for i := range n {
			if !seen[i] {
				t.Errorf("%d was passed over", i)
			}
		}
	})
}

// TestNothingIsLostOrDoubledByARestart restarts Redis, which keeps all it has confirmed,
// under programs that work.
func TestNothingIsLostOrDoubledByARestart(t *testing.T) {
	t.Parallel()
	b := newReal(t, "--appendonly", "yes", "--appendfsync", "always")
	stop := make(chan struct{})
	var mu sync.Mutex
	adds, updates, appends, puts := 0, 0, 0, 0
	moved := make(chan struct{}, 1)
	var all sync.WaitGroup
	for range 2 {
		m := b.manager()
		c := must[*Counter](b)(OpenCounter(m, "c"))
		v := must[*Value[int]](b)(OpenValue[int](m, "v"))
		l := must[*List[int]](b)(OpenList[int](m, "l"))
		d := must[*Dict[int, int]](b)(OpenDict[int, int](m, "d"))
		one := func(n int, _ bool) (int, error) { return n + 1, nil }
		for _, step := range []func() (*int, error){
			func() (*int, error) { _, err := c.Add(b.ctx, 1); return &adds, err },
			func() (*int, error) {
				_, err := v.Update(b.ctx, func(n int) (int, error) { return n + 1, nil })
				return &updates, err
			},
			func() (*int, error) { return &appends, l.Append(b.ctx, 1) },
			func() (*int, error) { _, err := d.Update(b.ctx, 1, one); return &puts, err },
		} {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					count, err := step()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					*count++
					mu.Unlock()
					select {
					case moved <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	for range 3 {
		for range 50 {
			<-moved
		}
		b.real.Kill()
		time.Sleep(50 * time.Millisecond) // some must find it gone
		b.real.Restart()
	}
	for range 50 {
		<-moved
	}
	close(stop)
	all.Wait()
	m := b.manager()
	wants(b, "counter", must[int64](b)(must[*Counter](b)(OpenCounter(m, "c")).Get(b.ctx)), int64(adds))
	wants(b, "value", must[int](b)(must[*Value[int]](b)(OpenValue[int](m, "v")).Get(b.ctx)), updates)
	wants(b, "list", must[int](b)(must[*List[int]](b)(OpenList[int](m, "l")).Len(b.ctx)), appends)
	n, _, err := must[*Dict[int, int]](b)(OpenDict[int, int](m, "d")).Get(b.ctx, 1)
	b.ok(err)
	wants(b, "dict", n, puts)
	t.Logf("%d adds, %d updates, %d appends, %d changes in a dictionary", adds, updates, appends, puts)
}

// BenchmarkCounter is Adds a second of two programs.
func BenchmarkCounter(b *testing.B) {
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			bed := newReal(b)
			var all sync.WaitGroup
			for range 2 {
				c := must[*Counter](bed)(OpenCounter(bed.manager(), "c"))
				for range goroutines {
					all.Go(func() {
						for range b.N / 2 / goroutines {
							if _, err := c.Add(bed.ctx, 1); err != nil {
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
