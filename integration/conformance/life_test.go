package conformance

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// lifeRows are about a pool's beginning, its workers and its end.
var lifeRows = []row{
	{"C06", "LPD", "a closed pool refuses; what it accepted while closing runs", func(b *bed) {
		for range b.e.rounds {
			p := b.pool(0)
			var accepted atomic.Int64
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for n := 0; ; n++ {
						f, err := double.Submit(b.ctx, p, n)
						if err != nil {
							is(b, err, queue.ErrClosed)
							return
						}
						accepted.Add(1)
						if got, err := f.Get(b.ctx); err != nil || got != 2*n {
							b.Errorf("an accepted task: %d, %v", got, err)
							return
						}
					}
				})
			}
			b.until("a task to be accepted", func() bool { return accepted.Load() > 0 })
			p.Close()
			all.Wait()
		}
	}},
	{"C07", "LPD", "Close may be repeated; all that waits runs", func(b *bed) {
		p := b.pool(0)
		held := b.occupy()
		waiting := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, p, slices.Collect(numbers(10))))
		p.Close()
		p.Close()
		held.open()
		if got := must[[]int](b)(queue.Gather(b.ctx, waiting...)); !slices.Equal(got, doubled(10)) {
			b.Errorf("values %v", got)
		}
	}},
	{"C08", "LPD", "Join before Close is refused", func(b *bed) {
		p := b.pool(0)
		is(b, p.Join(b.ctx), queue.ErrPoolRunning)
		p.Close()
		if err := p.Join(b.ctx); err != nil {
			b.Error(err)
		}
	}},
	{"C09", "LPD", "Close and Join: all tasks run, as many at once as there are workers", func(b *bed) {
		p := b.pool(0)
		doors := make([]*door, 3*workers)
		for i := range doors {
			doors[i] = newDoor(b)
			doors[i].submit()
		}
		p.Close()
		joined := run(func() error { return p.Join(b.ctx) })
		begun := func() []*door {
			return slices.DeleteFunc(slices.Clone(doors), func(d *door) bool { return d.runs() == 0 || d.has("open") })
		}
		b.until("the first round", func() bool { return len(begun()) == workers })
		for left := len(doors); left > 0; {
			b.until("a task to begin", func() bool { return len(begun()) > 0 })
			round := begun()
			if len(round) > workers {
				b.Errorf("%d at once on %d workers", len(round), workers)
			}
			select {
			case err := <-joined:
				b.Fatalf("Join returns %v with %d tasks to go", err, left)
			default:
			}
			for _, d := range round {
				d.open()
			}
			left -= len(round)
		}
		if err := wait(b, joined); err != nil {
			b.Error(err)
		}
	}},
	{"C10", "LPD", "Terminate: what has ended has ended, the rest never runs", func(b *bed) {
		p := b.pool(0)
		b.fine()
		held, never := b.occupy(), newDoor(b)
		never.open()
		rest := never.submitN(10)
		p.Terminate()
		held.open()
		if err := p.Join(b.ctx); err != nil {
			b.Error(err)
		}
		for _, f := range rest {
			fails(b, f, queue.ErrTerminated)
		}
		if n := never.runs(); n != 0 {
			b.Errorf("%d tasks ran after all", n)
		}
	}},
	{"C11", "LPD", "after Terminate every future is done, and says so", func(b *bed) {
		p := b.pool(0)
		d := newDoor(b)
		fs := d.submitN(3 * workers)
		fs = append(fs, submit(b, double, 1, queue.Delay(time.Hour)))
		d.await(workers)
		p.Terminate()
		for _, f := range fs {
			ended(b, f)
			fails(b, f, queue.ErrTerminated)
		}
	}},
	{"C12", "LPD", "Terminate with 10,000 tasks that wait", func(b *bed) {
		p := b.pool(0)
		b.occupy()
		fs := newDoor(b).submitN(10_000)
		wait(b, run(func() error { p.Terminate(); return nil }))
		for _, f := range fs {
			if _, err := f.Result(); !errors.Is(err, queue.ErrTerminated) {
				b.Fatalf("a future says %v", err)
			}
		}
	}},
	{"C13", "LPD", "Shutdown waits for what runs and what waits, and may be repeated", func(b *bed) {
		p := b.pool(0)
		held := b.occupy()
		waiting := must[[]*queue.Future[int]](b)(double.SubmitAll(b.ctx, p, slices.Collect(numbers(10))))
		down := run(func() error { return p.Shutdown(b.ctx) })
		b.until("the pool to be closed", func() bool { return errors.Is(p.Join(gone(b)), context.Canceled) })
		select {
		case err := <-down:
			b.Errorf("it returned, with %v, while tasks run", err)
		default:
		}
		held.open()
		for range 2 {
			if err := wait(b, down); err != nil {
				b.Error(err)
			}
			for i, f := range waiting {
				if got, err := f.Result(); err != nil || got != 2*i {
					b.Errorf("after Shutdown: %d, %v", got, err)
				}
			}
			down = run(func() error { return p.Shutdown(b.ctx) })
		}
	}},
	{"C14", "LPD", "Shutdown(CancelPending): what waits is cancelled, what runs ends", func(b *bed) {
		p := b.pool(0)
		d := newDoor(b)
		fs := d.submitN(50)
		d.await(workers)
		down := run(func() error { return p.Shutdown(b.ctx, pool.CancelPending()) })
		b.until("what waits to be cancelled", func() bool {
			return len(slices.DeleteFunc(slices.Clone(fs), func(f *queue.Future[int]) bool { return f.State() == queue.StateCancelled })) == workers
		})
		d.open()
		if err := wait(b, down); err != nil {
			b.Error(err)
		}
		finished := 0
		for _, f := range fs {
			if v, err := f.Result(); err == nil && v == 7 {
				finished++
			} else {
				is(b, err, queue.ErrCancelled)
			}
		}
		if finished != workers || d.runs() != workers {
			b.Errorf("%d finished, %d ran", finished, d.runs())
		}
	}},
	{"C15", "LPD", "Shutdown right after Submit and Cancel", func(b *bed) {
		for range b.e.rounds {
			p := b.pool(0)
			f := submit(b, double, 1)
			if _, err := f.Cancel(b.ctx); err != nil {
				b.Error(err)
			}
			if err := p.Shutdown(b.ctx); err != nil {
				b.Error(err)
			}
			ended(b, f)
		}
	}},
	{"C16", "LPD", "Shutdown of a pool that is full and has more coming", func(b *bed) {
		p := b.pool(workers)
		held := b.occupy()
		submitters := make(chan error)
		var accepted atomic.Int64
		for range 8 {
			go func() {
				for {
					f, err := double.Submit(b.ctx, p, 1)
					if err != nil {
						submitters <- err
						return
					}
					accepted.Add(1)
					f.OnDone(func(v int, err error) {
						if v != 2 || err != nil {
							b.Errorf("an accepted task: %d, %v", v, err)
						}
						accepted.Add(-1)
					})
				}
			}()
		}
		b.until("a queue", func() bool { return accepted.Load() >= workers })
		down := run(func() error { return p.Shutdown(b.ctx) })
		for range 8 {
			is(b, wait(b, submitters), queue.ErrClosed)
		}
		held.open()
		if err := wait(b, down); err != nil {
			b.Error(err)
		}
		b.until("the last callback", func() bool { return accepted.Load() == 0 })
	}},
	{"C17", "LP", "Close alone lets work go on; no goroutine or child is left after Join", func(b *bed) {
		before := runtime.NumGoroutine()
		var pools []lifePool
		for range b.e.rounds {
			p := b.pool(0)
			held := b.occupy()
			f := submit(b, double, 1)
			p.Close()
			held.open()
			if got := value(b, f); got != 2 {
				b.Errorf("value %d", got)
			}
			pools = append(pools, p)
		}
		for _, p := range pools {
			if err := p.Join(b.ctx); err != nil {
				b.Error(err)
			}
			if p, ok := p.(*pool.ProcessPool); ok && len(p.PIDs()) > 0 {
				b.Errorf("children %v are left", p.PIDs())
			}
		}
		b.until("the goroutines to be gone", func() bool { return runtime.NumGoroutine() <= before })
	}},
	{"C18", "LP", "a pool has at least one worker; GOMAXPROCS unless told", by{"P": oneKid, "L": func(b *bed) {
		for _, n := range []int{0, -1} {
			_, err := pool.Local(n)
			is(b, err, queue.ErrOption)
		}
		if p := localPool(b.T, pool.Config{}); p.Workers() != runtime.GOMAXPROCS(0) {
			b.Errorf("%d workers", p.Workers())
		}
	}}.test},
	{"C19", "LPD", "never more at once than there are slots", func(b *bed) {
		dir := b.TempDir()
		var most int
		for got, err := range crowded.Map(b.ctx, b.x, slices.Values(slices.Repeat([]string{dir}, 60)), queue.Chunk(1)) {
			most = max(most, must[int](b)(got, err))
		}
		if most > workers || most < 2 {
			b.Errorf("%d at once on %d slots", most, workers)
		}
	}},
	{"C20", "LP", "an idle worker is used again", by{"P": reuseKid, "L": func(b *bed) {
		synctest.Test(b.T, func(t *testing.T) {
			var begun atomic.Int64
			p := localPool(t, pool.Config{Workers: 8, Initializer: func(context.Context) error { begun.Add(1); return nil }}, routes()...)
			for range 20 {
				if _, err := double.Call(t.Context(), p, 1); err != nil {
					t.Error(err)
				}
				synctest.Wait() // until the worker has nothing to do
			}
			if begun.Load() != 1 {
				t.Errorf("%d workers for one task after the other", begun.Load())
			}
		})
	}}.test},
	{"C76", "LP", "the Initializer runs once in every worker, before its first task", by{"P": initKids, "L": func(b *bed) {
		var begun atomic.Int64
		b.x = localPool(b.T, pool.Config{Workers: workers, Initializer: func(context.Context) error { begun.Add(1); return nil }}, routes()...)
		held := b.occupy()
		if n := begun.Load(); n != workers {
			b.Errorf("it ran %d times before %d workers worked", n, workers)
		}
		held.open()
		b.fine()
		fails(b, submit(b, exits, 1), queue.ErrExited) // ends the goroutine: another takes its place
		b.occupy()
		if n := begun.Load(); n != workers+1 {
			b.Errorf("it ran %d times for %d workers and one in the place of another", n, workers)
		}
	}}.test},
	{"C77", "LP", "an Initializer that keeps failing breaks the pool", by{"P": brokenKids, "L": func(b *bed) {
		var tries atomic.Int64
		boom := errors.New("boom")
		b.x = localPool(b.T, pool.Config{Workers: 1, Initializer: func(context.Context) error { tries.Add(1); return boom }}, routes()...)
		pending := submit(b, double, 1)
		fails(b, pending, queue.ErrPoolBroken)
		fails(b, pending, boom)
		_, err := double.Submit(b.ctx, b.x, 1)
		is(b, err, queue.ErrPoolBroken)
		if n := tries.Load(); n < 2 || n > 10 {
			b.Errorf("it was tried %d times", n)
		}
	}}.test},
	{"C100", "LPD", "a task that waits on its own pool: refused if that cannot end, or warned", by{
		"L": func(b *bed) {
			var p *pool.LocalPool
			p = localPool(b.T, pool.Config{Workers: 1}, append(routes(), nested.Handler(func(ctx context.Context, n int) (int, error) {
				return double.Call(ctx, p, n)
			}))...)
			b.x = p
			fails(b, submit(b, nested, 1), queue.ErrWouldDeadlock)
			b.fine()
		},
		"P": askKid,
		"D": func(b *bed) {
			s := newSite(b.T)
			b.x = s.client()
			w := s.worker(1, 0)
			f := submit(b, nested, 1)
			b.until("a warning", func() bool { return strings.Contains(w.said(), "holds the only slot") })
			s.worker(1, 0) // now there is another slot
			if got := value(b, f); got != 2 {
				b.Errorf("value %d", got)
			}
		},
	}.test},
}
