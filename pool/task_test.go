package pool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func TestATaskHasTheHandlersValue(t *testing.T) { // C01, C02
	both(t, func(t *testing.T, strict bool) {
		synctest.Test(t, func(t *testing.T) {
			slow := queue.NewTask[int, int]("slow")
			p := open(t, pool.Config{Workers: 2, Strict: strict}, slow.Handler(func(_ context.Context, n int) (int, error) { time.Sleep(time.Second); return n + 1, nil }))
			from := time.Now()
			f := submit(t, p, slow, 1)
			if time.Since(from) > 0 {
				t.Error("Submit waits for the task")
			}
			wantValue(t, f, 2)
			if time.Since(from) != time.Second || f.State() != queue.StateSucceeded {
				t.Errorf("Get took %v, the state is %v", time.Since(from), f.State())
			}
			if got, err := slow.Call(t.Context(), p, 5); got != 6 || err != nil {
				t.Errorf("Call: %d, %v", got, err)
			}
			i := 0
			for got, err := range slow.Map(t.Context(), p, func(yield func(int) bool) {
				for n := range 5 {
					if !yield(n) {
						return
					}
				}
			}) {
				if i++; got != i || err != nil {
					t.Errorf("Map: number %d is %d, %v", i, got, err)
				}
			}
		})
	})
}

func TestAWaitEndsWithItsOwnCtx(t *testing.T) { // C03, C04, C05
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1})
		f := run(t, p, func(context.Context) (int, error) { time.Sleep(10 * time.Second); return 3, nil })
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			from := time.Now()
			_, err := f.Get(ctx)
			cancel()
			if !errors.Is(err, queue.ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) || time.Since(from) != time.Second {
				t.Errorf("after %v: %v", time.Since(from), err)
			}
		}
		wantValue(t, f, 3)
	})
}

