package run_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cenote-go/cenote/internal/run"
	"github.com/cenote-go/cenote/queue"
)

func TestHoweverAHandlerEndsItsEndIsToldOnce(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		handle func() ([]byte, error)
		value  string
		err    error
	}{
		"a value":         {func() ([]byte, error) { return []byte("v"), nil }, "v", nil},
		"an error":        {func() ([]byte, error) { return nil, boom }, "", boom},
		"a panic":         {func() ([]byte, error) { panic("boom") }, "", queue.ErrPanic},
		"a panic of nil":  {func() ([]byte, error) { panic(nil) }, "", queue.ErrPanic},                                 //nolint:govet // the runtime makes it an error
		"a nil map write": {func() ([]byte, error) { var m map[int]int; m[0]++; return nil, nil }, "", queue.ErrPanic}, //nolint:staticcheck // the panic is the point
		"Goexit":          {func() ([]byte, error) { runtime.Goexit(); return nil, nil }, "", queue.ErrExited},
	} {
		t.Run(name, func(t *testing.T) {
			h := queue.HandlerFunc(func(context.Context, *queue.Message) ([]byte, error) { return c.handle() })
			times := 0
			var value []byte
			var err error
			var wg sync.WaitGroup
			wg.Add(1)
			go func() { // Goexit ends this goroutine, and the test with it otherwise
				defer wg.Done()
				run.Call(t.Context(), h, &queue.Message{}, func(v []byte, e error) { times++; value, err = v, e })
			}()
			wg.Wait()
			if times != 1 || string(value) != c.value || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("told %d times: %q, %v; want %q, %v", times, value, err, c.value, c.err)
			}
			if p, ok := errors.AsType[*queue.PanicError](err); ok && !strings.Contains(string(p.Stack), "call_test.go") {
				t.Errorf("the stack does not show where the panic came from:\n%s", p.Stack)
			}
		})
	}
}

func TestAHandlerGetsItsContextAndMessage(t *testing.T) {
	type key struct{}
	m := &queue.Message{Type: "t"}
	h := queue.HandlerFunc(func(ctx context.Context, got *queue.Message) ([]byte, error) {
		if ctx.Value(key{}) != 1 || got != m {
			t.Errorf("got %v, %v", ctx, got)
		}
		return nil, nil
	})
	run.Call(context.WithValue(t.Context(), key{}, 1), h, m, func([]byte, error) {})
}
