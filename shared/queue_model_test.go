package shared

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cenote-go/cenote/queue"
)

// queueModel is what a queue is to whoever uses it.
type queueModel struct {
	size   int
	items  []int
	held   []*Reserved[int]
	open   int
	closed bool
}

// A queue does what the model does, whichever program asks it.
func TestAQueueIsItsModel(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		ms := []*Manager{b.manager(), b.manager()}
		round := 0
		rapid.Check(b.T, func(r *rapid.T) {
			round++
			m := &queueModel{size: rapid.IntRange(0, 3).Draw(r, "maxsize")}
			var qs []*Queue[int]
			for _, m2 := range ms {
				q, err := OpenQueue[int](m2, fmt.Sprintf("model%d", round), m.size)
				if err != nil {
					r.Fatal(err)
				}
				qs = append(qs, q)
			}
			for step := range rapid.IntRange(1, 25).Draw(r, "steps") {
				m.step(b, r, rapid.SampledFrom(qs).Draw(r, "program"), step)
			}
			for _, h := range m.held {
				if err := h.Ack(b.ctx); err != nil {
					r.Error(err)
				}
			}
			if err := qs[0].Delete(b.ctx); err != nil {
				r.Error(err)
			}
		})
	})
}

func (m *queueModel) step(b *tubeBed, r *rapid.T, q *Queue[int], n int) {
	want := func(what string, err, want error) {
		if !errors.Is(err, want) || want == nil && err != nil {
			r.Fatalf("%s: error %v, want %v", what, err, want)
		}
	}
	// none is why there is no item.
	none := func() error {
		if m.closed && len(m.held) == 0 {
			return queue.ErrClosed
		}
		return ErrEmpty
	}
	pick := func() (h *Reserved[int]) {
		i := rapid.IntRange(0, len(m.held)-1).Draw(r, "reservation")
		h = m.held[i]
		m.held = slices.Delete(m.held, i, i+1)
		return h
	}
	switch verb := rapid.SampledFrom([]string{"put", "put", "put", "get", "get", "reserve", "ack", "return", "done", "look", "close"}).Draw(r, "verb"); verb {
	case "put":
		err := q.TryPut(b.ctx, n)
		switch {
		case m.closed:
			want("put", err, queue.ErrClosed)
		case m.size > 0 && len(m.items) >= m.size:
			want("put", err, ErrFull)
		default:
			want("put", err, nil)
			m.items, m.open = append(m.items, n), m.open+1
		}
	case "get":
		v, err := q.TryGet(b.ctx)
		if len(m.items) == 0 {
			want("get", err, none())
			return
		}
		want("get", err, nil)
		if v != m.items[0] {
			r.Fatalf("got %d, want %d", v, m.items[0])
		}
		m.items = m.items[1:]
	case "reserve":
		if len(m.items) == 0 {
			return
		}
		h, err := q.Reserve(b.ctx)
		want("reserve", err, nil)
		if h.Value != m.items[0] {
			r.Fatalf("reserved %d, want %d", h.Value, m.items[0])
		}
		m.items, m.held = m.items[1:], append(m.held, h)
	case "ack":
		if len(m.held) > 0 {
			want("ack", pick().Ack(b.ctx), nil)
			m.open = max(m.open-1, 0) // TaskDone may have been called for it
		}
	case "return":
		if len(m.held) > 0 {
			h := pick()
			want("return", h.Return(b.ctx), nil)
			m.items = slices.Insert(m.items, 0, h.Value)
		}
	case "done":
		if m.open == 0 {
			want("done", q.TaskDone(b.ctx), ErrDone)
			return
		}
		want("done", q.TaskDone(b.ctx), nil)
		m.open--
	case "look":
		s, err := q.Stats(b.ctx)
		want("look", err, nil)
		if is := (Stats{len(m.items), len(m.held), m.open, m.closed}); s != is {
			r.Fatalf("%+v, want %+v", s, is)
		}
	case "close":
		want("close", q.CloseSend(b.ctx), nil)
		m.closed = true
	}
}

// Whatever several programs do at once, each item comes out once, and in the order of its
// producer.
func TestAQueueOfManyIsAQueue(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		ms := []*Manager{b.manager(), b.manager(), b.manager()}
		round := 0
		rapid.Check(b.T, func(r *rapid.T) {
			round++
			size := rapid.IntRange(0, 4).Draw(r, "maxsize")
			var sending, getting sync.WaitGroup
			var mu sync.Mutex
			var got, want []int
			open := func() *Queue[int] {
				q, err := OpenQueue[int](rapid.SampledFrom(ms).Draw(r, "program"), fmt.Sprintf("many%d", round), size)
				if err != nil {
					r.Fatal(err)
				}
				return q
			}
			for p := range rapid.IntRange(1, 3).Draw(r, "producers") {
				q, n := open(), rapid.IntRange(0, 12).Draw(r, "items")
				for i := range n {
					want = append(want, 100*p+i)
				}
				sending.Go(func() {
					for i := range n {
						if err := q.Put(b.ctx, 100*p+i); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range rapid.IntRange(1, 3).Draw(r, "consumers") {
				q, reserves := open(), rapid.Bool().Draw(r, "reserves")
				getting.Go(func() {
					last := map[int]int{}
					for {
						var v int
						var err error
						if reserves {
							var h *Reserved[int]
							if h, err = q.Reserve(b.ctx); err == nil {
								v, err = h.Value, h.Ack(b.ctx)
							}
						} else if v, err = q.Get(b.ctx); err == nil {
							err = q.TaskDone(b.ctx)
						}
						if errors.Is(err, queue.ErrClosed) {
							return
						}
						if err != nil {
							b.Error(err)
							return
						}
						if l, ok := last[v/100]; ok && l >= v {
							b.Errorf("%d after %d", v, l)
						}
						last[v/100] = v
						mu.Lock()
						got = append(got, v)
						mu.Unlock()
					}
				})
			}
			q := open()
			sending.Wait()
			if err := q.Join(b.ctx); err != nil {
				b.Error(err)
			}
			if err := q.CloseSend(b.ctx); err != nil {
				b.Error(err)
			}
			getting.Wait()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				r.Errorf("got %v, want %v", got, want)
			}
			if err := q.Delete(b.ctx); err != nil {
				r.Error(err)
			}
		})
	})
}
