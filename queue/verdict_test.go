package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestDecide(t *testing.T) {
	boom := errors.New("boom")
	wrap := func(err error) error { return fmt.Errorf("while working: %w", err) }
	foreign := func(kind error) error { // the error of a task that the handler waited for
		return failWith(t, kind, nil, nil)
	}
	first := queue.Attempt{Number: 1, Retries: 3, Backoff: queue.Backoff{Base: time.Second, Max: time.Minute}}
	last := queue.Attempt{Number: 4, Retries: 3}
	none := queue.Attempt{Number: 1}
	retry := func(d time.Duration) queue.Verdict { return queue.Verdict{Kind: queue.VerdictRetry, Delay: d} }
	kind := func(k queue.VerdictKind) queue.Verdict { return queue.Verdict{Kind: k} }

	for _, c := range []struct {
		name string
		err  error
		at   queue.Attempt
		want queue.Verdict
	}{
		{"no error", nil, first, kind(queue.VerdictDone)},
		{"no error at the last attempt", nil, last, kind(queue.VerdictDone)},
		{"an error", boom, first, retry(time.Second)},
		{"an error at the third attempt", boom, queue.Attempt{Number: 3, Retries: 3, Backoff: first.Backoff}, retry(4 * time.Second)},
		{"an error with all of the jitter", boom, queue.Attempt{Number: 1, Retries: 1, Backoff: first.Backoff, Jitter: 1}, retry(750 * time.Millisecond)},
		{"an error at the last attempt", boom, last, kind(queue.VerdictDead)},
		{"an error without retries", boom, none, kind(queue.VerdictDead)},
		{"crashes are another budget", boom, queue.Attempt{Number: 1, Crashes: 9, Retries: 1, Backoff: first.Backoff}, retry(time.Second)},
		{"a timeout", wrap(queue.ErrTimeout), first, retry(time.Second)},
		{"a panic", &queue.PanicError{Value: 1}, first, retry(time.Second)},
		{"Goexit", queue.ErrExited, first, retry(time.Second)},
		{"NoRetry", queue.NoRetry(boom), first, kind(queue.VerdictDead)},
		{"NoRetry, wrapped", wrap(queue.NoRetry(boom)), first, kind(queue.VerdictDead)},
		{"RetryAfter", queue.RetryAfter(7*time.Second, boom), first, retry(7 * time.Second)},
		{"RetryAfter, wrapped", wrap(queue.RetryAfter(7*time.Second, boom)), first, retry(7 * time.Second)},
		{"RetryAfter of a negative time", queue.RetryAfter(-1, boom), first, retry(0)},
		{"RetryAfter at the last attempt", queue.RetryAfter(time.Second, boom), last, kind(queue.VerdictDead)},
		{"NoRetry of RetryAfter", queue.NoRetry(queue.RetryAfter(time.Second, boom)), first, kind(queue.VerdictDead)},
		{"cannot decode", wrap(queue.ErrDecode), first, kind(queue.VerdictDead)},
		{"cannot encode", wrap(queue.ErrEncode), first, kind(queue.VerdictDead)},
		{"malformed", wrap(queue.ErrMalformed), first, kind(queue.VerdictDead)},
		{"unknown version", wrap(queue.ErrVersion), first, kind(queue.VerdictDead)},
		{"too large", wrap(queue.ErrTooLarge), first, kind(queue.VerdictDead)},
		{"cancelled", wrap(queue.ErrCancelled), first, kind(queue.VerdictCancel)},
		{"expired", wrap(queue.ErrExpired), last, kind(queue.VerdictExpire)},
		{"shutdown", wrap(queue.ErrShutdown), last, kind(queue.VerdictGiveBack)},
		{"shutdown beside an error", errors.Join(queue.ErrShutdown, boom), last, kind(queue.VerdictGiveBack)},
		{"lost lease", wrap(queue.ErrLeaseLost), last, kind(queue.VerdictDrop)},
		{"lost lease during a shutdown", errors.Join(queue.ErrShutdown, queue.ErrLeaseLost), first, kind(queue.VerdictDrop)},
		{"unknown type", wrap(queue.ErrUnknownType), last, kind(queue.VerdictPark)},
		{"another task was cancelled", foreign(queue.ErrCancelled), first, retry(time.Second)},
		{"another task expired", foreign(queue.ErrExpired), first, retry(time.Second)},
		{"another task could not decode", wrap(foreign(queue.ErrDecode)), first, retry(time.Second)},
		{"another task failed, at the last attempt", foreign(boom), last, kind(queue.VerdictDead)},
		{"the caller's own context", context.Canceled, first, retry(time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 3 { // it depends on nothing else
				if got := queue.Decide(c.err, c.at); got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			}
		})
	}
}

func TestNoRetryAndRetryAfterKeepTheError(t *testing.T) {
	boom := errors.New("boom")
	for _, err := range []error{queue.NoRetry(boom), queue.RetryAfter(time.Second, boom)} {
		if !errors.Is(err, boom) || err.Error() != "boom" {
			t.Errorf("%v: the handler's error is not to be seen in it", err)
		}
	}
}

func TestTheCauseOfACancelledContextWins(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name   string
		cause  error
		answer func(ctx context.Context) error
		want   []error
		not    []error
	}{
		{"timeout heeded", queue.ErrTimeout, context.Context.Err, []error{queue.ErrTimeout}, []error{context.Canceled}},
		{"timeout, own error", queue.ErrTimeout, func(context.Context) error { return boom }, []error{boom}, []error{queue.ErrTimeout}},
		{"timeout, finished all the same", queue.ErrTimeout, func(context.Context) error { return nil }, nil, nil},
		{"shutdown heeded", queue.ErrShutdown, context.Context.Err, []error{queue.ErrShutdown}, nil},
		{"shutdown, own error", queue.ErrShutdown, func(context.Context) error { return boom }, []error{queue.ErrShutdown, boom}, nil},
		{"lease lost, own error", queue.ErrLeaseLost, func(context.Context) error { return boom }, []error{queue.ErrLeaseLost, boom}, nil},
		{"the cause itself", queue.ErrCancelled, func(ctx context.Context) error { return fmt.Errorf("x: %w", context.Cause(ctx)) }, []error{queue.ErrCancelled}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			mux, err := queue.NewMux([]queue.Route{{Type: "t", Handler: queue.HandlerFunc(func(ctx context.Context, _ *queue.Message) ([]byte, error) {
				cancel(c.cause)
				return nil, c.answer(ctx)
			})}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = mux.Handle(ctx, &queue.Message{Type: "t"})
			if c.want == nil && err != nil {
				t.Errorf("got %v, want none", err)
			}
			for _, w := range c.want {
				if !errors.Is(err, w) {
					t.Errorf("%v is not %v", err, w)
				}
			}
			for _, n := range c.not {
				if errors.Is(err, n) {
					t.Errorf("%v is %v", err, n)
				}
			}
		})
	}
}