func TestATimeoutIsTheTasksOwn(t *testing.T) { // C04
	both(t, func(t *testing.T, strict bool) {
		synctest.Test(t, func(t *testing.T) {
			slow := queue.NewTask[int, int]("slow", queue.Timeout(time.Second))
			p := open(t, pool.Config{Workers: 1, Strict: strict}, slow.Handler(func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				return 0, fmt.Errorf("it was slow: %w", ctx.Err())
			}))
			_, err := slow.Call(t.Context(), p, 1)
			if !errors.Is(err, queue.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || queue.IsWait(err) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestAFailedTaskIsTriedAgain(t *testing.T) {
	both(t, func(t *testing.T, strict bool) {
		synctest.Test(t, func(t *testing.T) {
			moody := queue.NewTask[int, int]("moody", queue.Retries(3), queue.Spaced(queue.Backoff{Base: time.Minute}))
			p := open(t, pool.Config{Workers: 1, Strict: strict}, moody.Handler(func(ctx context.Context, good int) (int, error) {
				n := queue.FromContext(ctx).Attempt
				if n < good {
					return n, errors.New("not yet")
				}
				return n, nil
			}))
			from := time.Now()
			wantValue(t, submit(t, p, moody, 3), 3)
			if took := time.Since(from); took < 2*time.Minute || took > 3*time.Minute {
				t.Errorf("two retries took %v", took)
			}
			if _, err := moody.Call(t.Context(), p, 9); err == nil || err.Error() != "not yet" {
				t.Errorf("after the last attempt: %v", err)
			}
			retrying := submit(t, p, moody, 2)
			synctest.Wait()
			p.Close()
			if err := p.Join(t.Context()); err != nil {
				t.Error(err)
			}
			wantValue(t, retrying, 2) // also when the pool was closed meanwhile
		})
	})
}

func TestTasksStartAtTheirTimeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		when := queue.NewTask[int, time.Time]("when")
		p := open(t, pool.Config{Workers: 1}, when.Handler(func(context.Context, int) (time.Time, error) { return time.Now(), nil }))
		from := time.Now()
		delayed := submit(t, p, when, 0, queue.Delay(time.Hour))
		at := submit(t, p, when, 0, queue.At(from.Add(2*time.Hour)))
		for f, want := range map[*queue.Future[time.Time]]time.Duration{delayed: time.Hour, at: 2 * time.Hour} {
			if got, err := f.Get(t.Context()); err != nil || got.Sub(from) != want {
				t.Errorf("it ran after %v, %v; want %v", got.Sub(from), err, want)
			}
		}
		g := newGate()
		busy := run(t, p, g.run)
		<-g.began
		late := submit(t, p, when, 0, queue.Expire(time.Minute))
		time.Sleep(time.Hour)
		close(g.let)
		wantValue(t, busy, 1)
		wantErr(t, late, queue.ErrExpired)
		if late.State() != queue.StateExpired {
			t.Errorf("the late task is %v", late.State())
		}
	})
}

func TestPrioritiesAreServedInOrder(t *testing.T) {
	var order []int
	note := queue.NewTask[int, struct{}]("note")
	p := open(t, pool.Config{Workers: 1}, note.Handler(func(_ context.Context, n int) (struct{}, error) { order = append(order, n); return struct{}{}, nil }))
	g := newGate()
	run(t, p, g.run)
	<-g.began
	submit(t, p, note, 4, queue.Prioritized(queue.Low))
	submit(t, p, note, 2)
	submit(t, p, note, 3)
	submit(t, p, note, 1, queue.Prioritized(queue.High))
	close(g.let)
	if err := p.Shutdown(t.Context()); err != nil || fmt.Sprint(order) != "[1 2 3 4]" {
		t.Errorf("%v, %v", order, err)
	}
}

func TestATaskIsCancelledBeforeItStarts(t *testing.T) { // C45, C49, C50
	both(t, func(t *testing.T, strict bool) {
		var ran atomic.Int32
		count := queue.NewTask[int, int]("count", queue.Keep(time.Hour))
		p := open(t, pool.Config{Workers: 1, Strict: strict}, count.Handler(func(_ context.Context, n int) (int, error) { ran.Add(1); return n, nil }))
		g := newGate()
		run(t, p, g.run)
		<-g.began
		for _, f := range []*queue.Future[int]{submit(t, p, count, 1), submit(t, p, count, 1, queue.Delay(time.Hour))} {
			if r, err := f.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
				t.Errorf("Cancel: %v, %v", r, err)
			}
			select {
			case <-f.Done():
			default:
				t.Error("a cancelled future is not done")
			}
			wantErr(t, f, queue.ErrCancelled)
			if f.State() != queue.StateCancelled {
				t.Errorf("it is %v", f.State())
			}
			for range 2 {
				if r, err := f.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
					t.Errorf("Cancel of a cancelled task: %v, %v", r, err)
				}
			}
		}
		close(g.let)
		f := submit(t, p, count, 5)
		wantValue(t, f, 5)
		if r, err := f.Cancel(t.Context(), queue.Interrupt()); r != queue.CancelTooLate || err != nil {
			t.Errorf("Cancel of a finished task: %v, %v", r, err)
		}
		wantValue(t, f, 5)
		if ran.Load() != 1 {
			t.Errorf("%d tasks ran, 2 of 3 were cancelled", ran.Load())
		}
	})
}

func TestATaskIsCancelledWhileItsWorkerGetsReady(t *testing.T) { // C50
	hired, ready := make(chan struct{}), make(chan struct{})
	p := open(t, pool.Config{Workers: 1, Initializer: func(context.Context) error { close(hired); <-ready; return nil }})
	f := run(t, p, func(context.Context) (int, error) { t.Error("it ran"); return 0, nil })
	<-hired
	if r, err := f.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	close(ready)
	wantErr(t, f, queue.ErrCancelled)
	wantValue(t, run(t, p, func(context.Context) (int, error) { return 1, nil }), 1) // the slot is not lost
}

func TestARunningTaskIsOnlyInterruptedIfAsked(t *testing.T) { // C46, C47, C48
	both(t, func(t *testing.T, strict bool) {
		began, causes := make(chan struct{}, 1), make(chan error, 1)
		wait := queue.NewTask[int, int]("wait", queue.Retries(5))
		p := open(t, pool.Config{Workers: 1, Strict: strict}, wait.Handler(func(ctx context.Context, _ int) (int, error) {
			began <- struct{}{}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return 0, ctx.Err()
		}))
		f := submit(t, p, wait, 1)
		<-began
		if r, err := f.Cancel(t.Context()); r != queue.CancelTooLate || err != nil {
			t.Errorf("Cancel without options: %v, %v", r, err)
		}
		if r, err := f.Cancel(t.Context(), queue.Kill(0)); r != queue.CancelTooLate || !errors.Is(err, queue.ErrNotKillable) {
			t.Errorf("Kill: %v, %v", r, err)
		}
		select {
		case <-causes:
			t.Error("it was interrupted")
		default:
		}
		if r, err := f.Cancel(t.Context(), queue.Interrupt()); r != queue.CancelInterrupted || err != nil {
			t.Errorf("Interrupt: %v, %v", r, err)
		}
		if cause := <-causes; !errors.Is(cause, queue.ErrCancelled) {
			t.Errorf("the cause is %v", cause)
		}
		wantErr(t, f, queue.ErrCancelled)
		if f.State() != queue.StateCancelled {
			t.Errorf("it is %v", f.State())
		}
	})
}

func TestACancelledTaskDoesNotCancelWhoWaitsForIt(t *testing.T) {
	p := open(t, pool.Config{Workers: 2}, double.Handler(twice))
	other := submit(t, p, double, 1, queue.Delay(time.Hour))
	began := make(chan struct{})
	f := run(t, p, func(ctx context.Context) (int, error) { close(began); return other.Get(ctx) })
	<-began
	if _, err := other.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	wantErr(t, f, queue.ErrCancelled)
	if f.State() != queue.StateDead {
		t.Errorf("the one that waited is %v; its own end is a failure", f.State())
	}
}

func TestArgumentsAndValuesAreLetGo(t *testing.T) { // C59
	type big [1 << 16]byte
	pass := queue.NewTask[*big, *big]("pass")
	p := open(t, pool.Config{Workers: 1}, pass.Handler(func(context.Context, *big) (*big, error) { return &big{}, nil }))
	var in, out weak.Pointer[big]
	func() {
		arg := &big{}
		in = weak.Make(arg)
		got, err := pass.Call(t.Context(), p, arg)
		if err != nil {
			t.Fatal(err)
		}
		out = weak.Make(got)
	}()
	for deadline := time.Now().Add(10 * time.Second); in.Value() != nil || out.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("the idle pool still holds the argument (%v) or the value (%v)", in.Value() != nil, out.Value() != nil)
		}
	}
}

type errOdd struct{ N int }

func (e *errOdd) Error() string { return fmt.Sprint("odd: ", e.N) }

func TestErrorsAreTheVeryErrorsUnlessStrict(t *testing.T) { // C62
	want := &errOdd{3}
	fail := queue.NewTask[int, int]("fail")
	h := fail.Handler(func(context.Context, int) (int, error) { return 0, want })
	direct, strict := open(t, pool.Config{Workers: 1}, h), open(t, pool.Config{Workers: 1, Strict: true}, h)
	if _, err := fail.Call(t.Context(), direct, 1); err != error(want) { //nolint:errorlint // the very error
		t.Errorf("got %#v", err)
	}
	_, err := fail.Call(t.Context(), strict, 1)
	if remote, ok := errors.AsType[*queue.TaskError](err); !ok || errors.Is(err, want) || remote.Message != "odd: 3" {
		t.Errorf("strict: got %#v", err)
	}
}

func TestAWorkerSurvivesItsHandlers(t *testing.T) { // C63, C64
	both(t, func(t *testing.T, strict bool) {
		bad := queue.NewTask[string, int]("bad")
		p := open(t, pool.Config{Workers: 1, Strict: strict}, bad.Handler(func(_ context.Context, how string) (int, error) {
			switch how {
			case "panic":
				panic("boom")
			case "exit":
				runtime.Goexit()
			}
			return 1, nil
		}))
		for range 5 {
			_, err := bad.Call(t.Context(), p, "panic")
			stack := ""
			if e, ok := errors.AsType[*queue.PanicError](err); ok {
				stack = string(e.Stack)
			} else if e, ok := errors.AsType[*queue.TaskError](err); ok {
				stack = e.Stack
			}
			if !errors.Is(err, queue.ErrPanic) || !strings.Contains(err.Error(), "boom") || !strings.Contains(stack, "task_test.go") {
				t.Errorf("a panic: %v\n%s", err, stack)
			}
			if _, err := bad.Call(t.Context(), p, "exit"); !errors.Is(err, queue.ErrExited) {
				t.Errorf("Goexit: %v", err)
			}
			if v, err := bad.Call(t.Context(), p, ""); v != 1 || err != nil {
				t.Errorf("after that: %d, %v", v, err)
			}
		}
	})
}

func TestWhatCannotBeEncoded(t *testing.T) { // C69, C71
	arg := queue.NewTask[func(), int]("arg")
	val := queue.NewTask[int, any]("val")
	p := open(t, pool.Config{Workers: 2, Strict: true},
		arg.Handler(func(context.Context, func()) (int, error) { t.Error("it ran"); return 0, nil }),
		val.Handler(func(context.Context, int) (any, error) { return func() {}, nil }), double.Handler(twice))
	if _, err := arg.Submit(t.Context(), p, func() {}); !errors.Is(err, queue.ErrEncode) {
		t.Errorf("an argument: %v", err)
	}
	for range 20 {
		if _, err := val.Call(t.Context(), p, 1); !errors.Is(err, queue.ErrEncode) || !strings.Contains(err.Error(), "func()") {
			t.Errorf("a value: %v", err)
		}
	}
	if v, err := double.Call(t.Context(), p, 4); v != 8 || err != nil {
		t.Errorf("after that: %d, %v", v, err)
	}
}

func TestAPoolTakesOnlyWhatItCanRun(t *testing.T) {
	p := open(t, pool.Config{Workers: 1}, double.Handler(twice))
	if _, err := queue.NewTask[int, int]("unknown").Submit(t.Context(), p, 1); !errors.Is(err, queue.ErrUnknownType) {
		t.Errorf("an unknown type: %v", err)
	}
	if _, err := double.Submit(t.Context(), p, 1, queue.OnStream("s")); !errors.Is(err, queue.ErrOption) {
		t.Errorf("a stream: %v", err)
	}
	if _, err := pool.Go[int](t.Context(), p, nil); !errors.Is(err, queue.ErrOption) {
		t.Errorf("a nil function: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := double.Submit(ctx, p, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a ctx that is done: %v", err)
	}
	fs, err := double.SubmitAll(t.Context(), p, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, fs[1], 4)
	p.Close()
	if _, err := double.SubmitAll(t.Context(), p, []int{1, 2}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("SubmitAll after Close: %v", err)
	}
}

func TestASubmissionToAFullPoolWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Workers: 1, MaxQueued: 1})
		g := newGate()
		run(t, p, g.run)
		<-g.began
		run(t, p, g.run)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := pool.Go(ctx, p, g.run); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third one: %v", err)
		}
		took := make(chan error)
		go func() { _, err := pool.Go(t.Context(), p, g.run); took <- err }()
		synctest.Wait()
		select {
		case err := <-took:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		g.let <- struct{}{}
		if err := <-took; err != nil {
			t.Error(err)
		}
		go func() { _, err := pool.Go(t.Context(), p, g.run); took <- err }()
		synctest.Wait()
		p.Close()
		if err := <-took; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a pool that closes meanwhile: %v", err)
		}
		close(g.let)
	})
}

func TestAKeyIsOneTask(t *testing.T) {
	var ran atomic.Int32
	count := queue.NewTask[int, int]("count")
	p := open(t, pool.Config{Workers: 2}, count.Handler(func(_ context.Context, n int) (int, error) { ran.Add(1); return n, nil }))
	wantValue(t, submit(t, p, count, 1, queue.ID("k")), 1)
	again := submit(t, p, count, 2, queue.ID("k"))
	wantValue(t, again, 1)
	if f, err := count.Open(t.Context(), p, again.ID()); err != nil {
		t.Error(err)
	} else {
		wantValue(t, f, 1)
		if err := f.Forget(t.Context()); err != nil {
			t.Error(err)
		}
	}
	f, err := count.Open(t.Context(), p, again.ID())
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, f, queue.ErrResultExpired)
	if ran.Load() != 1 {
		t.Errorf("it ran %d times", ran.Load())
	}
	wantErr(t, submit(t, p, count, 1, queue.NoReply()), queue.ErrNoReply)
}

func TestOneTaskFollowsAnother(t *testing.T) {
	both(t, func(t *testing.T, strict bool) {
		got := make(chan int, 1)
		last := queue.NewTask[int, struct{}]("last")
		p := open(t, pool.Config{Workers: 1, Strict: strict}, double.Handler(twice),
			last.Handler(func(_ context.Context, n int) (struct{}, error) { got <- n; return struct{}{}, nil }))
		submit(t, p, double, 3, queue.Then(double, queue.Then(last)))
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != 12 {
			t.Errorf("the last one got %d", n)
		}
	})
}

func TestHandlersHaveAHost(t *testing.T) {
	both(t, func(t *testing.T, strict bool) {
		let, began := make(chan struct{}), make(chan struct{})
		add := queue.NewTask[int, int]("add")
		p := open(t, pool.Config{Workers: 1, Strict: strict}, add.Handler(func(ctx context.Context, n int) (int, error) {
			base, err := queue.Common[map[string]int](ctx)
			if err != nil {
				return 0, err
			}
			close(began)
			<-let
			queue.Progress(ctx, 1, 2)
			queue.Logf(ctx, "base %d", base["base"])
			return base["base"] + n, nil
		}))
		f := submit(t, p, add, 1, queue.Sharing(map[string]int{"base": 10}))
		<-began
		events := make(chan []queue.Event)
		listening := make(chan struct{})
		go func() {
			var all []queue.Event
			for e := range f.Events(t.Context()) {
				if e.Text == "listen" {
					select {
					case <-listening:
					default:
						close(listening)
					}
					continue
				}
				all = append(all, e)
			}
			events <- all
		}()
		promise, err := p.Open(t.Context(), &queue.Message{Queue: queue.DefaultQueue, ID: f.ID()})
		if err != nil {
			t.Fatal(err)
		}
		for heard := false; !heard; {
			promise.Emit(queue.Event{Text: "listen"})
			select {
			case <-listening:
				heard = true
			default:
				runtime.Gosched()
			}
		}
		close(let)
		wantValue(t, f, 11)
		all := <-events
		if len(all) != 2 || all[0].Done != 1 || all[0].Total != 2 || all[1].Text != "base 10" {
			t.Errorf("events: %+v", all)
		}
		if _, err := add.Call(t.Context(), p, 1); err == nil || !strings.Contains(err.Error(), "without a common argument") {
			t.Errorf("a task without a common argument: %v", err)
		}
	})
}

func TestANilInterfaceIsAValue(t *testing.T) {
	p := open(t, pool.Config{Workers: 1})
	if v, err := run(t, p, func(context.Context) (any, error) { return nil, nil }).Get(t.Context()); v != nil || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := run(t, p, func(context.Context) (struct{}, error) { return struct{}{}, nil }).Get(t.Context()); err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

func TestAHandlerOfAFullPoolMaySubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if all wait for each other
		p := open(t, pool.Config{Workers: 1, MaxQueued: 1}, double.Handler(twice))
		wantValue(t, run(t, p, func(ctx context.Context) (int, error) {
			for range 3 {
				if _, err := double.Submit(ctx, p, 1); err != nil {
					return 0, err
				}
			}
			return 1, nil
		}), 1)
	})
}

func TestShutdownThatCancelsDoesNotWaitForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		fail := queue.NewTask[int, int]("fail", queue.Retries(5), queue.Spaced(queue.Backoff{Base: time.Hour}))
		p := open(t, pool.Config{Workers: 1}, fail.Handler(func(context.Context, int) (int, error) { time.Sleep(time.Second); return 0, boom }))
		retrying := submit(t, p, fail, 1)
		time.Sleep(time.Minute)
		running := submit(t, p, fail, 1)
		synctest.Wait()
		from := time.Now()
		if err := p.Shutdown(t.Context(), pool.CancelPending()); err != nil || time.Since(from) != time.Second {
			t.Errorf("%v, after %v", err, time.Since(from))
		}
		wantErr(t, retrying, queue.ErrCancelled)
		wantErr(t, running, boom)
	})
}

func TestARetryDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := queue.NewTask[int, int]("again", queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Hour}), queue.Expire(time.Minute))
		p := open(t, pool.Config{Workers: 1}, again.Handler(func(ctx context.Context, _ int) (int, error) {
			if n := queue.FromContext(ctx).Attempt; n > 1 {
				return n, nil
			}
			return 0, errors.New("not yet")
		}))
		wantValue(t, submit(t, p, again, 1), 2) // it did start in time
	})
}

var tablesRead atomic.Int32

type table struct{ N int }

func (v *table) UnmarshalJSON([]byte) error { tablesRead.Add(1); v.N = 7; return nil }

