package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/shared"
)

// putAll is a producer of a queue that holds Slots items: it puts 0, 1 ... and ends.
func putAll(sc script, rdb *redis.Client, _ *producer.Client) error {
	return sharing(rdb, func(ctx context.Context, m *shared.Manager) error {
		q, err := shared.OpenQueue[int](m, sc.Queue, sc.Slots)
		if err != nil {
			return err
		}
		for i := range sc.Items {
			if err := q.Put(ctx, i); err != nil {
				return fmt.Errorf("put %d: %w", i, err)
			}
		}
		return nil
	})
}

// getAll is a consumer of it: what it gets, until the end, it puts on another queue.
func getAll(sc script, rdb *redis.Client, _ *producer.Client) error {
	return sharing(rdb, func(ctx context.Context, m *shared.Manager) error {
		q, err := shared.OpenQueue[int](m, sc.Queue, sc.Slots)
		if err != nil {
			return err
		}
		out, err := shared.OpenQueue[int](m, sc.Queue+".got", 0)
		if err != nil {
			return err
		}
		for v, err := range q.All(ctx) {
			if err == nil {
				err = out.Put(ctx, v)
			}
			if err == nil {
				err = q.TaskDone(ctx)
			}
			if err != nil {
				return err
			}
		}
		return out.CloseSend(ctx)
	})
}

// echo has end B of a pipe, sends back what it gets, and at the end waits to be killed.
func echo(sc script, rdb *redis.Client, _ *producer.Client) error {
	return sharing(rdb, func(ctx context.Context, m *shared.Manager) error {
		p, err := shared.OpenPipe[string](m, sc.Queue, shared.Lease(shared.MinLease))
		if err != nil {
			return err
		}
		end, err := p.B(ctx)
		if err != nil {
			return err
		}
		for {
			v, err := end.Recv(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return end.Close(ctx)
			case err != nil:
				return err
			}
			if err := end.Send(ctx, "echo of "+v); err != nil {
				return err
			}
		}
	})
}

// sharing runs f with a manager, until the test is over.
func sharing(rdb *redis.Client, f func(context.Context, *shared.Manager) error) error {
	m, err := shared.New(rdb)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(untilClosed(), within)
	defer cancel()
	return errors.Join(f(ctx, m), m.Close(context.WithoutCancel(ctx)))
}

// manager is one of this process.
func (b *bed) manager() *shared.Manager {
	b.Helper()
	m := must[*shared.Manager](b)(shared.New(b.e.site.redis.Client()))
	b.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return m
}

func (b *bed) sharedQueue(name string, size int) *shared.Queue[int] {
	b.Helper()
	return must[*shared.Queue[int]](b)(shared.OpenQueue[int](b.manager(), name, size))
}

func (b *bed) soon() context.Context {
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	b.Cleanup(cancel)
	return ctx
}

func (b *bed) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// endsWell waits until the process has ended, which must be a good end.
func (b *bed) endsWell(p *process) {
	b.Helper()
	wait(b, p.Exited())
	if p.State().ExitCode() != 0 {
		b.Errorf("a process says: %s", p.said())
	}
}

