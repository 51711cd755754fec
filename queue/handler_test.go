package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

func TestMuxFindsTheHandlerByType(t *testing.T) {
	triple := queue.NewTask[int, int]("triple")
	f := newFake(t, double.Handler(doubling), triple.Handler(func(_ context.Context, n int) (int, error) { return 3 * n, nil }))
	if v, err := double.Call(t.Context(), f, 5); v != 10 || err != nil {
		t.Errorf("double: %d, %v", v, err)
	}
	if v, err := triple.Call(t.Context(), f, 5); v != 15 || err != nil {
		t.Errorf("triple: %d, %v", v, err)
	}
	if n := f.mux.Types(); n != 2 {
		t.Errorf("%d types, want 2", n)
	}
}

func TestMuxDoesNotKnowEveryType(t *testing.T) {
	mux, err := queue.NewMux(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mux.Handle(t.Context(), &queue.Message{Type: "other"})
	if !errors.Is(err, queue.ErrUnknownType) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("got %v", err)
	}
}

func TestMuxRefusesWrongRoutes(t *testing.T) {
	h := queue.HandlerFunc(func(context.Context, *queue.Message) ([]byte, error) { return nil, nil })
	for name, c := range map[string]struct {
		routes []queue.Route
		want   error
		says   string
	}{
		"two handlers": {[]queue.Route{double.Handler(doubling), double.Handler(doubling)}, queue.ErrOption, "keep one"},
		"nil function": {[]queue.Route{double.Handler(nil)}, queue.ErrOption, "nil"},
		"nil handler":  {[]queue.Route{{Type: "x"}}, queue.ErrOption, "nil"},
		"wrong name":   {[]queue.Route{{Type: "a b", Handler: h}}, queue.ErrName, `"a b"`},
		"no name":      {[]queue.Route{{Handler: h}}, queue.ErrName, "empty"},
	} {
		if _, err := queue.NewMux(c.routes); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMiddlewareOrder(t *testing.T) {
	var trace []string
	note := func(name string) queue.Middleware {
		return func(next queue.Handler) queue.Handler {
			return queue.HandlerFunc(func(ctx context.Context, m *queue.Message) ([]byte, error) {
				trace = append(trace, name+" in")
				v, err := next.Handle(ctx, m)
				trace = append(trace, name+" out")
				return v, err
			})
		}
	}
	h := queue.HandlerFunc(func(context.Context, *queue.Message) ([]byte, error) {
		trace = append(trace, "handler")
		return []byte{1}, nil
	})
	mux, err := queue.NewMux([]queue.Route{{Type: "t", Handler: h}}, note("first"), note("second"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := mux.Handle(t.Context(), &queue.Message{Type: "t"}); len(v) != 1 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if got := strings.Join(trace, ", "); got != "first in, second in, handler, second out, first out" {
		t.Errorf("order: %s", got)
	}
}

func TestMiddlewareMayAnswerItself(t *testing.T) {
	closed := func(queue.Handler) queue.Handler {
		return queue.HandlerFunc(func(context.Context, *queue.Message) ([]byte, error) { return nil, queue.NoRetry(errors.New("closed")) })
	}
	mux, err := queue.NewMux([]queue.Route{double.Handler(func(context.Context, int) (int, error) {
		t.Error("the handler ran")
		return 0, nil
	})}, closed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mux.Handle(t.Context(), &queue.Message{Type: "double"}); err == nil || err.Error() != "closed" {
		t.Errorf("got %v", err)
	}
}

func TestHandlerRefusesWhatItCannotDecode(t *testing.T) {
	route := double.Handler(func(context.Context, int) (int, error) {
		t.Error("the function was called")
		return 0, nil
	})
	for name, m := range map[string]*queue.Message{
		"text for a number": {Payload: []byte{0xa1, 'x'}},
		"nothing":           {},
		"hostile":           {Payload: []byte{0xdd, 0x7f, 0xff, 0xff, 0xff}},
		"another codec":     {Payload: []byte("1"), Codec: "json"},
	} {
		if _, err := route.Handler.Handle(t.Context(), m); !errors.Is(err, queue.ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	boom := queue.NewTask[bomb, int]("boom", queue.Encoded(queue.JSON))
	h := boom.Handler(func(context.Context, bomb) (int, error) { return 0, nil }).Handler
	if _, err := h.Handle(t.Context(), &queue.Message{Codec: "json", Payload: []byte("{}")}); !errors.Is(err, queue.ErrDecode) || !strings.Contains(err.Error(), "bang") {
		t.Errorf("a decoder that panics: %v", err)
	}
}

func TestValuesThatCannotBeEncodedAreTold(t *testing.T) {
	channels := queue.NewTask[int, chan int]("channels")
	f := newFake(t, channels.Handler(func(context.Context, int) (chan int, error) { return make(chan int), nil }))
	if _, err := channels.Call(t.Context(), f, 1); !errors.Is(err, queue.ErrEncode) {
		t.Errorf("got %v", err)
	}
}

func TestTasksWithoutArgumentOrValue(t *testing.T) {
	for _, codec := range []queue.Codec{queue.Msgpack, queue.JSON} {
		ping := queue.NewTask[struct{}, struct{}]("ping", queue.Encoded(codec))
		ran := 0
		f := newFake(t, ping.Handler(func(context.Context, struct{}) (struct{}, error) { ran++; return struct{}{}, nil }))
		if _, err := ping.Call(t.Context(), f, struct{}{}); err != nil || ran != 1 {
			t.Errorf("%q: %v, ran %d times", codec.Name(), err, ran)
		}
		if n := len(f.sent[0].Payload); n != 0 {
			t.Errorf("%q: no argument takes %d bytes on the wire", codec.Name(), n)
		}
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	type thumb struct {
		Name string
		Size []int
		Meta map[string]string
	}
	in := thumb{"a", []int{1, -2, 1 << 40}, map[string]string{"k": "ü"}}
	for _, codec := range []queue.Codec{queue.Msgpack, queue.JSON} {
		echo := queue.NewTask[thumb, thumb]("echo", queue.Encoded(codec))
		f := newFake(t, echo.Handler(func(_ context.Context, v thumb) (thumb, error) { return v, nil }))
		out, err := echo.Call(t.Context(), f, in)
		if err != nil || out.Name != in.Name || len(out.Size) != 3 || out.Size[2] != 1<<40 || out.Meta["k"] != "ü" {
			t.Errorf("%q: %+v, %v", codec.Name(), out, err)
		}
	}
}

func TestRunningTravelsInTheContext(t *testing.T) {
	if r := queue.FromContext(t.Context()); !r.ID.IsZero() || r.Attempt != 0 {
		t.Errorf("outside a handler: %+v", r)
	}
	id := queue.NewTaskID(0)
	ctx := queue.WithRunning(t.Context(), queue.Running{ID: id, Attempt: 2, Token: 3}, nil)
	if r := queue.FromContext(context.WithValue(ctx, otherKey{}, 1)); r.ID != id || r.Attempt != 2 || r.Token != 3 {
		t.Errorf("inside: %+v", r)
	}
}

func TestSubmitAllTellsEachItem(t *testing.T) {
	picky := queue.NewTask[any, int]("picky")
	f := newFake(t, picky.Handler(func(context.Context, any) (int, error) { return 1, nil }))
	futures, err := picky.SubmitAll(t.Context(), f, []any{1, make(chan int), "x", func() {}})
	bulk, ok := errors.AsType[*queue.BulkError](err)
	if !ok || bulk.Total != 4 || len(bulk.Errs) != 2 || !errors.Is(bulk.Errs[1], queue.ErrEncode) || !errors.Is(bulk.Errs[3], queue.ErrEncode) {
		t.Fatalf("got %v", err)
	}
	for i, fut := range futures {
		if (fut == nil) != (bulk.Errs[i] != nil) {
			t.Errorf("item %d: future %v and error %v", i, fut, bulk.Errs[i])
		}
	}
	if v, err := futures[2].Get(t.Context()); v != 1 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if futures, err := picky.SubmitAll(t.Context(), f, nil); len(futures) != 0 || err != nil {
		t.Errorf("nothing: %v, %v", futures, err)
	}
}

// otherKey is a context key that is not the package's.
type otherKey struct{}
