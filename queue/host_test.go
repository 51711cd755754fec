package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/cenote-go/cenote/queue"
)

func TestEventsArriveInOrderUntilTheEnd(t *testing.T) {
	listening := make(chan struct{})
	f := newFake(t, double.Handler(func(ctx context.Context, n int) (int, error) {
		queue.Progress(ctx, 1, 2)
		queue.Logf(ctx, "half of %d", n)
		queue.Progress(ctx, 2, 2)
		return n, nil
	}))
	f.gate = true
	fut, err := double.Submit(t.Context(), f, 7)
	if err != nil {
		t.Fatal(err)
	}
	// The iterator listens from the moment it is ranged over; the first event of
	// the test's own says that it does.
	go func() {
		<-listening
		f.let(0)
	}()
	done := make(chan []string)
	go func() {
		var got []string
		first := true
		for e := range fut.Events(t.Context()) {
			if first {
				close(listening)
				first = false
			}
			if e.Text == "hello" {
				continue
			}
			if e.Attempt != 1 || e.At.IsZero() {
				t.Errorf("%+v", e)
			}
			got = append(got, fmt.Sprintf("%d/%d%s", e.Done, e.Total, e.Text))
		}
		done <- got
	}()
	for heard := false; !heard; {
		select {
		case <-listening:
			heard = true
		default:
			f.emit(queue.Event{Text: "hello"})
		}
	}
	if s := strings.Join(<-done, " "); s != "1/2 0/0half of 7 2/2" {
		t.Errorf("heard %q", s)
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	f.gate = true
	fut, err := double.Submit(t.Context(), f, 7)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for e := range fut.Events(ctx) {
		t.Errorf("%+v", e)
	}
}

func TestOutsideOfAHandler(t *testing.T) {
	queue.Progress(t.Context(), 1, 2)
	queue.Logf(t.Context(), "nobody hears")
	if err := queue.Aside(t.Context(), func() error { return errOdd }); !errors.Is(err, errOdd) {
		t.Errorf("Aside: %v", err)
	}
	if _, err := queue.Common[int](t.Context()); !errors.Is(err, queue.ErrOption) {
		t.Errorf("Common: %v", err)
	}
	host := &fakeHost{}
	if err := queue.Aside(running(t.Context(), 1, host), func() error { return errOdd }); !errors.Is(err, errOdd) || host.aside != 1 {
		t.Errorf("Aside in a handler: %v, %d", err, host.aside)
	}
}

func TestCommonArgument(t *testing.T) {
	data, err := msgpack.Marshal(map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	host := &fakeHost{common: data}
	if m, err := queue.Common[map[string]int](running(t.Context(), 1, host)); err != nil || m["a"] != 1 || host.loads != 1 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := queue.Common[int](running(t.Context(), 1, host)); !errors.Is(err, queue.ErrDecode) {
		t.Errorf("of another type, from bytes: %v", err)
	}
	host = &fakeHost{value: "as it is"}
	if s, err := queue.Common[string](running(t.Context(), 1, host)); s != "as it is" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if _, err := queue.Common[int](running(t.Context(), 1, host)); !errors.Is(err, queue.ErrTaskMismatch) {
		t.Errorf("of another type: %v", err)
	}
	f := newFake(t, double.Handler(doubling))
	if _, err := double.Call(t.Context(), f, 1, queue.Sharing(3)); !errors.Is(err, queue.ErrOption) {
		t.Errorf("an executor that shares nothing: %v", err)
	}
}

func TestCancel(t *testing.T) {
	started := make(chan struct{})
	f := newFake(t, double.Handler(func(ctx context.Context, n int) (int, error) {
		select {
		case started <- struct{}{}:
		case <-ctx.Done():
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}))
	f.gate = true
	submit := func() *queue.Future[int] {
		fut, err := double.Submit(t.Context(), f, 1)
		if err != nil {
			t.Fatal(err)
		}
		return fut
	}
	waits := submit()
	if r, err := waits.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil || !errors.Is(waits.Err(), queue.ErrCancelled) {
		t.Errorf("before its start: %v, %v, %v", r, err, waits.Err())
	}
	if r, err := waits.Cancel(t.Context()); r != queue.CancelBeforeStart || err != nil {
		t.Errorf("twice: %v, %v", r, err)
	}
	runs := submit()
	f.let(1)
	<-started
	if r, err := runs.Cancel(t.Context()); r != queue.CancelTooLate || err != nil {
		t.Errorf("it runs: %v, %v", r, err)
	}
	if r, err := runs.Cancel(t.Context(), queue.Kill(0)); r != queue.CancelInterrupted || err != nil {
		t.Errorf("interrupted: %v, %v", r, err)
	}
	if _, err := runs.Get(t.Context()); !errors.Is(err, queue.ErrCancelled) || runs.State() != queue.StateCancelled {
		t.Errorf("%v, %v", err, runs.State())
	}
	f.bare = true
	bare := submit()
	if _, err := bare.Cancel(t.Context()); !errors.Is(err, queue.ErrOption) {
		t.Errorf("nobody who can: %v", err)
	}
	if err := bare.Forget(t.Context()); err != nil || !errors.Is(bare.Err(), queue.ErrResultExpired) {
		t.Errorf("forgotten: %v, %v", err, bare.Err())
	}
	for r, want := range map[queue.CancelResult]string{queue.CancelTooLate: "too late", queue.CancelBeforeStart: "before start", queue.CancelInterrupted: "interrupted"} {
		if r.String() != want {
			t.Errorf("%d is %q", r, r)
		}
	}
}
