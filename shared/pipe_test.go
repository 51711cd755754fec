package shared

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// pipe opens a pipe in another program.
func (b *tubeBed) pipe(opts ...Option) *Pipe[string] {
	b.Helper()
	p, err := OpenPipe[string](b.manager(), "p", opts...)
	b.ok(err)
	return p
}

// ends takes both ends, in two programs.
func (b *tubeBed) ends() (a, z *PipeEnd[string]) {
	b.Helper()
	a, err := b.pipe().A(b.ctx)
	b.ok(err)
	z, err = b.pipe().B(b.ctx)
	b.ok(err)
	return a, z
}

func (b *tubeBed) receives(e *PipeEnd[string], want ...string) {
	b.Helper()
	for _, w := range want {
		if v, err := e.Recv(b.ctx); err != nil || v != w {
			b.Fatalf("Recv: %q, %v; want %q", v, err, w)
		}
	}
}

func TestAPipeGoesBothWays(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		a, z := b.ends()
		_, err := b.pipe().A(b.ctx)
		b.is(err, ErrTaken)
		b.ok(a.Send(b.ctx, "ping"))
		b.receives(z, "ping")
		b.ok(z.Send(b.ctx, "pong"))
		ready, err := a.Poll(b.ctx)
		if err != nil || !ready {
			b.Errorf("Poll: %v, %v", ready, err)
		}
		b.receives(a, "pong")
		got := tubeRun(func() string { v, _ := z.Recv(b.ctx); return v })
		b.ok(a.Send(b.ctx, "late"))
		if v := tubeWait(b, got); v != "late" {
			b.Errorf("received %q", v)
		}
		_, err = z.Recv(b.soon())
		b.is(err, ErrEmpty, context.DeadlineExceeded)
		for range PipeBuffer {
			b.ok(a.Send(b.ctx, "x"))
		}
		b.is(a.Send(b.soon(), "x"), ErrFull, context.DeadlineExceeded)
	})
}

func TestAClosedPipeIsReadToItsEnd(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		a, z := b.ends()
		b.ok(a.Send(b.ctx, "last"))
		own := tubeRun(func() error { _, err := a.Recv(b.ctx); return err })
		b.ok(a.Close(b.ctx))
		b.ok(a.Close(b.ctx))
		b.is(tubeWait(b, own), queue.ErrClosed)
		b.is(a.Send(b.ctx, "x"), queue.ErrClosed)
		b.receives(z, "last")
		if _, err := z.Recv(b.ctx); !errors.Is(err, io.EOF) {
			b.Errorf("%v after the end", err)
		}
		b.is(z.Send(b.ctx, "x"), io.ErrClosedPipe)
		_, err := b.pipe().A(b.ctx)
		b.is(err, queue.ErrClosed)
		b.ok(z.Close(b.ctx))
		a, z = b.ends() // anew
		b.ok(z.Send(b.ctx, "first"))
		b.receives(a, "first")
	})
}

func TestWhoWaitsLearnsThatThePeerHasClosed(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		a, z := b.ends()
		for range PipeBuffer {
			b.ok(z.Send(b.ctx, "x"))
		}
		recv := tubeRun(func() error { _, err := z.Recv(b.ctx); return err })
		send := tubeRun(func() error { return z.Send(b.ctx, "x") })
		b.until("both to wait", func() bool {
			return b.rdb.Exists(b.ctx, "cenote:shared:pipe:{p}:a:getters", "cenote:shared:pipe:{p}:b:putters").Val() == 2
		})
		b.ok(a.Close(b.ctx))
		b.is(tubeWait(b, recv), io.EOF)
		b.is(tubeWait(b, send), io.ErrClosedPipe)
	})
}

// A writer may be gone before its reader comes.
func TestWhatAClosedEndHasSentWaits(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		a, err := b.pipe().A(b.ctx)
		b.ok(err)
		b.ok(a.Send(b.ctx, "note"))
		b.ok(a.Close(b.ctx))
		z, err := b.pipe().B(b.ctx)
		b.ok(err)
		b.receives(z, "note")
		_, err = z.Recv(b.ctx)
		b.is(err, io.EOF)
	})
}

func TestAnEndIsHandedOn(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		a, z := b.ends()
		b.ok(a.Send(b.ctx, "1"))
		b.ok(z.Send(b.ctx, "2"))
		b.ok(a.Release(b.ctx))
		b.is(a.Send(b.ctx, "x"), queue.ErrClosed)
		next, err := b.pipe().A(b.ctx)
		b.ok(err)
		b.receives(next, "2")
		b.ok(next.Send(b.ctx, "3"))
		b.receives(z, "1", "3")
	})
}

func TestCloseOfTheManagerClosesItsEnds(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		m := b.manager()
		p, err := OpenPipe[string](m, "p")
		b.ok(err)
		_, err = p.A(b.ctx)
		b.ok(err)
		z, err := b.pipe().B(b.ctx)
		b.ok(err)
		b.ok(m.Close(b.ctx))
		_, err = z.Recv(b.ctx)
		b.is(err, io.EOF)
	})
}

func TestAnEndThatRedisHasForgottenIsLost(t *testing.T) {
	onTubes(t, func(b *tubeBed) {
		p := b.pipe()
		a, err := p.A(b.ctx)
		b.ok(err)
		b.ok(p.Delete(b.ctx))
		b.is(a.Send(b.ctx, "x"), ErrLost)
		b.is(context.Cause(a.Context()), ErrLost)
		if err := a.Close(b.ctx); !errors.Is(err, ErrLost) {
			b.Errorf("Close: %v", err)
		}
	})
}
