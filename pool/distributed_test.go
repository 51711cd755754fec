package pool_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// site is a Redis of the test's own, with a client of it.
type site struct {
	t      *testing.T
	ctx    context.Context // bounds every wait, generously
	server *redistest.Server
	rdb    *redis.Client
	client *producer.Client
}

// onBoth runs a test on miniredis and on a real server.
func onBoth(t *testing.T, test func(t *testing.T, s *site)) {
	t.Parallel()
	t.Run("mini", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t, nil, redistest.Mini(t).Client()))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, onRedis(t))
	})
}

func onRedis(t *testing.T) *site {
	t.Helper()
	server := redistest.Start(t)
	return newSite(t, server, server.Client())
}

func newSite(t *testing.T, server *redistest.Server, rdb *redis.Client) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, server: server, rdb: rdb}
	s.client = s.producer()
	return s
}

func (s *site) producer() *producer.Client {
	s.t.Helper()
	c, err := producer.New(s.rdb)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// session makes a pool over the site's client.
func (s *site) session() *pool.DistributedPool {
	s.t.Helper()
	p, err := pool.Distributed(s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// work runs tasks, n at once, until the test is over.
func (s *site) work(n int, routes ...queue.Route) {
	s.t.Helper()
	w, err := consumer.New(s.rdb, consumer.Config{Concurrency: n, Lease: 3 * time.Second}, routes...)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
}

func (s *site) join(p *pool.DistributedPool) {
	s.t.Helper()
	if err := p.Join(s.ctx); err != nil {
		s.t.Errorf("Join: %v", err)
	}
}

// stored is how many tasks Redis has on the default queue.
func (s *site) stored() int64 {
	s.t.Helper()
	n, err := s.rdb.HLen(s.ctx, "cenote:{default}:tasks").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// empty waits until Redis has no task on the default queue.
func (s *site) empty() {
	s.t.Helper()
	for s.stored() > 0 {
		time.Sleep(2 * time.Millisecond)
	}
}

// bulk submits n tasks of double.
func (s *site) bulk(p *pool.DistributedPool, n int, opts ...queue.Option) []*queue.Future[int] {
	s.t.Helper()
	ins := make([]int, n)
	for i := range ins {
		ins[i] = i
	}
	futures, err := double.SubmitAll(s.ctx, p, ins, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return futures
}

var gated = queue.NewTask[int, int]("gated")

// handle is run for a task: it ends when the gate opens or its context does.
func (g *gate) handle(ctx context.Context, n int) (int, error) {
	g.began <- struct{}{}
	select {
	case <-g.let:
		return n, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// wantNow fails the test unless the future says want without a wait.
func wantNow(t testing.TB, f *queue.Future[int], want error) {
	t.Helper()
	if got, err := f.Result(); !errors.Is(err, want) {
		t.Fatalf("got %v, %v; want the error %v at once", got, err, want)
	}
}

func TestADistributedPoolNeedsAClient(t *testing.T) {
	if _, err := pool.Distributed(nil); !errors.Is(err, queue.ErrOption) {
		t.Errorf("no client: %v", err)
	}
}

func TestEveryVerbWorksOnADistributedPool(t *testing.T) {
	onBoth(t, func(t *testing.T, s *site) {
		let := make(chan struct{})
		talks := queue.NewTask[int, int]("talks")
		shared := queue.NewTask[int, int]("shared")
		s.work(4, double.Handler(twice), talks.Handler(func(ctx context.Context, n int) (int, error) {
			for { // until it is heard
				queue.Logf(ctx, "hello")
				select {
				case <-let:
					return n, nil
				case <-time.After(time.Millisecond):
				}
			}
		}), shared.Handler(func(ctx context.Context, n int) (int, error) {
			m, err := queue.Common[int](ctx)
			return n + m, err
		}))
		p := s.session()
		if n, err := double.Call(s.ctx, p, 4); n != 8 || err != nil {
			t.Errorf("Call: %d, %v", n, err)
		}
		var outs []int
		for n, err := range double.Map(s.ctx, p, slices.Values([]int{1, 2, 3})) {
			if err != nil {
				t.Error(err)
			}
			outs = append(outs, n)
		}
		if !slices.Equal(outs, []int{2, 4, 6}) {
			t.Errorf("Map: %v", outs)
		}
		for _, f := range s.bulk(p, 3) {
			if _, err := f.Get(s.ctx); err != nil {
				t.Error(err)
			}
		}
		if n, err := shared.Call(s.ctx, p, 4, queue.Sharing(3)); n != 7 || err != nil {
			t.Errorf("Sharing: %d, %v", n, err)
		}
		talk := submit(t, p, talks, 5, queue.Keep(time.Hour))
		for e := range talk.Events(s.ctx) {
			if e.Text != "hello" {
				t.Errorf("the handler said %q", e.Text)
			}
			break
		}
		close(let)
		wantValue(t, talk, 5)
		again, err := talks.Open(s.ctx, p, talk.ID())
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, again, 5)
		if err := again.Forget(s.ctx); err != nil {
			t.Error(err)
		}
		late := submit(t, p, double, 1, queue.Delay(time.Hour))
		if r, err := late.Cancel(s.ctx); r != queue.CancelBeforeStart || err != nil {
			t.Errorf("Cancel: %v, %v", r, err)
		}
		if err := p.Shutdown(s.ctx); err != nil { // C15
			t.Error(err)
		}
	})
}

func TestADistributedPoolRunsAllThatItAccepted(t *testing.T) { // C07, C09, C13
	onBoth(t, func(t *testing.T, s *site) {
		p := s.session()
		var ran atomic.Int32
		var futures []*queue.Future[int]
		for n := range 10 {
			futures = append(futures, submit(t, p, double, n))
		}
		submit(t, p, double, 10, queue.NoReply())
		submit(t, p, double, 11, queue.Delay(50*time.Millisecond))
		p.Close()
		p.Close()
		if _, err := double.Submit(s.ctx, p, 1); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Submit to a closed pool: %v", err)
		}
		if _, err := double.SubmitAll(s.ctx, p, []int{1, 2}); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("SubmitAll to a closed pool: %v", err)
		}
		brief, cancel := context.WithCancel(s.ctx)
		cancel()
		if err := p.Join(brief); !errors.Is(err, context.Canceled) {
			t.Errorf("Join while nobody works, with a ctx that is done: %v", err)
		}
		s.work(2, double.Handler(func(ctx context.Context, n int) (int, error) { ran.Add(1); return twice(ctx, n) }))
		s.join(p)
		if ran.Load() != 12 {
			t.Errorf("%d ran when Join returned, want 12", ran.Load())
		}
		for n, f := range futures {
			if got, err := f.Result(); got != 2*n || err != nil {
				t.Errorf("task %d: %d, %v", n, got, err)
			}
		}
		if err := p.Shutdown(s.ctx); err != nil {
			t.Errorf("Shutdown of a pool that is gone: %v", err)
		}
		p.Terminate()
		// The worker is not the session's to stop.
		if n, err := double.Call(s.ctx, s.client, 3); n != 6 || err != nil {
			t.Errorf("after the pool's end: %d, %v", n, err)
		}
	})
}

func TestADistributedPoolIsJoinedWhenClosed(t *testing.T) { // C08
	onBoth(t, func(t *testing.T, s *site) {
		p := s.session()
		if err := p.Join(s.ctx); !errors.Is(err, queue.ErrPoolRunning) {
			t.Errorf("Join of an open pool: %v", err)
		}
		p.Close()
		s.join(p)
	})
}

func TestWhatADistributedPoolAcceptsWhileItClosesRuns(t *testing.T) { // C06, C16
	onBoth(t, func(t *testing.T, s *site) {
		s.work(4, double.Handler(twice))
		for range 20 {
			p := s.session()
			var mu sync.Mutex
			futures := map[*queue.Future[int]]int{}
			var all sync.WaitGroup
			first := make(chan struct{}, 4)
			for range 4 {
				all.Go(func() {
					for n := 0; ; n++ {
						f, err := double.Submit(s.ctx, p, n)
						if err != nil {
							if !errors.Is(err, queue.ErrClosed) {
								t.Errorf("submit: %v", err)
							}
							return
						}
						mu.Lock()
						futures[f] = n
						mu.Unlock()
						if n == 5 {
							first <- struct{}{}
						}
					}
				})
			}
			<-first
			if err := p.Shutdown(s.ctx); err != nil {
				t.Error(err)
			}
			all.Wait()
			for f, n := range futures {
				if got, err := f.Result(); got != 2*n || err != nil {
					t.Fatalf("an accepted task after Shutdown: %d, %v", got, err)
				}
			}
		}
	})
}

func TestTerminateEndsTheSessionAndNothingElse(t *testing.T) { // C10, C11
	onBoth(t, func(t *testing.T, s *site) {
		g := newGate()
		var ran atomic.Int32
		s.work(2, gated.Handler(g.handle), double.Handler(func(ctx context.Context, n int) (int, error) { ran.Add(1); return twice(ctx, n) }))
		p := s.session()
		running := []*queue.Future[int]{submit(t, p, gated, 1), submit(t, p, gated, 2)}
		<-g.began
		<-g.began
		waiting := s.bulk(p, 10)
		waiting = append(waiting, s.bulk(p, 2, queue.Delay(time.Hour))...)
		silent := submit(t, p, double, 3, queue.NoReply())
		other := submit(t, s.client, double, 5)
		p.Terminate()
		for _, f := range append(running, waiting...) {
			wantNow(t, f, queue.ErrTerminated)
		}
		wantNow(t, silent, queue.ErrNoReply)
		s.join(p)
		wantValue(t, other, 10) // the handlers were interrupted, or no slot would be free
		wantValue(t, submit(t, s.client, double, 6), 12)
		if ran.Load() != 2 {
			t.Errorf("%d tasks of double ran, want the two of others", ran.Load())
		}
		s.empty()
		if _, err := double.Submit(s.ctx, p, 1); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Submit after Terminate: %v", err)
		}
	})
}

func TestTerminateDropsThousands(t *testing.T) { // C12
	onBoth(t, func(t *testing.T, s *site) {
		p := s.session()
		n := 10_000
		if s.server == nil {
			n = 1000 // its scripts are slow
		}
		futures := s.bulk(p, n)
		p.Terminate()
		for _, f := range futures {
			wantNow(t, f, queue.ErrTerminated)
		}
		s.join(p)
		if n := s.stored(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

func TestTerminateWithoutRedis(t *testing.T) { // C11
	t.Parallel()
	s := onRedis(t)
	p := s.session()
	futures := s.bulk(p, 100)
	s.server.Kill()
	p.Terminate()
	for _, f := range futures {
		wantNow(t, f, queue.ErrTerminated)
	}
	_ = s.client.Close() // nobody insists any more
	if err := p.Join(s.ctx); err == nil || s.ctx.Err() != nil {
		t.Errorf("Join says %v, although nobody knows what became of the tasks", err)
	}
}

// What a worker had that is lost is called off when another one takes it over, or
// interrupted if that one has begun it.
func TestTerminateReachesWhatALostWorkerHad(t *testing.T) { // C11
	onBoth(t, func(t *testing.T, s *site) {
		p := s.session()
		f := submit(t, p, gated, 1)
		id, root := f.ID(), "cenote:{default}:"
		lapse := time.Now().Add(2 * time.Second).UnixMilli()
		if n := s.rdb.LRem(s.ctx, root+"ready:1", 0, string(id[:])).Val(); n != 1 {
			t.Fatalf("the task is %d times where it should wait", n)
		}
		s.rdb.ZAdd(s.ctx, root+"alive", redis.Z{Score: float64(lapse), Member: "lost"})
		s.rdb.HSet(s.ctx, root+"run:lost", "#", lapse, string(id[:]), "0:1")
		s.work(2, gated.Handler(newGate().handle)) // only an interruption ends it
		p.Terminate()
		wantNow(t, f, queue.ErrTerminated)
		s.join(p)
		s.empty()
	})
}

func TestTerminateReachesWhatIsOnItsWay(t *testing.T) { // C06, C11
	t.Parallel()
	for name, end := range map[string]struct {
		do   func(p *pool.DistributedPool)
		want error
	}{
		"Terminate":     {func(p *pool.DistributedPool) { p.Terminate() }, queue.ErrTerminated},
		"CancelPending": {func(p *pool.DistributedPool) { _ = p.Shutdown(context.Background(), pool.CancelPending()) }, queue.ErrCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onRedis(t)
			p := s.session()
			before := submit(t, p, double, 1, queue.Delay(time.Hour))
			if err := s.rdb.Do(s.ctx, "CLIENT", "PAUSE", 600_000, "WRITE").Err(); err != nil {
				t.Fatal(err)
			}
			var late *queue.Future[int]
			submitted := make(chan error)
			go func() {
				var err error
				late, err = double.Submit(s.ctx, p, 2) // with a deadline: the trip is another goroutine's
				submitted <- err
			}()
			for p.UnderWay() == 0 {
				runtime.Gosched()
			}
			ended := make(chan struct{})
			go func() { defer close(ended); end.do(p) }()
			for !p.Closed() {
				runtime.Gosched()
			}
			if err := s.rdb.Do(s.ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
				t.Fatal(err)
			}
			if err := <-submitted; err != nil {
				t.Fatal(err)
			}
			<-ended
			s.join(p)
			wantNow(t, before, end.want)
			wantNow(t, late, end.want)
			if n := s.stored(); n != 0 {
				t.Errorf("%d tasks are left", n)
			}
		})
	}
}

func TestADistributedPoolCanCancelWhatHasNotStarted(t *testing.T) { // C14
	onBoth(t, func(t *testing.T, s *site) {
		g := newGate()
		s.work(2, gated.Handler(g.handle), double.Handler(twice))
		p := s.session()
		running := []*queue.Future[int]{submit(t, p, gated, 1), submit(t, p, gated, 2)}
		<-g.began
		<-g.began
		pending := s.bulk(p, 50)
		shut := make(chan error)
		for range 2 {
			go func() { shut <- p.Shutdown(s.ctx, pool.CancelPending()) }()
		}
		for _, f := range pending {
			wantErr(t, f, queue.ErrCancelled)
		}
		for _, f := range running {
			wantNow(t, f, queue.ErrNotReady) // a task that runs is left alone
		}
		close(g.let)
		for range 2 {
			if err := <-shut; err != nil {
				t.Error(err)
			}
		}
		wantValue(t, running[0], 1)
		wantValue(t, running[1], 2)
	})
}

// What ctx bounds is the wait.
func TestShutdownCancelsWhateverItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, s *site) {
		p := s.session()
		pending := s.bulk(p, 50)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		if err := p.Shutdown(ctx, pool.CancelPending()); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		for _, f := range pending {
			wantErr(t, f, queue.ErrCancelled)
		}
		s.join(p)
	})
}

// C35
func TestAMapThatIsLeftCancelsWhatHasNotStarted(t *testing.T) {
	onBoth(t, func(t *testing.T, s *site) {
		s.work(2, double.Handler(twice))
		p := s.session()
		endless := func(yield func(int) bool) {
			for n := 0; yield(n); n++ {
				if n > 1<<30 {
					return
				}
			}
		}
		for n, err := range double.Map(s.ctx, p, endless, queue.Chunk(1)) {
			if err != nil {
				t.Fatal(err)
			}
			if n > 200 {
				break
			}
		}
		if err := p.Shutdown(s.ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestALinkedSessionsTasksDieWithTheProgram(t *testing.T) {
	onBoth(t, func(t *testing.T, s *site) {
		g := newGate()
		s.work(2, gated.Handler(g.handle), double.Handler(twice))
		p, err := pool.NewDistributed(pool.DistributedConfig{Linked: true}, s.client)
		if err != nil {
			t.Fatal(err)
		}
		running := submit(t, p, gated, 1)
		<-g.began
		free := s.session() // its tasks outlive the program
		waiting := submit(t, free, double, 4, queue.Delay(50*time.Millisecond))
		there := s.producer()
		again, err := gated.Open(s.ctx, there, running.ID())
		if err != nil {
			t.Fatal(err)
		}
		after, err := double.Open(s.ctx, there, waiting.ID())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.client.Close() // what the program does last
		wantErr(t, again, queue.ErrCancelled)
		wantValue(t, after, 8)
	})
}

// The books hold what is under way and nothing more.
func TestADistributedPoolForgetsWhatHasEnded(t *testing.T) {
	onBoth(t, func(t *testing.T, s *site) {
		s.work(4, double.Handler(twice))
		p := s.session()
		const window, total = 100, 5000
		src := func(yield func(int) bool) {
			for n := range total {
				if !yield(n) {
					return
				}
			}
		}
		for range double.Map(s.ctx, p, src, queue.Chunk(1), queue.Window(window)) {
			if n := p.Unfinished(); n > 2*window {
				t.Fatalf("%d tasks on the books, the window is %d", n, window)
			}
		}
		same := submit(t, p, double, 1, queue.ID("one"), queue.Delay(time.Hour))
		submit(t, p, double, 1, queue.ID("one"), queue.Delay(time.Hour))
		if n := p.Unfinished(); n != 1 {
			t.Errorf("one task is on the books %d times", n)
		}
		if _, err := same.Cancel(s.ctx); err != nil {
			t.Error(err)
		}
		if n := p.Unfinished(); n != 0 {
			t.Errorf("%d tasks on the books when all have ended", n)
		}
	})
}
