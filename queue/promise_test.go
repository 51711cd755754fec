package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func succeeded(p *queue.Promise) *queue.Outcome {
	return &queue.Outcome{ID: p.ID(), State: queue.StateSucceeded, Value: []byte{7}}
}

func TestPromiseIsSetOnce(t *testing.T) {
	p := queue.NewPromise(queue.NewTaskID(0))
	if _, _, ok := p.Outcome(); ok {
		t.Fatal("settled from the start")
	}
	first := succeeded(p)
	if !p.Resolve(first) || p.Resolve(succeeded(p)) || p.Fail(queue.ErrClosed) {
		t.Error("the first Resolve must win and be the only one")
	}
	if o, err, ok := p.Outcome(); o != first || err != nil || !ok {
		t.Errorf("%v, %v, %v", o, err, ok)
	}
	q := queue.NewPromise(queue.TaskID{})
	if !q.Fail(queue.ErrClosed) || q.Resolve(first) {
		t.Error("the first Fail must win")
	}
	if o, err := q.Wait(t.Context()); o != nil || !errors.Is(err, queue.ErrClosed) {
		t.Errorf("%v, %v", o, err)
	}
	if _, err, ok := queue.FailedPromise(queue.TaskID{}, queue.ErrNoReply).Outcome(); !ok || !errors.Is(err, queue.ErrNoReply) {
		t.Errorf("%v, %v", err, ok)
	}
}

func TestDoneIsClosedBeforeAndAfter(t *testing.T) {
	p := queue.NewPromise(queue.TaskID{})
	before := p.Done()
	select {
	case <-before:
		t.Fatal("closed before the outcome is there")
	default:
	}
	p.Resolve(succeeded(p))
	<-before
	<-p.Done()
}

func TestWaitEndsWithItsContextAndCanBeRepeated(t *testing.T) {
	p := queue.NewPromise(queue.NewTaskID(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		_, err := p.Wait(ctx)
		if !errors.Is(err, queue.ErrNotReady) || !errors.Is(err, context.Canceled) || !queue.IsWait(err) || queue.IsTaskError(err) {
			t.Fatalf("got %v, want ErrNotReady and context.Canceled", err)
		}
	}
	o := succeeded(p)
	p.Resolve(o)
	if got, err := p.Wait(ctx); got != o || err != nil {
		t.Errorf("an outcome that is there counts more than a context that is over: %v, %v", got, err)
	}
}

func TestWaitEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := queue.NewPromise(queue.TaskID{}).Wait(ctx)
		if !errors.Is(err, queue.ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrTimeout) {
			t.Errorf("got %v: the end of the wait is not the task's timeout", err)
		}
	})
}

func TestOnDoneRunsInOrderOneAfterTheOther(t *testing.T) {
	p := queue.NewPromise(queue.TaskID{})
	var got []int // by callbacks only, which must not run side by side: -race tells
	var all sync.WaitGroup
	add := func(i int) {
		all.Add(1)
		p.OnDone(func() { got = append(got, i); all.Done() })
	}
	for i := range 50 {
		add(i)
	}
	p.Resolve(succeeded(p))
	for i := 50; i < 100; i++ {
		add(i)
	}
	all.Wait()
	if len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("callbacks ran in the order %v", got)
	}
}

func TestOnDoneAfterCompletionRunsAtOnceAndElsewhere(t *testing.T) {
	p := queue.FailedPromise(queue.TaskID{}, queue.ErrNoReply)
	var mu sync.Mutex
	mu.Lock()
	ran := make(chan struct{})
	p.OnDone(func() { mu.Lock(); mu.Unlock(); close(ran) }) //nolint:staticcheck // it must not run in this goroutine, which holds the lock
	mu.Unlock()
	<-ran
}

func TestCallbacksMayUseTheirPromise(t *testing.T) {
	p := queue.NewPromise(queue.TaskID{})
	ran := make(chan struct{})
	p.OnDone(func() {
		if _, _, ok := p.Outcome(); !ok {
			t.Error("a callback before the outcome")
		}
		p.OnDone(func() { close(ran) })
	})
	p.Resolve(succeeded(p))
	<-ran
}

func TestAStoppedCallbackDoesNotRun(t *testing.T) {
	p := queue.NewPromise(queue.TaskID{})
	stop := p.OnDone(func() { t.Error("a stopped callback ran") })
	ran := make(chan struct{})
	began := p.OnDone(func() { close(ran) })
	if !stop() || stop() {
		t.Error("stop reports true once, when it prevented the callback")
	}
	p.Resolve(succeeded(p))
	<-ran
	if began() {
		t.Error("stop reports that it prevented a callback that ran")
	}
}

