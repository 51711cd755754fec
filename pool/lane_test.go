package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// behind submits a task that spins in the middle of short ones, and waits until it
// does. What is returned came after it.
func behind(t *testing.T, p *pool.ProcessPool) (spins *queue.Future[int], after []*queue.Future[int]) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "spins")
	for i := range 300 {
		var err error
		var f *queue.Future[int]
		if i == 200 {
			spins, err = spinTask.Submit(soon(t), p, file)
		} else {
			f, err = idleTask.Submit(soon(t), p, i)
		}
		if err != nil {
			t.Fatal(err)
		}
		if i > 200 {
			after = append(after, f)
		}
	}
	for ctx := soon(t); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return spins, after
		}
		if ctx.Err() != nil {
			t.Fatal("it does not begin")
		}
	}
}

func TestWhatWaitsBehindALongTaskIsCancelledBeforeItStarts(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	spins, after := behind(t, p)
	for i, f := range after {
		if r, err := f.Cancel(soon(t), queue.Interrupt()); r != queue.CancelBeforeStart || err != nil {
			t.Fatalf("%d: %v, %v", i, r, err)
		}
		if _, err := f.Get(soon(t)); !errors.Is(err, queue.ErrCancelled) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if r, err := spins.Cancel(soon(t), queue.Kill(0)); r != queue.CancelInterrupted || err != nil {
		t.Errorf("the long one: %v, %v", r, err)
	}
	if v, err := idleTask.Call(soon(t), p, 7); v != 7 || err != nil {
		t.Errorf("the pool then says %d, %v", v, err)
	}
}

func TestWhatWaitsBehindALongTaskGoesToOtherWorkers(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	spins, after := behind(t, p)
	for i, f := range after {
		if _, err := f.Get(soon(t)); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := spins.Cancel(soon(t), queue.Kill(0)); err != nil {
		t.Error(err)
	}
}

func TestWhatWaitsBehindATaskThatIsKilledRunsNext(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 1})
	spins, after := behind(t, p)
	if _, err := spins.Cancel(soon(t), queue.Kill(0)); err != nil {
		t.Error(err)
	}
	for i, f := range after {
		if _, err := f.Get(soon(t)); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestOnlyWhatCrashesIsBlamed has short tasks fly past some that end their process.
func TestOnlyWhatCrashesIsBlamed(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2, MaxCrashes: 1})
	var all []*queue.Future[int]
	for i := range 1000 {
		var f *queue.Future[int]
		var err error
		if i%100 == 50 {
			f, err = dieTask.Submit(soon(t), p, "kill")
		} else {
			f, err = idleTask.Submit(soon(t), p, i)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	for i, f := range all {
		v, err := f.Get(soon(t))
		if i%100 == 50 {
			if !errors.Is(err, queue.ErrWorkerLost) {
				t.Errorf("%d ended its process: %d, %v", i, v, err)
			}
		} else if v != i || err != nil {
			t.Errorf("%d: %d, %v", i, v, err)
		}
	}
}

func TestTerminateWhileTasksFlyEndsAll(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2})
	var all []*queue.Future[int]
	for i := range 2000 {
		f, err := idleTask.Submit(soon(t), p, i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	if _, err := all[100].Get(soon(t)); err != nil {
		t.Fatal(err)
	}
	p.Terminate()
	for i, f := range all {
		select {
		case <-f.Done():
		default:
			t.Fatalf("%d still waits", i)
		}
		if v, err := f.Result(); err == nil && v != i || err != nil && !errors.Is(err, queue.ErrTerminated) {
			t.Errorf("%d: %d, %v", i, v, err)
		}
	}
}
