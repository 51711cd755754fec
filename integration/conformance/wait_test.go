package conformance

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"
	"weak"

	"github.com/cenote-go/cenote/queue"
)

// waitRows are about waiting for many futures.
var waitRows = []row{
	{"C52", "LPD", "Wait for all, the first, the first error", func(b *bed) {
		d := newDoor(b)
		slow := d.submit()
		quick := submit(b, double, 1)
		done, pending, err := queue.Wait(b.ctx, queue.FirstCompleted, slow, quick)
		if err != nil || len(done) != 1 || done[0].ID() != quick.ID() || len(pending) != 1 {
			b.Errorf("FirstCompleted: %d done, %d pending, %v", len(done), len(pending), err)
		}
		bad := submit(b, evens, 1)
		done, pending, err = queue.Wait(b.ctx, queue.FirstError, slow, quick, bad)
		if err != nil || len(done) != 2 || len(pending) != 1 {
			b.Errorf("FirstError: %d done, %d pending, %v", len(done), len(pending), err)
		}
		d.open()
		done, pending, err = queue.Wait(b.ctx, queue.AllCompleted, slow, quick, bad)
		if err != nil || len(done) != 3 || len(pending) != 0 {
			b.Errorf("AllCompleted: %d done, %d pending, %v", len(done), len(pending), err)
		}
	}},
	{"C53", "LPD", "Wait for what is there does not wait", func(b *bed) {
		d := newDoor(b)
		slow, quick, bad := d.submit(), submit(b, double, 1), submit(b, evens, 1)
		value(b, quick)
		fails(b, bad, errOdd)
		for mode, first := range map[queue.WaitMode]queue.Waitable{queue.FirstCompleted: quick, queue.FirstError: bad} {
			done, pending, err := queue.Wait(gone(b), mode, slow, first)
			if err != nil || len(done) != 1 || done[0] != first || len(pending) != 1 {
				b.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
			}
		}
		if done, pending, err := queue.Wait(gone(b), queue.AllCompleted, quick, bad); err != nil || len(done) != 2 || len(pending) != 0 {
			b.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
		}
		d.open()
	}},
	{"C54", "LPD", "a Wait that ctx ends loses no future; duplicates collapse", func(b *bed) {
		d := newDoor(b)
		slow, quick := d.submit(), submit(b, double, 1)
		value(b, quick)
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Millisecond)
		defer cancel()
		done, pending, err := queue.Wait(ctx, queue.AllCompleted, slow, quick, slow, quick)
		if len(done) != 1 || len(pending) != 1 {
			b.Errorf("%d done, %d pending", len(done), len(pending))
		}
		is(b, err, context.DeadlineExceeded)
		d.open()
	}},
	{"C55", "LPD", "a cancelled future counts as done", func(b *bed) {
		b.occupy()
		f := submit(b, double, 1)
		cancels(b, f, queue.CancelBeforeStart)
		done, pending, err := queue.Wait(b.ctx, queue.AllCompleted, f)
		if err != nil || len(done) != 1 || len(pending) != 0 {
			b.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
		}
	}},
	{"C56", "LPD", "AsCompleted: as they end, each once", func(b *bed) {
		d := newDoor(b)
		slow, quick := d.submit(), submit(b, double, 1)
		var got []queue.TaskID
		for f, err := range queue.AsCompleted(b.ctx, slow, quick, slow) {
			if err != nil {
				b.Fatal(err)
			}
			got = append(got, f.ID())
			d.open()
		}
		if !slices.Equal(got, []queue.TaskID{quick.ID(), slow.ID()}) {
			b.Errorf("order %v", got)
		}
	}},
	{"C57", "LPD", "AsCompleted says how many are unfinished", func(b *bed) {
		d := newDoor(b)
		fs := []queue.Waitable{d.submit(), d.submit(), submit(b, double, 1), submit(b, double, 2)}
		ctx, cancel := context.WithTimeout(b.ctx, 500*time.Millisecond)
		defer cancel()
		var last error
		for _, err := range queue.AsCompleted(ctx, fs...) {
			last = err
		}
		d.open()
		if last == nil || !strings.Contains(last.Error(), "2 of 4 unfinished") {
			b.Errorf("error %v", last)
		}
	}},
	{"C58", "LPD", "a future that was yielded is not kept", func(b *bed) {
		var weaks []weak.Pointer[queue.Future[int]]
		rest := queue.AsCompleted(b.ctx, func() (fs []queue.Waitable) {
			for i := range 5 {
				f := submit(b, double, i)
				fs, weaks = append(fs, f), append(weaks, weak.Make(f))
			}
			return fs
		}()...)
		kept := func() int {
			runtime.GC()
			return len(slices.DeleteFunc(slices.Clone(weaks), func(p weak.Pointer[queue.Future[int]]) bool { return p.Value() == nil }))
		}
		n := 0
		for _, err := range rest {
			if err != nil {
				b.Fatal(err)
			}
			n++
			b.until("the futures before to be collected", func() bool { return kept() <= 6-n }) // the one at hand may be on the stack
		}
		if n != 5 {
			b.Errorf("%d futures", n)
		}
	}},
}
