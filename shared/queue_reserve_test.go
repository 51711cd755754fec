package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/proctest"
)

func TestReservationsAreSettledOnce(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q, c := b.queue(0), b.queue(0)
		b.puts(q, 1, 2, 3)
		first, err := q.Reserve(b.ctx)
		b.ok(err)
		second, err := q.Reserve(b.ctx)
		b.ok(err)
		if first.Value != 1 || second.Value != 2 {
			b.Errorf("reserved %d and %d", first.Value, second.Value)
		}
		b.ok(second.Return(b.ctx))
		b.ok(first.Ack(b.ctx))
		b.is(first.Ack(b.ctx), errSettled)
		b.is(second.Return(b.ctx), errSettled)
		b.is(context.Cause(first.Context()), errSettled)
		b.gets(c, 2, 3)
		_, err = c.TryGet(b.ctx)
		b.is(err, ErrEmpty)
		if n := b.rdb.Exists(b.ctx, "cenote:shared:queue:{q}:alive", "cenote:shared:queue:{q}:held").Val(); n != 0 {
			b.Error("something is left of the reservations")
		}
	})
}

func TestReturnsKeepTheirOrder(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		m := b.manager()
		q, err := OpenQueue[int](m, "q", 0)
		b.ok(err)
		c := b.queue(0)
		b.puts(q, 1, 2, 3, 4, 5)
		for range 3 {
			_, err := q.Reserve(b.ctx)
			b.ok(err)
		}
		b.gets(c, 4)
		b.ok(m.Close(b.ctx)) // gives back
		b.gets(c, 1, 2, 3, 5)
	})
}

// tubeEnv makes TestTubeProcess play a part in a process of its own.
const tubeEnv = "CENOTE_TUBE_PART"

// TestTubeProcess is no test unless it is another process: it reserves items, or takes end
// A of a pipe, and waits to be killed.
func TestTubeProcess(t *testing.T) {
	text, plays := os.LookupEnv(tubeEnv)
	if !plays {
		return
	}
	ctx := context.Background()
	part := strings.Fields(text)
	m, err := New(redis.NewClient(&redis.Options{Addr: part[1]}), Lease(MinLease))
	if err != nil {
		t.Fatal(err)
	}
	switch part[0] {
	case "reserve":
		q, err := OpenQueue[int](m, "q", 0)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(part[2])
		for range n {
			if _, err := q.Reserve(ctx); err != nil {
				t.Fatal(err)
			}
		}
	case "drain":
		q, err := OpenQueue[int](m, "q", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Get(ctx); err != nil {
			t.Fatal(err)
		}
		if err := q.TaskDone(ctx); err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(part[2])
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				for range q.All(ctx) {
				}
			})
		}
		all.Wait()
	case "get":
		q, err := OpenQueue[int](m, "q", 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = q.Get(ctx)
	case "pipe":
		p, err := OpenPipe[string](m, "p")
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.A(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Send(ctx, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is gone
}

// process starts another process that plays a part.
func (b *tubeBed) process(part string) *proctest.Process {
	b.Helper()
	cmd := proctest.Self(b, tubeEnv+"="+part)
	cmd.Args = append(cmd.Args, "-test.run=^TestTubeProcess$")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	b.ok(err)
	p, err := proctest.Start(cmd)
	b.ok(err)
	b.Cleanup(func() { p.Kill(); _ = in.Close() })
	return p
}

func TestWhatADeadProcessHasReservedComesBack(t *testing.T) {
	b := tubesOnRedis(t)
	q := b.queue(0)
	want := make([]int, 40)
	for i := range want {
		want[i] = i
		b.puts(q, i)
	}
	holder := b.process(fmt.Sprintf("reserve %s 30", b.real.Addr()))
	b.until("the reservations", func() bool { s, err := q.Stats(b.ctx); return err == nil && s.Reserved == 30 })
	b.ok(q.CloseSend(b.ctx))
	b.gets(q, want[30:]...)
	got := tubeRun(func() []int {
		var all []int
		for v, err := range q.All(b.ctx) {
			if err != nil {
				b.Error(err)
			}
			all = append(all, v)
		}
		return all
	})
	b.lined(getters, 1)
	// While its holder lives and renews its lease, nothing comes back.
	renewed := b.rdb.ZScore(b.ctx, "cenote:shared:queue:{q}:alive", b.rdb.ZRange(b.ctx, "cenote:shared:queue:{q}:alive", 0, 0).Val()[0]).Val()
	b.until("a renewal", func() bool {
		z := b.rdb.ZRangeWithScores(b.ctx, "cenote:shared:queue:{q}:alive", 0, 0).Val()
		return len(z) == 1 && z[0].Score > renewed+float64(MinLease.Milliseconds())
	})
	holder.Kill()
	if all := tubeWait(b, got); !slices.Equal(all, want[:30]) {
		b.Errorf("what came back: %v", all)
	}
}

func TestALostReservationIsKnown(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		q := b.queue(0)
		b.puts(q, 1)
		r, err := q.Reserve(b.ctx)
		b.ok(err)
		b.rdb.ZAdd(b.ctx, "cenote:shared:queue:{q}:alive", redis.Z{Score: 1, Member: r.h.ticket}) // it has lapsed
		b.gets(b.queue(0), 1)
		b.is(r.Ack(b.ctx), ErrLost)
		b.is(context.Cause(r.Context()), ErrLost)
	})
}

// A process that waits and dies takes nothing along: the item goes to another one.
func TestAWaiterThatDiesSwallowsNothing(t *testing.T) {
	b := tubesOnRedis(t)
	q, p := b.queue(0), b.queue(0)
	dead := b.process("get " + b.real.Addr())
	b.lined(getters, 1)
	got := tubeRun(func() error { _, err := q.Get(b.ctx); return err })
	b.lined(getters, 2)
	dead.Kill()
	b.until("Redis to know", func() bool {
		return len(b.rdb.PubSubChannels(b.ctx, "cenote:shared:queue:{q}:getters:*").Val()) == 1
	})
	from := time.Now()
	b.puts(p, 1)
	b.ok(tubeWait(b, got))
	t.Logf("the item came after %v", time.Since(from))
}

func TestThePeerOfADeadEndReadsToItsEnd(t *testing.T) {
	b := tubesOnRedis(t)
	p, err := OpenPipe[string](b.manager(), "p", Lease(MinLease))
	b.ok(err)
	peer := b.process("pipe " + b.real.Addr())
	z, err := p.B(b.ctx)
	b.ok(err)
	b.receives(z, "hello")
	_, err = p.A(b.ctx)
	b.is(err, ErrTaken)
	end := tubeRun(func() error { _, err := z.Recv(b.ctx); return err })
	peer.Kill()
	if err := tubeWait(b, end); !errors.Is(err, io.EOF) {
		b.Errorf("Recv: %v", err)
	}
	b.is(z.Send(b.ctx, "x"), io.ErrClosedPipe)
	b.ok(z.Close(b.ctx))
	_, err = p.A(b.ctx)
	b.ok(err)
}