// sharedQueueRows are about queues and pipes between processes.
var sharedQueueRows = []row{
	{"C81", "D", "Put waits at maxsize, Get wakes it, a deadline is ErrFull; TryPut", func(b *bed) {
		q := b.sharedQueue("c81", 2)
		p := b.e.site.play(script{Part: "putter", Queue: "c81", Slots: 2, Items: 6})
		b.until("the queue to be full", func() bool { return must[bool](b)(q.Full(b.ctx)) })
		is(b, q.TryPut(b.ctx, 9), shared.ErrFull)
		err := q.Put(b.soon(), 9)
		is(b, err, shared.ErrFull)
		is(b, err, context.DeadlineExceeded)
		for want := range 6 {
			if v := must[int](b)(q.Get(b.ctx)); v != want {
				b.Errorf("got %d, want %d", v, want)
			}
		}
		b.endsWell(p)
		b.ok(q.TryPut(b.ctx, 9))
	}},
	{"C82", "D", "Get waits, in each producer's order, a deadline and TryGet are ErrEmpty", func(b *bed) {
		q := b.sharedQueue("c82", 0)
		_, err := q.TryGet(b.ctx)
		is(b, err, shared.ErrEmpty)
		_, err = q.Get(b.soon())
		is(b, err, shared.ErrEmpty)
		is(b, err, context.DeadlineExceeded)
		got := run(func() error { _, err := q.Get(b.ctx); return err })
		b.endsWell(b.e.site.play(script{Part: "putter", Queue: "c82", Items: 100}))
		b.ok(wait(b, got))
		for want := 1; want < 100; want++ {
			if v := must[int](b)(q.Get(b.ctx)); v != want {
				b.Errorf("got %d, want %d", v, want)
			}
		}
	}},
	{"C83", "D", "an unencodable Put fails in the caller and takes no place", func(b *bed) {
		q := must[*shared.Queue[any]](b)(shared.OpenQueue[any](b.manager(), "c83", 1))
		for range 3 {
			is(b, q.Put(b.ctx, deaf{C: make(chan int)}), queue.ErrEncode)
		}
		b.ok(q.TryPut(b.ctx, 1))
		is(b, q.TryPut(b.ctx, 1), shared.ErrFull)
	}},
	{"C84", "D", "Len, Full, Empty exact; TaskDone too often fails; Join returns at zero", func(b *bed) {
		q := b.sharedQueue("c84", 3)
		b.ok(q.Join(b.ctx))
		b.endsWell(b.e.site.play(script{Part: "putter", Queue: "c84", Slots: 3, Items: 3}))
		for left := 3; left >= 0; left-- {
			n, full, empty := must[int](b)(q.Len(b.ctx)), must[bool](b)(q.Full(b.ctx)), must[bool](b)(q.Empty(b.ctx))
			if n != left || full != (left == 3) || empty != (left == 0) {
				b.Errorf("%d, full %v, empty %v with %d items", n, full, empty, left)
			}
			if left > 0 {
				must[int](b)(q.Get(b.ctx))
			}
		}
		is(b, q.Join(b.soon()), context.DeadlineExceeded)
		joined := run(func() error { return q.Join(b.ctx) })
		for range 3 {
			b.ok(q.TaskDone(b.ctx))
		}
		b.ok(wait(b, joined))
		is(b, q.TaskDone(b.ctx), shared.ErrDone)
	}},
	{"C85", "D", "a producer and a consumer: 5 of 5, 100 times", func(b *bed) {
		m, other := b.manager(), b.manager()
		for round := range 100 {
			if n := b.fiveOfFive(m, other, fmt.Sprintf("c85.%d", round)); n != 5 {
				b.Errorf("round %d: %d of 5", round, n)
			}
		}
		// And once with processes of their own.
		q, out := b.sharedQueue("c85", 2), b.sharedQueue("c85.got", 0)
		consumer := b.e.site.play(script{Part: "getter", Queue: "c85", Slots: 2})
		b.endsWell(b.e.site.play(script{Part: "putter", Queue: "c85", Slots: 2, Items: 5}))
		b.ok(q.Join(b.ctx))
		b.ok(q.CloseSend(b.ctx))
		var all []int
		for v, err := range out.All(b.ctx) {
			b.ok(err)
			all = append(all, v)
		}
		b.endsWell(consumer)
		if !slices.Equal(all, []int{0, 1, 2, 3, 4}) {
			b.Errorf("consumed %v", all)
		}
	}},
	{"C86", "D", "CloseSend: consumers drain and end, Put is ErrClosed everywhere", func(b *bed) {
		q := b.sharedQueue("c86", 3)
		for i := range 3 {
			b.ok(q.Put(b.ctx, i))
		}
		late := run(func() error { return q.Put(b.ctx, 9) })
		b.ok(b.sharedQueue("c86", 3).CloseSend(b.ctx))
		is(b, wait(b, late), queue.ErrClosed)
		is(b, q.TryPut(b.ctx, 9), queue.ErrClosed)
		consumer := b.e.site.play(script{Part: "getter", Queue: "c86", Slots: 3})
		b.endsWell(consumer)
		if n := must[int](b)(b.sharedQueue("c86.got", 0).Len(b.ctx)); n != 3 {
			b.Errorf("%d of 3 were drained", n)
		}
		_, err := q.Get(b.ctx)
		is(b, err, queue.ErrClosed)
	}},
	{"C87", "D", "Pipe: both ways, EOF after Close and after a kill, an end has one owner", func(b *bed) {
		for _, how := range []string{"close", "kill"} {
			name := "c87." + how
			p := must[*shared.Pipe[string]](b)(shared.OpenPipe[string](b.manager(), name))
			a := must[*shared.PipeEnd[string]](b)(p.A(b.ctx))
			peer := b.e.site.play(script{Part: "echo", Queue: name})
			b.ok(a.Send(b.ctx, "hello"))
			if v := must[string](b)(a.Recv(b.ctx)); v != "echo of hello" {
				b.Errorf("received %q", v)
			}
			_, err := p.B(b.ctx)
			is(b, err, shared.ErrTaken)
			_, err = p.A(b.ctx)
			is(b, err, shared.ErrTaken)
			if how == "close" {
				b.ok(a.Close(b.ctx))
				b.endsWell(peer) // it got the end
				continue
			}
			peer.Kill()
			if _, err := a.Recv(b.ctx); !errors.Is(err, io.EOF) {
				b.Errorf("after the peer was killed: %v", err)
			}
			is(b, a.Send(b.ctx, "x"), io.ErrClosedPipe)
		}
	}},
}

// fiveOfFive has one program put five items, and another get them, and returns how many it
// got.
func (b *bed) fiveOfFive(m, other *shared.Manager, name string) int {
	b.Helper()
	produce := must[*shared.Queue[int]](b)(shared.OpenQueue[int](m, name, 2))
	consume := must[*shared.Queue[int]](b)(shared.OpenQueue[int](other, name, 2))
	sent := run(func() error {
		for i := range 5 {
			if err := produce.Put(b.ctx, i); err != nil {
				return err
			}
		}
		return produce.CloseSend(b.ctx)
	})
	n := 0
	for v, err := range consume.All(b.ctx) {
		if err != nil || v != n {
			b.Errorf("%d, %v; want %d", v, err, n)
			break
		}
		n++
	}
	if err := wait(b, sent); err != nil {
		b.Error(err)
	}
	return n
}