func TestPromiseUnderConcurrency(t *testing.T) {
	for range 200 {
		p := queue.NewPromise(queue.TaskID{})
		var wins, ran, stopped atomic.Int32
		var wg, called sync.WaitGroup
		for i := range 4 {
			called.Add(1)
			wg.Go(func() {
				stop := p.OnDone(func() { ran.Add(1); called.Done() })
				if i == 0 && stop() {
					stopped.Add(1)
					called.Done()
				}
			})
			wg.Go(func() {
				if p.Resolve(succeeded(p)) {
					wins.Add(1)
				}
			})
			wg.Go(func() {
				if _, err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() { <-p.Done() })
		}
		wg.Wait()
		called.Wait()
		if wins.Load() != 1 || ran.Load()+stopped.Load() != 4 {
			t.Fatalf("%d resolutions won, %d callbacks ran, %d were stopped of 4", wins.Load(), ran.Load(), stopped.Load())
		}
	}
}

func TestFutureBeforeAndAfter(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	fut, err := double.Submit(t.Context(), f, 21)
	if err != nil {
		t.Fatal(err)
	}
	if fut.ID() != f.sent[0].ID {
		t.Errorf("id %v, want %v", fut.ID(), f.sent[0].ID)
	}
	if _, err := fut.Result(); !errors.Is(err, queue.ErrNotReady) || !errors.Is(fut.Err(), queue.ErrNotReady) || fut.State() != queue.StateUnknown {
		t.Errorf("before: %v, %v, %v", err, fut.Err(), fut.State())
	}
	told := make(chan int, 1)
	fut.OnDone(func(v int, err error) {
		if err != nil {
			t.Error(err)
		}
		told <- v
	})
	f.let(0)
	if v, err := fut.Get(t.Context()); v != 42 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if v := <-told; v != 42 {
		t.Errorf("OnDone was told %d", v)
	}
	<-fut.Done()
	if v, err := fut.Result(); v != 42 || err != nil || fut.Err() != nil || fut.State() != queue.StateSucceeded {
		t.Errorf("after: %d, %v, %v, %v", v, err, fut.Err(), fut.State())
	}
}

func TestFutureOfAValueThatDoesNotFit(t *testing.T) {
	texts := queue.NewTask[int, string]("double")
	f := newFake(t, texts.Handler(func(context.Context, int) (string, error) { return "text", nil }))
	if v, err := double.Call(t.Context(), f, 1); !errors.Is(err, queue.ErrDecode) || v != 0 || queue.IsTaskError(err) {
		t.Errorf("%d, %v; the task went well, its value cannot be read here", v, err)
	}
	other := queue.NewTask[int, int]("double", queue.Encoded(queue.JSON))
	g := newFake(t, other.Handler(doubling))
	if _, err := double.Call(t.Context(), g, 1); !errors.Is(err, queue.ErrDecode) {
		t.Errorf("the sides disagree about the codec: %v", err)
	}
}

func TestOpenOfNothing(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	if _, err := double.Open(t.Context(), f, queue.TaskID{}); !errors.Is(err, queue.ErrTaskID) {
		t.Errorf("the zero id: %v", err)
	}
	fut, err := double.Open(t.Context(), f, queue.NewTaskID(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fut.Get(t.Context()); !errors.Is(err, queue.ErrResultExpired) {
		t.Errorf("got %v", err)
	}
}

func TestWatchersAreToldOnce(t *testing.T) {
	p := queue.NewPromise(queue.NewTaskID(0))
	told := 0
	count := func(got *queue.Promise) {
		if _, _, settled := got.Outcome(); got != p || !settled {
			t.Error("a watcher is told of a promise that is not settled")
		}
		told++
	}
	for range 2 {
		if !p.Watch(count) || told != 0 {
			t.Errorf("%d were told before the promise is settled", told)
		}
	}
	p.Fail(errors.New("no"))
	p.Fail(errors.New("no"))
	if told != 2 {
		t.Errorf("%d were told, want both, once, before Fail returns", told)
	}
	if p.Watch(count) || told != 2 {
		t.Error("a promise that is settled is watched")
	}
}

func TestADirectValueIsAnOutcomeForWhoAsks(t *testing.T) {
	p := queue.NewPromise(queue.NewTaskID(0))
	f := queue.FutureOf[int](p)
	if _, err := f.Result(); !errors.Is(err, queue.ErrNotReady) {
		t.Errorf("before: %v", err)
	}
	if !p.ResolveDirect(3, 7) || p.ResolveDirect(4, 8) || p.Resolve(&queue.Outcome{}) || p.Fail(queue.ErrClosed) {
		t.Error("it is settled once")
	}
	if v, err := f.Get(t.Context()); v != 7 || err != nil || f.State() != queue.StateSucceeded {
		t.Errorf("%d, %v, %v", v, err, f.State())
	}
	o, err, ok := p.Outcome()
	if !ok || err != nil || o.ID != p.ID() || o.Attempt != 3 || o.Direct != 7 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := queue.FutureOf[string](p).Get(t.Context()); !errors.Is(err, queue.ErrTaskMismatch) {
		t.Errorf("a value of another type: %v", err)
	}
	none := queue.NewPromise(queue.NewTaskID(0))
	none.ResolveDirect(1, nil)
	if v, err := queue.FutureOf[any](none).Get(t.Context()); v != nil || err != nil {
		t.Errorf("a nil interface: %v, %v", v, err)
	}
}
