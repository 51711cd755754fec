package run_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/internal/run"
)

type job func()

func (j job) Run() { j() }

func TestTheCrewNeverOutgrowsItsSize(t *testing.T) {
	for _, size := range []int{1, 2, 7} {
		c := run.NewCrew(size)
		var now, most, ran atomic.Int32
		const n = 500
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for range n / 5 {
					c.Add(job(func() {
						k := now.Add(1)
						for old := most.Load(); k > old && !most.CompareAndSwap(old, k); old = most.Load() {
						}
						runtime.Gosched()
						ran.Add(1)
						now.Add(-1)
					}))
				}
			})
		}
		wg.Wait()
		c.Wait()
		if ran.Load() != n || most.Load() > int32(size) {
			t.Errorf("crew of %d: %d of %d jobs ran, up to %d at once", size, ran.Load(), n, most.Load())
		}
	}
}

func TestTheWholeCrewWorks(t *testing.T) {
	const size = 5
	c := run.NewCrew(size)
	var all sync.WaitGroup
	all.Add(size)
	jobs := make([]run.Job, size)
	for i := range jobs {
		jobs[i] = job(func() { all.Done(); all.Wait() }) // each ends only when all have begun
	}
	if c.Add(jobs...) {
		t.Error("as many jobs as hands, and some are said to wait")
	}
	c.Wait()
}

func TestJobsBeginInOrder(t *testing.T) {
	c := run.NewCrew(1)
	var got []int
	var jobs []run.Job
	for i := range 5000 {
		jobs = append(jobs, job(func() { got = append(got, i) }))
	}
	c.Add(jobs[:10]...)
	if !c.Add(jobs[10:]...) {
		t.Error("thousands of jobs for one, and none is said to wait")
	}
	c.Wait()
	if len(got) != len(jobs) || !slices.IsSorted(got) {
		t.Errorf("%d of %d jobs ran, or not in order", len(got), len(jobs))
	}
}

func TestTheCrewSurvivesItsJobs(t *testing.T) {
	c := run.NewCrew(2)
	var ran atomic.Int32
	for range 50 {
		c.Add(job(func() { ran.Add(1); panic("boom") }), job(func() { ran.Add(1); runtime.Goexit() }), job(func() { ran.Add(1) }))
	}
	c.Wait()
	if ran.Load() != 150 {
		t.Errorf("%d of 150 jobs ran", ran.Load())
	}
	var both sync.WaitGroup
	both.Add(2)
	for range 2 { // both hands are still there
		c.Add(job(func() { both.Done(); both.Wait() }))
	}
	c.Wait()
}

func TestTakeBackTakesWhatHasNotBegun(t *testing.T) {
	c := run.NewCrew(1)
	began, end := make(chan struct{}), make(chan struct{})
	ran := 0
	c.Add(job(func() { close(began); <-end }))
	<-began
	for range 3 {
		c.Add(job(func() { ran++ }))
	}
	if n, begun := c.Waiting(); n != 3 || begun != 1 {
		t.Errorf("%d wait and %d have begun, want 3 and 1", n, begun)
	}
	back := c.TakeBack()
	if n, _ := c.Waiting(); len(back) != 3 || n != 0 {
		t.Errorf("%d were taken back and %d still wait", len(back), n)
	}
	c.Add(back[0])
	close(end)
	c.Wait()
	if ran != 1 {
		t.Errorf("%d of those taken back ran, 1 was added again", ran)
	}
	if got := c.TakeBack(); len(got) != 0 {
		t.Errorf("%d jobs of a crew that is done", len(got))
	}
}

func TestWaitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := run.NewCrew(2)
		c.Wait() // for nothing
		for range 2 {
			c.Add(job(func() {
				time.Sleep(time.Minute)
				c.Add(job(func() { time.Sleep(time.Minute) }))
			}))
		}
		from := time.Now()
		c.Wait()
		if took := time.Since(from); took < 2*time.Minute {
			t.Errorf("it waited %v, the jobs and those they added take 2m", took)
		}
		if c.Add() {
			t.Error("no jobs are said to wait")
		}
	})
}

func TestIdleHandsAreNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		c := run.NewCrew(100)
		var all sync.WaitGroup
		all.Add(100)
		for range 100 {
			c.Add(job(func() { all.Done(); all.Wait() }))
		}
		c.Wait()
	})
}

type numbered int

func (numbered) Run() {}

func TestPickTakesWhatMatchesAndNobodyHasBegun(t *testing.T) {
	c := run.NewCrew(0) // nobody begins anything
	for i := range 10 {
		c.Add(numbered(i))
	}
	picked := c.Pick(func(j run.Job) bool { return j.(numbered)%3 == 0 })
	if got := fmt.Sprint(picked, c.TakeBack()); got != "[0 3 6 9] [1 2 4 5 7 8]" {
		t.Errorf("picked and left: %s", got)
	}
}

func TestAJobThatLendsItsPlaceWaitsForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := run.NewCrew(1)
		var order []string
		begin := make(chan struct{})
		c.Add(job(func() {
			c.Lend()
			<-begin
			c.Return()
			order = append(order, "lender")
		}), job(func() {
			close(begin)
			time.Sleep(time.Second) // the lender wants its place back
			order = append(order, "borrower")
		}), job(func() { order = append(order, "next") }))
		c.Wait()
		if want := []string{"borrower", "lender", "next"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

func TestPlacesThatAreLentAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := run.NewCrew(2)
		ended := false
		c.Add(job(func() {
			c.Lend()
			time.Sleep(time.Second)
			c.Return()
			ended = true
		}))
		c.Wait()
		if !ended {
			t.Error("Wait has returned before a job that lends its place has ended")
		}
	})
}
