package conformance

import (
	"errors"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// farRows are about processes that come and go.
var farRows = []row{
	{"C51", "D", "what a worker says after it was given up does not count", func(b *bed) {
		s := newSite(b.T)
		b.x = s.client()
		zombie := s.worker(1, time.Second)
		d := newDoor(b)
		f := submit(b, token, d.dir)
		d.await(1)
		if err := zombie.Freeze(); err != nil {
			b.Fatal(err)
		}
		s.worker(1, time.Second)
		d.await(2)
		d.open()
		if got := value(b, f); got != 2 {
			b.Errorf("the value is that of delivery %d", got)
		}
		if err := zombie.Thaw(); err != nil {
			b.Fatal(err)
		}
		zombie.end() // it has said all it has to say
		if got := value(b, must[*queue.Future[int]](b)(token.Open(b.ctx, s.client(), f.ID()))); got != 2 {
			b.Errorf("the value became that of delivery %d", got)
		}
	}},
	{"C66", "D", "a worker killed with -9: its tasks run again, none is lost", func(b *bed) {
		s := newSite(b.T)
		b.x = s.client()
		victim := s.worker(2, time.Second)
		s.worker(2, time.Second)
		d := newDoor(b)
		fs := d.submitN(12)
		d.await(4)
		victim.Kill()
		d.open()
		for _, f := range fs {
			if got := value(b, f); got != 7 {
				b.Errorf("value %d", got)
			}
		}
		if n := d.runs(); n != 12+2 {
			b.Errorf("%d runs of 12 tasks, 2 of which were lost while they ran", n)
		}
		b.fine()
	}},
	{"C96", "D", "another process opens futures by their ids", func(b *bed) {
		d := newDoor(b)
		short := submit(b, double, 1, queue.Keep(time.Millisecond))
		done := submit(b, double, 21, queue.Keep(time.Minute))
		failed := submit(b, evens, 1, queue.Keep(time.Minute), queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Millisecond}))
		running := d.submit()
		value(b, done)
		fails(b, failed, errOdd)
		d.await(1)
		value(b, short)
		b.until("an outcome to expire", func() bool {
			_, err := double.Open(b.ctx, b.e.site.client(), short.ID())
			return errors.Is(err, queue.ErrResultExpired)
		})
		reader := b.e.site.play(script{Part: "reader", Dir: d.dir, IDs: map[string]queue.TaskID{
			"done": done.ID(), "failed": failed.ID(), "expired": short.ID(), "running": running.ID(),
		}})
		wait(b, reader.Exited())
		if reader.State().ExitCode() != 0 {
			b.Errorf("the other process says: %s", reader.said())
		}
	}},
	{"C97", "D", "one ID twice runs once, and both futures get the value", func(b *bed) {
		d := newDoor(b)
		f := submit(b, gated, d.dir, queue.ID("only-once"))
		g := submit(b, gated, d.dir, queue.ID("only-once"))
		d.open()
		if value(b, f) != 7 || value(b, g) != 7 || d.runs() != 1 {
			b.Errorf("%d runs", d.runs())
		}
	}},
	{"C98", "D", "a producer that dies after Submit: its task and the continuation run", func(b *bed) {
		d := newDoor(b)
		producer := b.e.site.play(script{Part: "leaver", Dir: d.dir})
		b.until("the submission", func() bool { return d.has("submitted") })
		producer.Kill()
		d.open()
		id := queue.KeyTaskID(continuation, 1)
		var next *queue.Future[int]
		b.until("the continuation to be there", func() bool {
			f, err := double.Open(b.ctx, b.x, id)
			if err != nil {
				is(b, err, queue.ErrResultExpired)
			}
			next = f
			return err == nil
		})
		if got := value(b, next); got != 14 || d.runs() != 1 {
			b.Errorf("value %d, %d runs", got, d.runs())
		}
	}},
	{"C99", "D", "100 Gets outlive cut connections and a restart of Redis", func(b *bed) {
		s := newSite(b.T, "--appendonly", "yes", "--appendfsync", "always")
		b.x = s.client()
		s.worker(workersEach, 0)
		d := newDoor(b)
		var all sync.WaitGroup
		for _, f := range d.submitN(100) {
			all.Go(func() {
				if v, err := f.Get(b.ctx); err != nil || v != 7 {
					b.Errorf("value %d, %v", v, err)
				}
			})
		}
		d.await(workersEach)
		for _, kind := range []string{"normal", "pubsub"} {
			if err := s.redis.Client().ClientKillByFilter(b.ctx, "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
				b.Error(err)
			}
		}
		s.redis.Restart()
		d.open()
		all.Wait()
	}},
}
