package queue

import (
	"context"
	"fmt"
	"iter"
)

// DefaultWindow is how many arguments of a Map are pulled and not yet yielded unless
// [Window] says otherwise. Where arguments share messages it is as many messages with
// [Chunk], and a quarter of them if their size is measured, but no more than 65536
// arguments or two chunks.
const DefaultWindow = 256

// Window sets how many arguments of a Map may be pulled and not yet yielded. It
// bounds the memory of a Map, however long its source. Default: [DefaultWindow].
func Window(n int) Option {
	return func(s *settings) {
		if n < 1 {
			s.fail(fmt.Errorf("%w: Window is %d; give it at least 1", ErrOption, n))
			return
		}
		s.window = n
	}
}

// Chunk makes n arguments of a Map share a message, or as many as fit into 256 KiB,
// and so the cost of a trip. One worker runs them one after the other; each has its
// own value or error, and its own retries. A [Timeout] is then n times as long, for
// all of them together. Chunk(1) makes each travel alone.
//
// Without Chunk, a Map measures how long an item takes and lets as many share a
// message as take about 50 ms; tasks with a Timeout then travel alone. Tasks with an
// [ID], a [Then] or on a stream always travel alone.
func Chunk(n int) Option {
	return func(s *settings) {
		if n < 1 {
			s.fail(fmt.Errorf("%w: Chunk is %d; give it at least 1", ErrOption, n))
			return
		}
		s.chunk = n
	}
}

// Item is one argument of a Map and what became of it.
type Item[In, Out any] struct {
	Index int // the argument's position in the source, from 0; -1 for an error that is no item's
	In    In
	Out   Out
	Err   error
}

// Map submits a task for each argument of src and yields the values in the order
// of the arguments.
//
// src is pulled as the window allows, in a goroutine of its own, so that a slow one
// holds nothing back that is finished. An item's error is yielded at its place and
// the iteration goes on. What is wrong with the options, or ctx when it ends, is
// yielded as one last error. A panic of src, and the error of a source that
// [Fallible] made, come after the values of what was pulled before.
//
// A loop that breaks, and the end of ctx, stop the pulling and cancel the tasks that
// have not started, if the executor can; those that run finish unheard. Leaving the
// loop waits at most a second for that, and not for a source that is at work on its
// next argument.
func (t Task[In, Out]) Map(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq2[Out, error] {
	return outOf(t.Stream(ctx, x, src, opts...))
}

// MapUnordered is Map in the order in which the tasks end.
func (t Task[In, Out]) MapUnordered(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq2[Out, error] {
	return outOf(t.StreamUnordered(ctx, x, src, opts...))
}

func outOf[In, Out any](items iter.Seq[Item[In, Out]]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for it := range items {
			if !yield(it.Out, it.Err) {
				return
			}
		}
	}
}

// Stream is Map with each item's position and argument.
func (t Task[In, Out]) Stream(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq[Item[In, Out]] {
	return t.stream(ctx, x, src, true, opts)
}

// StreamUnordered is Stream in the order in which the tasks end.
func (t Task[In, Out]) StreamUnordered(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq[Item[In, Out]] {
	return t.stream(ctx, x, src, false, opts)
}

func (t Task[In, Out]) stream(ctx context.Context, x Executor, src iter.Seq[In], ordered bool, opts []Option) iter.Seq[Item[In, Out]] {
	return func(yield func(Item[In, Out]) bool) {
		m, err := t.mapping(ctx, x, opts)
		if err != nil {
			yield(Item[In, Out]{Index: -1, Err: err})
			return
		}
		m.ordered = ordered
		m.start(func() { m.pull(src) })
		defer m.stop(Cancellation{})
		m.each(func(p *part[In, Out]) bool { return m.yieldAll(p, yield) })
	}
}

// Fallible makes a source that may fail one for a Map: it ends the Map with that
// very error, after the values of what came before it. Whoever else ranges over it
// gets a panic with an error that wraps it.
func Fallible[In any](seq iter.Seq2[In, error]) iter.Seq[In] {
	return func(yield func(In) bool) {
		for in, err := range seq {
			if err != nil {
				panic(&sourceError{err})
			}
			if !yield(in) {
				return
			}
		}
	}
}

// sourceError is how the error of a source gets past an iter.Seq.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }
