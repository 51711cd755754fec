package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// fakeT is a test that may fail. Fatalf ends the goroutine, as a test's does.
type fakeT struct {
	testing.TB
	text    strings.Builder
	cleanup []func()
}

func (f *fakeT) Helper()          {}
func (f *fakeT) Cleanup(g func()) { f.cleanup = append(f.cleanup, g) }
func (f *fakeT) Errorf(format string, args ...any) {
	fmt.Fprintf(&f.text, format+"\n", args...)
}

func (f *fakeT) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// failure returns what a test that does f fails with.
func failure(f func(t testing.TB)) string {
	t := &fakeT{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, g := range slices.Backward(t.cleanup) {
				g()
			}
		}()
		f(t)
	}()
	<-done
	return strings.TrimSpace(t.text.String())
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n%s\nwant\n%s", what, g, w)
	}
}

func is(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("the error is %v, want %v", got, want)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Mail is an argument.
type Mail struct {
	To, Subject string
}

var (
	errBounced = errors.New("bounced")

	double = queue.NewTask[int, int]("double")
	send   = queue.NewTask[Mail, string]("mail.send", queue.Retries(3), queue.Sentinel("bounced", errBounced), queue.On("mail"))
	audit  = queue.NewTask[string, struct{}]("audit", queue.NoReply())
)

func twice(_ context.Context, n int) (int, error) { return 2 * n, nil }
