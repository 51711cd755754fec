package consumer_test

import (
	"context"
	"testing"
	"time"
	"fmt"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

func TestZZ1(t *testing.T) {
	for _, c := range []int{1, 2, 4} {
		b := onRedis(t)
		w := b.work(consumer.Config{Concurrency: c, Queues: []consumer.Queue{{Name: "a"}, {Name: "b"}}}, double.Handler(func(ctx context.Context, n int) (int, error) { time.Sleep(time.Millisecond); return n, nil }))
		b.until("", func() bool { return b.rdb.SCard(b.ctx, "cenote:{a}:idle").Val() == 1 && b.rdb.SCard(b.ctx, "cenote:{b}:idle").Val() == 1 })
		t0 := time.Now()
		fs, err := double.SubmitAll(b.ctx, b.x, make([]int, 200), queue.On("a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			value(b, f)
		}
		t.Log(c, "drain a", time.Since(t0))
		for i := range 6 {
			t0 := time.Now()
			value(b, submit(b, double, 1, queue.On([]string{"a", "b"}[i%2])))
			t.Log(c, i%2, time.Since(t0))
		}
		w.stop()
	}
}

func TestZZ3(t *testing.T) {
	b := onRedis(t)
	b.x.Declare(b.ctx, "default", queue.Layout{Partitions: 4})
	b.work(consumer.Config{Concurrency: 2}, double.Handler(twice))
	time.Sleep(300*time.Millisecond)
	for i := range 6 {
		t0 := time.Now()
		value(b, submit(b, double, 1))
		t.Log(i, time.Since(t0))
	}
}

func TestZZ4(t *testing.T) {
	b := onRedis(t)
	b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
	b.idle(1)
	t0 := time.Now()
	var fs []*queue.Future[int]
	for i := range 5 {
		fs = append(fs, submit(b, double, 1, queue.Delay(time.Duration(i+1)*200*time.Millisecond)))
	}
	s := ""
	for _, f := range fs {
		value(b, f)
		s += fmt.Sprint(time.Since(t0), " ")
	}
	t.Log(s)
}
