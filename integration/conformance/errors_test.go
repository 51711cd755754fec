package conformance

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"weak"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// errorRows are about what goes wrong in a task, and what is left behind.
var errorRows = []row{
	{"C59", "LP", "arguments and values are not kept", by{"P": freeKids, "L": func(b *bed) {
		p := localPool(b.T, pool.Config{Workers: 1}, pass.Handler(func(context.Context, *big) (*big, error) { return &big{}, nil }))
		in, out := passOne(b, p)
		b.until("them to be collected", collected(in, out))
	}}.test},
	{"C60", "LPD", "errors keep their text, sentinel, type and stack", func(b *bed) {
		_, err := evens.Call(b.ctx, b.x, 3)
		if is(b, err, errOdd); err.Error() != "item 3: odd" {
			b.Errorf("text %q", err)
		}
		_, err = evens.Call(b.ctx, b.x, 2000)
		var big *tooBig
		if !errors.As(err, &big) || big.N != 2000 {
			b.Errorf("error %v", err)
		}
		_, err = panics.Call(b.ctx, b.e.wire, "where")
		var te *queue.TaskError
		if !errors.As(err, &te) || !strings.Contains(te.Stack, "tasks_test.go") {
			b.Errorf("the stack does not show the handler: %v", err)
		}
	}},
	{"C61", "LPD", "the error of my own source is not dressed as the task's", func(b *bed) {
		own := errors.New("no more disk")
		src := queue.Fallible(func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, own) })
		_, err := double.MapAll(b.ctx, b.x, src)
		for _, last := range double.Map(b.ctx, b.x, src) {
			if last != nil && last != own { //nolint:errorlint // the very error
				b.Errorf("Map says %#v", last)
			}
		}
		if err != own { //nolint:errorlint // the very error
			b.Errorf("MapAll says %#v", err)
		}
	}},
	{"C62", "L", "an error is the very error, unless the pool is strict", func(b *bed) {
		own := &tooBig{3, 2}
		task := queue.NewTask[int, int]("own")
		h := task.Handler(func(context.Context, int) (int, error) { return 0, own })
		if _, err := task.Call(b.ctx, localPool(b.T, pool.Config{Workers: 1}, h), 1); err != error(own) { //nolint:errorlint // the very error
			b.Errorf("error %#v", err)
		}
		_, err := task.Call(b.ctx, localPool(b.T, pool.Config{Workers: 1, Strict: true}, h), 1)
		if errors.Is(err, own) || !queue.IsTaskError(err) || err.Error() != own.Error() {
			b.Errorf("on a strict pool: %#v", err)
		}
	}},
	{"C63", "LPD", "a panic is ErrPanic; the worker lives", func(b *bed) {
		_, err := panics.Call(b.ctx, b.x, "ouch")
		if is(b, err, queue.ErrPanic); !strings.Contains(err.Error(), "ouch") {
			b.Errorf("text %q", err)
		}
		b.fine()
	}},
	{"C64", "LPD", "runtime.Goexit is an error and costs no slot", func(b *bed) {
		for range 2 * workers {
			_, err := exits.Call(b.ctx, b.x, 1)
			is(b, err, queue.ErrExited)
		}
		b.fine()
	}},
	{"C69", "LPD", "an argument that cannot be encoded is refused at once", func(b *bed) {
		_, err := unsent.Submit(b.ctx, b.e.wire, deaf{C: make(chan int)})
		is(b, err, queue.ErrEncode)
		b.fine()
	}},
	{"C70", "PD", "an argument that the worker cannot decode: no retry, no harm", func(b *bed) {
		_, err := unread.Call(b.ctx, b.x, "not a number")
		is(b, err, queue.ErrDecode)
		if te, ok := errors.AsType[*queue.TaskError](err); !ok || te.Attempt != 1 {
			b.Errorf("error %#v", err)
		}
		b.fine()
	}},
	{"C71", "LPD", "a value that cannot be encoded is an error, 20 times", func(b *bed) {
		for range 20 {
			_, err := mute.Call(b.ctx, b.e.wire, 1)
			if is(b, err, queue.ErrEncode); !strings.Contains(err.Error(), "deaf") {
				b.Errorf("the type is not named: %v", err)
			}
		}
		b.fine()
	}},
	{"C72", "PD", "a value that this side cannot decode spoils nothing else", func(b *bed) {
		_, err := wrong.Call(b.ctx, b.x, 1)
		is(b, err, queue.ErrDecode)
		b.fine()
	}},
	{"C73", "LPD", "a callback gets the typed error", func(b *bed) {
		got := make(chan error)
		submit(b, evens, 1).OnDone(func(_ int, err error) { got <- err })
		is(b, <-got, errOdd)
	}},
}

// passOne passes a value to a task and gets another one, and keeps neither.
func passOne(b *bed, x queue.Executor) (in, out weak.Pointer[big]) {
	b.Helper()
	arg := new(big)
	return weak.Make(arg), weak.Make(must[*big](b)(pass.Call(b.ctx, x, arg)))
}

func collected(ps ...weak.Pointer[big]) func() bool {
	return func() bool {
		runtime.GC()
		return !slices.ContainsFunc(ps, func(p weak.Pointer[big]) bool { return p.Value() != nil })
	}
}
