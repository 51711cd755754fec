package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

var errNoImage = errors.New("no such image")

type quotaError struct {
	Limit int
	User  string
}

func (e *quotaError) Error() string { return fmt.Sprintf("%s used up a quota of %d", e.User, e.Limit) }

// valueError is an error whose type is no pointer.
type valueError struct{ Code int }

func (e valueError) Error() string { return fmt.Sprintf("code %d", e.Code) }

// failWith runs a task whose handler returns err and tells how that arrives. The
// two sides have definitions of their own, as two programs do.
func failWith(t *testing.T, err error, worker, waiter []queue.Option) error {
	t.Helper()
	there := queue.NewTask[int, int]("fail", worker...)
	here := queue.NewTask[int, int]("fail", waiter...)
	f := newFake(t, there.Handler(func(context.Context, int) (int, error) { return 0, err }))
	_, got := here.Call(t.Context(), f, 1)
	return got
}

func TestErrorsCrossTheWire(t *testing.T) {
	declared := []queue.Option{
		queue.Sentinel("image.missing", errNoImage), queue.ErrorType[*quotaError]("quota"), queue.ErrorType[valueError]("value"),
	}
	for _, codec := range []queue.Codec{queue.Msgpack, queue.JSON} {
		opts := append([]queue.Option{queue.Encoded(codec)}, declared...)
		t.Run("sentinel "+codec.Name(), func(t *testing.T) {
			err := failWith(t, fmt.Errorf("resize: %w", errNoImage), opts, opts)
			if !errors.Is(err, errNoImage) || err.Error() != "resize: no such image" {
				t.Errorf("got %v", err)
			}
		})
		t.Run("type "+codec.Name(), func(t *testing.T) {
			err := failWith(t, fmt.Errorf("resize: %w", &quotaError{Limit: 5, User: "ann"}), opts, opts)
			q, ok := errors.AsType[*quotaError](err)
			if !ok || q.Limit != 5 || q.User != "ann" || err.Error() != "resize: ann used up a quota of 5" {
				t.Errorf("got %v, %+v", err, q)
			}
		})
		t.Run("value type "+codec.Name(), func(t *testing.T) {
			if v, ok := errors.AsType[valueError](failWith(t, valueError{7}, opts, opts)); !ok || v.Code != 7 {
				t.Errorf("got %+v, %v", v, ok)
			}
		})
	}
}

func TestUndeclaredErrorsArriveAsText(t *testing.T) {
	declared := []queue.Option{queue.Sentinel("image.missing", errNoImage)}
	for name, err := range map[string]error{
		"declared nowhere":         failWith(t, errNoImage, nil, nil),
		"declared where it waits":  failWith(t, errNoImage, nil, declared),
		"declared where it is run": failWith(t, errNoImage, declared, nil),
	} {
		e, ok := errors.AsType[*queue.TaskError](err)
		if !ok || e.Message != "no such image" || e.Kind != "" || e.Attempt != 1 {
			t.Errorf("%s: %#v", name, err)
		}
		if errors.Is(err, errNoImage) {
			t.Errorf("%s: it is the error value, which nobody said it was", name)
		}
		if !queue.IsTaskError(err) || queue.IsWait(err) {
			t.Errorf("%s: not told apart from the end of a wait", name)
		}
	}
}

func TestWhatAnErrorTypeSaysIsNotTrusted(t *testing.T) {
	declared := []queue.Option{queue.ErrorType[*quotaError]("quota")}
	other := []queue.Option{queue.ErrorType[valueError]("quota"), queue.Encoded(queue.Msgpack)}
	err := failWith(t, valueError{7}, other, declared) // the same name, other fields
	if e, ok := errors.AsType[*queue.TaskError](err); !ok || e.Message != "code 7" {
		t.Errorf("the text is lost: %v", err)
	}
}

func TestHowATaskEndedCrossesTheWire(t *testing.T) {
	for _, want := range []error{
		queue.ErrPanic, queue.ErrExited, queue.ErrTimeout, queue.ErrEncode, queue.ErrDecode, queue.ErrWorkerLost,
		queue.ErrCancelled, queue.ErrExpired, queue.ErrMalformed, queue.ErrVersion, queue.ErrTooLarge,
	} {
		err := failWith(t, fmt.Errorf("while working: %w", want), nil, nil)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "while working") {
			t.Errorf("%v arrives as %v", want, err)
		}
		for _, other := range []error{queue.ErrNotReady, queue.ErrUnavailable, context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, other) {
				t.Errorf("%v arrives as %v, which is the waiting side's own", want, other)
			}
		}
	}
}

func TestAPanicBringsItsStack(t *testing.T) {
	err := failWith(t, &queue.PanicError{Value: "boom", Stack: []byte("goroutine 7")}, nil, nil)
	e, ok := errors.AsType[*queue.TaskError](err)
	if !ok || e.Stack != "goroutine 7" || !errors.Is(err, queue.ErrPanic) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %#v", err)
	}
}

func TestAHandlersOwnDeadlineIsNoTimeoutOfTheTask(t *testing.T) {
	err := failWith(t, fmt.Errorf("dial: %w", context.DeadlineExceeded), nil, nil)
	if errors.Is(err, queue.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want plain text", err)
	}
}

func TestTheErrorOfAnotherTaskIsPassedOnAsText(t *testing.T) {
	inner := failWith(t, queue.ErrCancelled, nil, nil)
	err := failWith(t, fmt.Errorf("the thumbnail: %w", inner), nil, nil)
	if errors.Is(err, queue.ErrCancelled) {
		t.Errorf("%v says that this task was cancelled; it was another one", err)
	}
}

func TestRunawayErrorsAreCut(t *testing.T) {
	err := failWith(t, &queue.PanicError{Value: strings.Repeat("x", 1<<20), Stack: make([]byte, 1<<20)}, nil, nil)
	e, _ := errors.AsType[*queue.TaskError](err)
	if e == nil || len(e.Message) > 5<<10 || len(e.Stack) > 17<<10 {
		t.Fatalf("an error text of 1 MiB travels whole: %d and %d bytes", len(e.Message), len(e.Stack))
	}
	if !strings.HasSuffix(e.Message, "(cut)") {
		t.Errorf("the text does not say that it was cut: ...%q", e.Message[len(e.Message)-20:])
	}
}

func TestBulkErrorTellsPositions(t *testing.T) {
	e := &queue.BulkError{Total: 4, Errs: map[int]error{3: queue.ErrTooLarge, 1: errNoImage}}
	if got := e.Error(); !strings.Contains(got, "2 of 4") || !strings.Contains(got, "number 1: no such image") {
		t.Errorf("%q", got)
	}
	if !errors.Is(e, queue.ErrTooLarge) || !errors.Is(e, errNoImage) {
		t.Error("the items' errors are not found in it")
	}
	if got := e.Unwrap(); len(got) != 2 || !errors.Is(got[0], errNoImage) {
		t.Errorf("not in the order of the positions: %v", got)
	}
}