func TestACommonArgumentIsDecodedOnce(t *testing.T) {
	use := queue.NewTask[int, int]("use", queue.Encoded(queue.JSON), queue.Sharing(table{7}))
	p := open(t, pool.Config{Workers: 2, Strict: true}, use.Handler(func(ctx context.Context, n int) (int, error) {
		v, err := queue.Common[table](ctx)
		return n * v.N, err
	}))
	before := tablesRead.Load()
	for n := range 10 {
		wantValue(t, submit(t, p, use, n), 7*n)
	}
	if n := tablesRead.Load() - before; n != 1 {
		t.Errorf("it was decoded %d times for 10 tasks", n)
	}
}

func TestAnyTaskIsFoundByItsID(t *testing.T) {
	p := open(t, pool.Config{Workers: 1}, double.Handler(twice), held.Handler(hold))
	g := newGate()
	defer close(g.let)
	for range 2 { // before somebody has asked for a task, and after that
		running := submit(t, p, held, g)
		<-g.began
		waiting, delayed := submit(t, p, double, 2), submit(t, p, double, 3, queue.Delay(time.Hour))
		for _, f := range []*queue.Future[int]{running, waiting, delayed} {
			again, err := p.Open(t.Context(), &queue.Message{Queue: queue.DefaultQueue, ID: f.ID()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err, ended := again.Outcome(); ended {
				t.Errorf("a task that has not ended: %v", err)
			}
		}
		if r, err := delayed.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
			t.Errorf("%v, %v", r, err)
		}
		g.let <- struct{}{}
		wantValue(t, running, 1)
		wantValue(t, waiting, 4)
		for _, f := range []*queue.Future[int]{running, waiting, delayed} {
			gone, err := double.Open(t.Context(), p, f.ID())
			if err != nil {
				t.Fatal(err)
			}
			wantErr(t, gone, queue.ErrResultExpired)
		}
	}
}

var held = queue.NewTask[*gate, int]("held")

func hold(ctx context.Context, g *gate) (int, error) { return g.run(ctx) }

func TestWhoWantsNoReplyMayCancel(t *testing.T) {
	p := open(t, pool.Config{Workers: 1}, double.Handler(twice))
	quiet := submit(t, p, double, 1, queue.NoReply(), queue.Delay(time.Hour))
	if r, err := quiet.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	if err := p.Shutdown(t.Context()); err != nil { // or it would wait for an hour
		t.Error(err)
	}
}

func TestAHandlerThatWrapsAnotherSeesAWholeMessage(t *testing.T) {
	both(t, func(t *testing.T, strict bool) {
		r := double.Handler(twice)
		inner, seen := r.Handler, make(chan queue.TaskID, 1)
		r.Handler = queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
			seen <- m.ID
			if in := m.Direct; !strict && (in == nil || in.In != 3) {
				t.Errorf("it got %+v", m)
			}
			return inner.Handle(ctx, m)
		})
		p := open(t, pool.Config{Workers: 1, Strict: strict}, r)
		f := submit(t, p, double, 3)
		wantValue(t, f, 6)
		if id := <-seen; id != f.ID() {
			t.Errorf("the message's id is %v, the task's is %v", id, f.ID())
		}
	})
}

func TestAFutureHoldsNoMoreThanTheValue(t *testing.T) { // C59
	type big [1 << 16]byte
	read := queue.NewTask[*big, int]("read")
	p := open(t, pool.Config{Workers: 1}, read.Handler(func(context.Context, *big) (int, error) { return 1, nil }))
	g := newGate()
	defer close(g.let)
	var in [4]weak.Pointer[big]
	arg := func(i int) *big { v := &big{}; in[i] = weak.Make(v); return v }
	closing := func(i int) func(context.Context) (int, error) {
		v := arg(i)
		return func(context.Context) (int, error) { return int(v[0]), nil }
	}
	futures := []*queue.Future[int]{submit(t, p, read, arg(0)), run(t, p, closing(1))}
	for _, f := range futures {
		if _, err := f.Get(t.Context()); err != nil {
			t.Error(err)
		}
	}
	run(t, p, g.run)
	<-g.began
	for _, f := range []*queue.Future[int]{submit(t, p, read, arg(2)), run(t, p, closing(3))} {
		if r, err := f.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
			t.Errorf("%v, %v", r, err)
		}
		futures = append(futures, f)
	}
	for i := range in {
		for deadline := time.Now().Add(10 * time.Second); in[i].Value() != nil; runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("future %d still holds the argument", i)
			}
		}
	}
	runtime.KeepAlive(futures)
}
