package queue

import (
	"context"
	"fmt"
	"iter"
)

// DefaultWindow is how many tasks of a Map are in flight unless [Window] says
// otherwise.
const DefaultWindow = 256

// Window sets how many tasks of a Map may be submitted and not yet yielded. It
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

// Item is one argument of a Map and what became of it.
type Item[In, Out any] struct {
	Index int // the argument's position in the source, from 0
	In    In
	Out   Out
	Err   error
}

// Map submits a task for each argument of src and yields the values in the order
// of the arguments. src is pulled as the window allows. An item's error is
// yielded at its place and the iteration goes on; when ctx ends, the error is
// yielded for every item in flight and the iteration is over. A loop that breaks
// leaves the tasks in flight to finish unheard.
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
	return func(yield func(Item[In, Out]) bool) {
		src, stop := t.source(ctx, x, src, opts)
		defer stop()
		var flight []sent[In, Out]
		for more := true; more || len(flight) > 0; {
			for more && len(flight) < src.window {
				var s sent[In, Out]
				if s, more = src.next(); more {
					flight = append(flight, s)
				}
			}
			if len(flight) == 0 {
				return
			}
			head := flight[0]
			flight = flight[1:]
			if !yield(head.await(ctx)) {
				return
			}
			more = more && ctx.Err() == nil
		}
	}
}

// StreamUnordered is Stream in the order in which the tasks end.
func (t Task[In, Out]) StreamUnordered(ctx context.Context, x Executor, src iter.Seq[In], opts ...Option) iter.Seq[Item[In, Out]] {
	return func(yield func(Item[In, Out]) bool) {
		src, stop := t.source(ctx, x, src, opts)
		defer stop()
		ended := make(chan sent[In, Out], src.window)
		flying := 0
		for more := true; more || flying > 0; {
			for more && flying < src.window {
				var s sent[In, Out]
				if s, more = src.next(); !more {
					break
				}
				flying++
				if s.future == nil {
					ended <- s
					continue
				}
				s.future.p.OnDone(func() { ended <- s })
			}
			if flying == 0 {
				return
			}
			select {
			case s := <-ended:
				flying--
				if !yield(s.await(ctx)) {
					return
				}
			case <-ctx.Done():
				// What is in flight cannot be told apart any more; one error speaks for it.
				yield(Item[In, Out]{Index: -1, Err: fmt.Errorf("%w: %d items unfinished: %w", ErrNotReady, flying, ctx.Err())})
				return
			}
		}
	}
}

// sent is an argument that was submitted, or could not be.
type sent[In, Out any] struct {
	index  int
	in     In
	future *Future[Out]
	err    error
}

func (s sent[In, Out]) await(ctx context.Context) Item[In, Out] {
	it := Item[In, Out]{Index: s.index, In: s.in, Err: s.err}
	if s.err == nil {
		it.Out, it.Err = s.future.Get(ctx)
	}
	return it
}

// feed pulls arguments and submits them.
type feed[In, Out any] struct {
	window int
	next   func() (sent[In, Out], bool)
}

// source makes the feed of a Map. Arguments are pulled and submitted one at a
// time by the ranging goroutine; what is submitted meanwhile by others travels
// along.
func (t Task[In, Out]) source(ctx context.Context, x Executor, src iter.Seq[In], opts []Option) (feed[In, Out], func()) {
	s := t.settings
	for _, o := range opts {
		o(&s)
	}
	window := s.window
	if window == 0 {
		window = DefaultWindow
	}
	pull, stop := iter.Pull(src)
	index := 0
	return feed[In, Out]{window: window, next: func() (sent[In, Out], bool) {
		in, ok := pull()
		if !ok {
			return sent[In, Out]{}, false
		}
		f, err := t.Submit(ctx, x, in, opts...)
		index++
		return sent[In, Out]{index: index - 1, in: in, future: f, err: err}, true
	}}, stop
}
