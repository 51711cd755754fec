package consumer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

const parts = 6

// onCluster makes a queue of several partitions on a cluster of three masters.
func onCluster(t *testing.T, args ...string) (ctx context.Context, g *redistest.Cluster, rdb *redis.ClusterClient, x *producer.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	g = redistest.StartCluster(t, 3, args...)
	rdb = g.Client()
	x, err := producer.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	if _, err := x.Declare(ctx, queue.DefaultQueue, queue.Layout{Partitions: parts}); err != nil {
		t.Fatal(err)
	}
	masters := map[*redistest.Server]bool{}
	for part := range parts {
		masters[masterOf(g, uint16(part))] = true
	}
	if masters[nil] || len(masters) < 2 {
		t.Fatalf("the partitions are on %d masters; want several", len(masters))
	}
	return ctx, g, rdb, x
}

func masterOf(g *redistest.Cluster, part uint16) *redistest.Server {
	return g.MasterOf(g.Slot(store.Root(queue.DefaultQueue, part)))
}

// spread counts runs by partition, and remembers their order.
type spread struct {
	mu    sync.Mutex
	order []uint16
}

func (s *spread) handle(ctx context.Context, n int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, queue.FromContext(ctx).ID.Partition())
	return n * n, nil
}

func (s *spread) first(n int) map[uint16]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[uint16]int{}
	for _, p := range s.order[:min(n, len(s.order))] {
		count[p]++
	}
	return count
}

// work runs a worker until the test is over.
func work(t *testing.T, rdb redis.UniversalClient, cfg consumer.Config, routes ...queue.Route) {
	t.Helper()
	w, err := consumer.New(rdb, cfg, routes...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// A worker serves all partitions of its queues alike, on whatever nodes of a cluster they
// are, and outcomes come back from all of them.
func TestPartitionsOfAClusterAreServedEvenly(t *testing.T) {
	t.Parallel()
	ctx, _, rdb, x := onCluster(t)
	square := queue.NewTask[int, int]("square")
	const tasks = 6000
	futs, err := square.SubmitAll(ctx, x, numbers(tasks))
	if err != nil {
		t.Fatal(err)
	}
	var s spread
	work(t, rdb, consumer.Config{Concurrency: 4}, square.Handler(s.handle))
	for n, fut := range futs {
		if v, err := fut.Get(ctx); v != n*n || err != nil {
			t.Fatalf("the outcome of task %d is %d, %v", n, v, err)
		}
	}
	// Each has about a sixth of the tasks. While all have some, none falls behind by
	// more than what one turn claims.
	got := s.first(tasks / 2)
	for part := range uint16(parts) {
		if share := tasks / 2 / parts; got[part] < share/4 {
			t.Errorf("partition %d had %d of its %d tasks while half of all tasks were run: %v", part, got[part], share, got)
		}
	}
	t.Logf("of the first half of %d tasks: %v", tasks, got)
}

// A partition that has more than can be done does not keep the others from theirs.
func TestAFullPartitionStarvesNoOther(t *testing.T) {
	t.Parallel()
	ctx, _, rdb, x := onCluster(t)
	square := queue.NewTask[int, int]("square")
	at := func(part uint16) *queue.Future[int] { return submitAt(ctx, t, x, square, part) }
	const flood = 1500
	for range flood {
		at(3)
	}
	var few []*queue.Future[int]
	for part := range uint16(parts) {
		if part != 3 {
			few = append(few, at(part), at(part))
		}
	}
	var s spread
	slow := func(ctx context.Context, n int) (int, error) {
		time.Sleep(time.Millisecond)
		return s.handle(ctx, n)
	}
	work(t, rdb, consumer.Config{Concurrency: 2}, square.Handler(slow))
	for _, fut := range few {
		if v, err := fut.Get(ctx); v != 4 || err != nil {
			t.Fatalf("the outcome is %d, %v", v, err)
		}
	}
	if done := s.first(flood)[3]; done >= flood {
		t.Errorf("all %d tasks of one partition were run before those of the others", done)
	} else {
		t.Logf("%d of %d tasks of the full partition were run before all of the others", done, flood)
	}
}

// submitAt submits a task to a partition.
func submitAt(ctx context.Context, t *testing.T, x *producer.Client, square queue.Task[int, int], part uint16) *queue.Future[int] {
	t.Helper()
	fut, err := square.Submit(ctx, x, 2, queue.ID(queue.NewTaskID(part).String()))
	if err != nil {
		t.Fatal(err)
	}
	return fut
}

// A node that hangs, and is not replaced, holds up its own partitions and no others.
func TestAHungNodeHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	ctx, g, rdb, x := onCluster(t, "--cluster-replica-no-failover", "yes", "--cluster-require-full-coverage", "no")
	square := queue.NewTask[int, int]("square")
	var s spread
	work(t, rdb, consumer.Config{Concurrency: 2, Lease: 2 * time.Second, Grace: -1}, square.Handler(s.handle))
	for part := range uint16(parts) {
		if v, err := submitAt(ctx, t, x, square, part).Get(ctx); v != 4 || err != nil {
			t.Fatalf("partition %d: %d, %v", part, v, err)
		}
	}
	hung := masterOf(g, 0)
	away := map[uint16]bool{}
	for part := range uint16(parts) {
		away[part] = masterOf(g, part) == hung
	}
	var waits []*queue.Future[int]
	for range 20 { // what the worker has not claimed yet when the node hangs
		waits = append(waits, submitAt(ctx, t, x, square, 0))
	}
	hung.Freeze()
	defer hung.Thaw()
	for range 3 {
		for part := range uint16(parts) {
			if away[part] {
				continue
			}
			for range 20 {
				if v, err := submitAt(ctx, t, x, square, part).Get(ctx); v != 4 || err != nil {
					t.Fatalf("partition %d while another node hangs: %d, %v", part, v, err)
				}
			}
		}
		time.Sleep(time.Second) // for what is on the way to the hung node to time out
	}
	hung.Thaw()
	for _, fut := range waits {
		if v, err := fut.Get(ctx); v != 4 || err != nil {
			t.Fatalf("the node is back: %d, %v", v, err)
		}
	}
}
