package queue_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"weak"

	"github.com/cenote-go/cenote/queue"
)

var name = queue.NewTask[int, string]("name")

// held submits tasks that wait for let: two doubles, then two that fail if odd.
func held(t *testing.T, f *fake) (fs []queue.Waitable) {
	t.Helper()
	for i := range 2 {
		d, err := double.Submit(t.Context(), f, i)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, d)
	}
	for i := range 2 {
		p, err := picky.Submit(t.Context(), f, i)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, p)
	}
	return fs
}

func gated(t *testing.T) *fake {
	f := newFake(t, double.Handler(doubling), picky.Handler(evenOnly),
		name.Handler(func(_ context.Context, n int) (string, error) { return strconv.Itoa(n), nil }))
	f.gate = true
	return f
}

// C52, C53
func TestWait(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   queue.WaitMode
		before []int // let go and done before the wait
		during []int // let go during the wait
		done   int
	}{
		{"all", queue.AllCompleted, nil, []int{3, 1, 0, 2}, 4},
		{"all, some done", queue.AllCompleted, []int{0, 3}, []int{1, 2}, 4},
		{"all done", queue.AllCompleted, []int{0, 1, 2, 3}, nil, 4},
		{"first", queue.FirstCompleted, nil, []int{2}, 1},
		{"first, one done", queue.FirstCompleted, []int{1}, nil, 1},
		{"first error", queue.FirstError, nil, []int{3}, 1},
		{"first error, after others", queue.FirstError, nil, []int{0, 3}, 2},
		{"one has failed", queue.FirstError, []int{0, 3}, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := gated(t)
			fs := held(t, f)
			for _, i := range c.before {
				f.let(i)
				<-fs[i].Done()
			}
			go func() {
				for _, i := range c.during {
					f.let(i)
					<-fs[i].Done()
				}
			}()
			done, pending, err := queue.Wait(t.Context(), c.mode, fs...)
			if err != nil || len(done) != c.done || len(pending) != 4-c.done {
				t.Fatalf("%d done, %d pending, %v; want %d done", len(done), len(pending), err, c.done)
			}
			for _, w := range pending {
				if !errors.Is(w.Err(), queue.ErrNotReady) {
					t.Errorf("a pending one: %v", w.Err())
				}
			}
		})
	}
	f := gated(t)
	fs := held(t, f)[:2] // none of them fails
	f.let(0)
	f.let(1)
	if done, _, err := queue.Wait(t.Context(), queue.FirstError, fs...); len(done) != 2 || err != nil {
		t.Errorf("no error to wait for: %d done, %v", len(done), err)
	}
	for _, mode := range []queue.WaitMode{queue.AllCompleted, queue.FirstCompleted, queue.FirstError} {
		if done, pending, err := queue.Wait(t.Context(), mode); len(done)+len(pending) != 0 || err != nil {
			t.Errorf("nothing to wait for: %v, %v, %v", done, pending, err)
		}
	}
}

// C54
func TestWaitEndsWithItsContext(t *testing.T) {
	for _, mode := range []queue.WaitMode{queue.AllCompleted, queue.FirstError} {
		f := gated(t)
		fs := held(t, f)
		f.let(0)
		<-fs[0].Done()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var none *queue.Future[int]
		done, pending, err := queue.Wait(ctx, mode, fs[0], fs[1], fs[0], fs[2], fs[1], none, nil)
		if len(done) != 1 || done[0] != fs[0] || len(pending) != 2 || pending[0] != fs[1] || pending[1] != fs[2] {
			t.Errorf("%v, %v; want each once, and none lost", done, pending)
		}
		if !errors.Is(err, queue.ErrNotReady) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 of 3 unfinished") {
			t.Errorf("%v", err)
		}
	}
}

// C55
func TestACancelledFutureIsDone(t *testing.T) {
	f := gated(t)
	fs := held(t, f)
	d := fs[0].(*queue.Future[int])
	if r, err := d.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
		t.Fatalf("%v, %v", r, err)
	}
	for _, mode := range []queue.WaitMode{queue.FirstCompleted, queue.FirstError} {
		done, pending, err := queue.Wait(t.Context(), mode, fs...)
		if len(done) != 1 || done[0] != fs[0] || len(pending) != 3 || err != nil {
			t.Errorf("%v, %v, %v", done, pending, err)
		}
	}
	if !errors.Is(fs[0].Err(), queue.ErrCancelled) || fs[0].State() != queue.StateCancelled {
		t.Errorf("%v, %v", fs[0].Err(), fs[0].State())
	}
}

