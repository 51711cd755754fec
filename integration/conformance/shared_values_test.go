package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/shared"
)

// What two processes do to one value, and how many of their goroutines.
const (
	valueUpdates    = 60_000
	valueGoroutines = 40
)

// valueRows are about state that processes share.
var valueRows = []row{
	{"C88", "D", "a value set here is seen there; 2 processes x 60,000 Updates make 120,000", func(b *bed) {
		s := newSite(b.T)
		v := must[*shared.Value[string]](b)(shared.OpenValue[string](s.manager(), "greeting"))
		must[struct{}](b)(struct{}{}, v.Set(b.ctx, "hello"))
		partners(b, s, "answer a greeting")
		if got := must[string](b)(v.Get(b.ctx)); got != "hello, you" {
			b.Errorf("the value is %q", got)
		}
		partners(b, s, "update a value", "update a value")
		sum := must[*shared.Value[int]](b)(shared.OpenValue[int](s.manager(), "sum"))
		if got := must[int](b)(sum.Get(b.ctx)); got != 2*valueUpdates {
			b.Errorf("2 processes with %d Updates each have made it %d", valueUpdates, got)
		}
	}},
	{"C89", "D", "an array is zero, sliced, written there, checked, and added to as one step", func(b *bed) {
		s := newSite(b.T)
		a := must[*shared.Array[int64]](b)(shared.OpenArray[int64](s.manager(), "a", 10))
		if got := must[[]int64](b)(a.Slice(b.ctx, 0, 10)); !slices.Equal(got, make([]int64, 10)) {
			b.Errorf("a new array is %v", got)
		}
		partners(b, s, "write to an array", "write to an array")
		if got := must[[]int64](b)(a.Slice(b.ctx, 2, 6)); !slices.Equal(got, []int64{0, 1, 2, 3}) {
			b.Errorf("a slice is %v", got)
		}
		if got := must[int64](b)(a.Get(b.ctx, 9)); got != 2*1000*(1<<50+1) {
			b.Errorf("2 processes have added up to %d", got)
		}
		for _, i := range []int{-1, 10} {
			_, err := a.Get(b.ctx, i)
			is(b, err, shared.ErrIndex)
			is(b, a.Set(b.ctx, i, 1), shared.ErrIndex)
			_, err = a.Add(b.ctx, i, 1)
			is(b, err, shared.ErrIndex)
		}
		_, err := a.Slice(b.ctx, 5, 11)
		is(b, err, shared.ErrIndex)
		short := must[*shared.Array[int64]](b)(shared.OpenArray[int64](s.manager(), "a", 9))
		_, err = short.Get(b.ctx, 0)
		is(b, err, shared.ErrMismatch)
	}},
	{"C90", "D", "lists and dictionaries do as Python's; All tolerates change; nested updates are not lost", func(b *bed) {
		s := newSite(b.T)
		m := s.manager()
		l := must[*shared.List[int]](b)(shared.OpenList[int](m, "l"))
		d := must[*shared.Dict[string, []int]](b)(shared.OpenDict[string, []int](m, "d"))
		for _, err := range []error{
			l.Append(b.ctx, 0, 1, 2, 3, 4), l.Append(b.ctx, 5, 6), l.Insert(b.ctx, 1, 9), l.Set(b.ctx, 0, 7), d.Set(b.ctx, "k", []int{1}),
		} {
			is(b, err, nil)
		}
		if got := must[int](b)(l.Remove(b.ctx, 2)); got != 1 {
			b.Errorf("removed %d", got)
		}
		if last, first := must[int](b)(l.Pop(b.ctx)), must[int](b)(l.PopFront(b.ctx)); last != 6 || first != 7 {
			b.Errorf("popped %d and %d", last, first)
		}
		if got := must[[]int](b)(l.Slice(b.ctx, 0, 100)); !slices.Equal(got, []int{9, 2, 3, 4, 5}) {
			b.Errorf("the list is %v", got)
		}
		if v, was, err := d.SetDefault(b.ctx, "k", nil); err != nil || !was || !slices.Equal(v, []int{1}) {
			b.Errorf("under k is %v, %v", v, err)
		}
		partners(b, s, "change a dictionary", "change a dictionary")
		sizes := map[string]int{}
		for e, err := range d.All(b.ctx) {
			is(b, err, nil)
			sizes[e.Key] = len(e.Value)
		}
		if sizes["nested"] != 2*200 || sizes["k"] != 1 || len(sizes) != 2+300 {
			b.Errorf("%d of 400 nested updates, %d keys", sizes["nested"], len(sizes))
		}
		if _, ok, err := d.Remove(b.ctx, "k"); !ok || err != nil {
			b.Errorf("removed %v, %v", ok, err)
		}
	}},
}

