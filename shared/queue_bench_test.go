package shared

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/proctest"
	"github.com/cenote-go/cenote/internal/redistest"
)

// BenchmarkQueue has this process put what another process gets, each with so many
// goroutines.
func BenchmarkQueue(b *testing.B) {
	for _, width := range []int{1, 64} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			s := redistest.Start(b)
			ctx := context.Background()
			m, err := New(redis.NewClient(s.Options()))
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close(ctx)
			q, err := OpenQueue[int](m, "q", 1000)
			if err != nil {
				b.Fatal(err)
			}
			cmd := proctest.Self(b, fmt.Sprintf("%s=drain %s %d", tubeEnv, s.Addr(), width))
			cmd.Args = append(cmd.Args, "-test.run=^TestTubeProcess$")
			in, err := cmd.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			p, err := proctest.Start(cmd)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { p.Kill(); _ = in.Close() }()
			if err := q.Put(ctx, 0); err != nil { // until the other one is there
				b.Fatal(err)
			}
			if err := q.Join(ctx); err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var all sync.WaitGroup
			for range width {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := q.Put(ctx, 1); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			if err := q.CloseSend(ctx); err != nil {
				b.Fatal(err)
			}
			for range q.All(ctx) { // what the other one has left
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