// C56
func TestAsCompleted(t *testing.T) {
	f, other := gated(t), gated(t)
	fs := held(t, f)
	n, err := name.Submit(t.Context(), other, 7) // of another type and executor
	if err != nil {
		t.Fatal(err)
	}
	f.let(2)
	<-fs[2].Done()
	order := []func(){func() { other.let(0) }, func() { f.let(3) }, func() { f.let(0) }, func() { f.let(1) }, func() {}}
	var got []queue.Waitable
	for w, err := range queue.AsCompleted(t.Context(), fs[0], n, fs[1], fs[2], fs[0], fs[3], n) {
		if err != nil {
			t.Fatal(err)
		}
		order[len(got)]()
		got = append(got, w)
	}
	want := []queue.Waitable{fs[2], n, fs[3], fs[0], fs[1]}
	if len(got) != len(want) {
		t.Fatalf("%d futures, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("place %d: %v, want %v", i, got[i].ID(), want[i].ID())
		}
	}
	for range queue.AsCompleted(t.Context()) {
		t.Error("a future of none")
	}
}

// C57
func TestAsCompletedSaysHowManyAreUnfinished(t *testing.T) {
	f := gated(t)
	fs := held(t, f)
	f.let(0)
	f.let(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seq := queue.AsCompleted(ctx, fs...)
	n, last := 0, error(nil)
	for w, err := range seq {
		if last = err; err != nil {
			if w != nil {
				t.Error("a future with the error")
			}
			continue
		}
		if n++; n == 2 {
			cancel()
		}
	}
	if n != 2 || !errors.Is(last, queue.ErrNotReady) || !errors.Is(last, context.Canceled) || !strings.Contains(last.Error(), "2 of 4 unfinished") {
		t.Errorf("%d, then %v", n, last)
	}
}

// C58
func TestYieldedFuturesAreCollectable(t *testing.T) {
	f := gated(t)
	f.gate = false
	var weaks []weak.Pointer[queue.Future[int]]
	fs := func() (fs []queue.Waitable) {
		for i := range 5 {
			d, err := double.Submit(t.Context(), f, i)
			if err != nil {
				t.Fatal(err)
			}
			fs, weaks = append(fs, d), append(weaks, weak.Make(d))
		}
		return fs
	}
	n := 0
	for w, err := range queue.AsCompleted(t.Context(), fs()...) {
		if err != nil || w == nil {
			t.Fatal(err)
		}
		n++
		runtime.GC()
		gone := 0
		for _, p := range weaks {
			if p.Value() == nil {
				gone++
			}
		}
		if gone < n-1 { // the one at hand may still be on the stack
			t.Errorf("%d were yielded and %d collected", n, gone)
		}
	}
	if n != 5 {
		t.Errorf("%d of 5", n)
	}
}

func TestGather(t *testing.T) {
	f := gated(t)
	f.gate = false
	var fs []*queue.Future[int]
	for i := range 4 {
		p, err := picky.Submit(t.Context(), f, 2*i)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, p)
	}
	got, err := queue.Gather(t.Context(), fs...)
	if err != nil || len(got) != 4 || got[3] != 6 {
		t.Errorf("%v, %v", got, err)
	}
	odd, err := picky.Submit(t.Context(), f, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err = queue.Gather(t.Context(), fs[0], nil, odd, fs[1])
	var me *queue.MapError
	if !errors.As(err, &me) || me.Index != 1 || !errors.Is(me.Failed[2], errOdd) || !errors.Is(err, queue.ErrOption) || got[3] != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAHandlerThatWaitsTellsItsHost(t *testing.T) {
	f := gated(t)
	fs := held(t, f)
	ctx := queue.WithRunning(t.Context(), queue.Running{Attempt: 1}, &fakeHost{forbid: queue.ErrWouldDeadlock})
	for _, mode := range []queue.WaitMode{queue.AllCompleted, queue.FirstCompleted, queue.FirstError} {
		if _, pending, err := queue.Wait(ctx, mode, fs...); !errors.Is(err, queue.ErrWouldDeadlock) || len(pending) != 4 {
			t.Errorf("%v, %v", pending, err)
		}
	}
	n := 0
	for _, err := range queue.AsCompleted(ctx, fs...) {
		if n++; !errors.Is(err, queue.ErrWouldDeadlock) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d errors, want 1", n)
	}
}
