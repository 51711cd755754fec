package consumer_test

import (
	"context"
	"testing"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestAsideLendsTheSlot(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		for _, slots := range []int{1, 3} {
			var c crowd
			depth := queue.NewTask[int, int]("depth")
			w := b.work(consumer.Config{Concurrency: slots}, depth.Handler(func(ctx context.Context, n int) (int, error) {
				c.enter()
				defer c.leave()
				if n == 0 {
					return 0, nil
				}
				below := 0
				c.leave()
				err := queue.Aside(ctx, func() (err error) {
					below, err = depth.Call(ctx, b.x, n-1)
					return err
				})
				c.enter()
				return below + 1, err
			}))
			var fs []*queue.Future[int]
			for n := range 8 {
				fs = append(fs, submit(b, depth, n))
			}
			for n, f := range fs {
				if got := value(b, f); got != n {
					t.Errorf("%d tasks below, want %d", got, n)
				}
			}
			w.stop()
			if c.most > slots {
				t.Errorf("%d at once on %d slots", c.most, slots)
			}
		}
	})
}

// A handler may end while a goroutine that it has left behind is in Aside.
func TestAsideOutlivesItsHandler(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		leave := queue.NewTask[int, int]("leave")
		let, entered := make(chan struct{}), make(chan struct{})
		left := make(chan struct{})
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice), leave.Handler(func(ctx context.Context, n int) (int, error) {
			go func() {
				defer close(left)
				_ = queue.Aside(ctx, func() error {
					close(entered)
					<-let
					return nil
				})
			}()
			<-entered
			return n, nil
		}))
		if got := value(b, submit(b, leave, 7)); got != 7 {
			t.Errorf("value %d", got)
		}
		for i := range 2 {
			for n := range 5 {
				if got := value(b, submit(b, double, n)); got != 2*n {
					t.Errorf("value %d", got)
				}
			}
			if i == 0 {
				close(let)
				b.wait("the goroutine", left)
			}
		}
	})
}