// manager is one of this process.
func (s *site) manager() *shared.Manager {
	s.t.Helper()
	m, err := shared.New(s.redis.Client())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// partners have processes do jobs side by side, and wait until they have.
func partners(b *bed, s *site, jobs ...string) {
	b.Helper()
	all := make([]*process, len(jobs))
	for i, job := range jobs {
		all[i] = s.play(script{Part: "partner", Job: job})
	}
	for i, p := range all {
		wait(b, p.Exited())
		if p.State().ExitCode() != 0 {
			b.Errorf("%s: %s", jobs[i], p.said())
		}
	}
}

// partner is a process that does a job on shared state.
func partner(sc script, rdb *redis.Client, _ *producer.Client) error {
	m, err := shared.New(rdb)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(untilClosed(), within)
	defer cancel()
	job := map[string]func(context.Context, *shared.Manager) error{
		"answer a greeting": answerGreeting, "update a value": updateValue, "write to an array": writeArray, "change a dictionary": changeDict,
	}[sc.Job]
	return errors.Join(job(ctx, m), m.Close(ctx))
}

func answerGreeting(ctx context.Context, m *shared.Manager) error {
	v, err := shared.OpenValue[string](m, "value/greeting") // by its reference
	if err != nil {
		return err
	}
	_, err = v.Update(ctx, func(s string) (string, error) { return s + ", you", nil })
	return err
}

func updateValue(ctx context.Context, m *shared.Manager) error {
	v, err := shared.OpenValue[int](m, "sum")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, valueGoroutines)
	for g := range errs {
		all.Go(func() {
			for range valueUpdates / valueGoroutines {
				if _, errs[g] = v.Update(ctx, func(n int) (int, error) { return n + 1, nil }); errs[g] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func writeArray(ctx context.Context, m *shared.Manager) error {
	a, err := shared.OpenArray[int64](m, "a", 10)
	if err != nil {
		return err
	}
	if err := a.SetSlice(ctx, 3, []int64{1, 2, 3}); err != nil {
		return err
	}
	for range 1000 {
		if _, err := a.Add(ctx, 9, 1<<50+1); err != nil {
			return err
		}
	}
	return nil
}

// changeDict changes a dictionary, and ranges over it while another process does so too.
func changeDict(ctx context.Context, m *shared.Manager) error {
	d, err := shared.OpenDict[string, []int](m, "d")
	if err != nil {
		return err
	}
	for i := range 300 {
		if err := d.Set(ctx, fmt.Sprint("other ", i), nil); err != nil {
			return err
		}
	}
	for i := range 200 {
		if _, err := d.Update(ctx, "nested", func(v []int, _ bool) ([]int, error) { return append(v, i), nil }); err != nil {
			return err
		}
		if i%50 != 0 {
			continue
		}
		there := 0
		for k, err := range d.Keys(ctx) {
			if err != nil {
				return err
			}
			if k != "k" && k != "nested" {
				there++
			}
		}
		if there != 300 {
			return fmt.Errorf("%d of 300 keys that are there all the time were yielded", there)
		}
	}
	return nil
}
