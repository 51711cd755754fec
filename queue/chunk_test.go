package queue_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/cenote-go/cenote/queue"
)

// chunkOf is a message of picky with these arguments.
func chunkOf(t *testing.T, ns ...int) *queue.Message {
	t.Helper()
	m := &queue.Message{Type: "picky", Items: len(ns), ID: queue.NewTaskID(0)}
	for _, n := range ns {
		arg, err := msgpack.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		m.Payload = queue.AppendItem(m.Payload, arg)
	}
	return m
}

// running is a context of the given delivery.
func running(ctx context.Context, token uint64, h queue.Host) context.Context {
	return queue.WithRunning(ctx, queue.Running{Attempt: 1, Token: token}, h)
}

func pickyMux(t *testing.T, f func(context.Context, int) (int, error)) *queue.Mux {
	t.Helper()
	mux, err := queue.NewMux([]queue.Route{picky.Handler(f)})
	if err != nil {
		t.Fatal(err)
	}
	return mux
}

// items takes the value of a chunk apart: a number, or -1 for an error.
func items(t *testing.T, value []byte, n int) (ns []int, errs []*queue.TaskError) {
	t.Helper()
	_, all, err := queue.ParseChunk(value, n)
	if err != nil {
		t.Fatalf("%x: %v", value, err)
	}
	for _, it := range all {
		v, e := queue.ChunkItem(it)
		k := -1
		if e == nil {
			if err := msgpack.Unmarshal(v, &k); err != nil {
				t.Fatal(err)
			}
		}
		ns, errs = append(ns, k), append(errs, e)
	}
	return ns, errs
}

func TestAPanicInAnItemIsTheItems(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		f := fresh(double.Handler(func(_ context.Context, n int) (int, error) {
			if n == 1 {
				panic("boom")
			}
			return n, nil
		}))
		got, err := double.MapAll(t.Context(), f, slices.Values(upTo(3)), queue.Chunk(3))
		var me *queue.MapError
		if !errors.As(err, &me) || len(me.Failed) != 1 || !errors.Is(me.Failed[1], queue.ErrPanic) || !slices.Equal(got, []int{0, 0, 2}) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestAnItemHasItsOwnRetries(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		var tries [3]atomic.Int32
		f := fresh(double.Handler(func(_ context.Context, n int) (int, error) {
			switch k := tries[n].Add(1); {
			case n == 1 && k < 3:
				return 0, queue.RetryAfter(0, errOdd)
			case n == 2:
				return 0, queue.NoRetry(errOdd)
			}
			return n, nil
		}))
		_, err := double.MapAll(t.Context(), f, slices.Values(upTo(3)), queue.Chunk(3), queue.Retries(2))
		var me *queue.MapError
		if !errors.As(err, &me) || len(me.Failed) != 1 || me.Index != 2 {
			t.Fatalf("%v", err)
		}
		if a, b, c := tries[0].Load(), tries[1].Load(), tries[2].Load(); a != 1 || b != 3 || c != 1 {
			t.Errorf("tried %d, %d and %d times; want 1, 3 and 1", a, b, c)
		}
	})
}

func TestARedeliveredChunkSkipsWhatIsOnRecord(t *testing.T) {
	var ran []int
	host := &fakeHost{}
	// The first worker records after its slow item, and is lost at the one after that.
	ctx, lose := context.WithCancelCause(t.Context())
	mux := pickyMux(t, func(_ context.Context, n int) (int, error) {
		ran = append(ran, n)
		switch n {
		case 1:
			return 0, errOdd
		case 2:
			for start := time.Now(); time.Since(start) < 400*time.Millisecond; { // much longer than records are apart
			}
		case 3:
			lose(queue.ErrLeaseLost)
			return 0, ctx.Err()
		}
		return n * 10, nil
	})
	m := chunkOf(t, 0, 1, 2, 3, 4)
	if _, err := mux.Handle(running(ctx, 1, host), m); !errors.Is(err, queue.ErrLeaseLost) {
		t.Fatalf("lost: %v", err)
	}
	if len(host.record) == 0 || !slices.Equal(ran, []int{0, 1, 2, 3}) {
		t.Fatalf("ran %v, recorded %x", ran, host.record)
	}
	lost := ran
	ran = nil
	ctx, lose = context.WithCancelCause(t.Context())
	defer lose(nil)
	mux = pickyMux(t, func(_ context.Context, n int) (int, error) { ran = append(ran, n); return n * 10, nil })
	v, err := mux.Handle(running(ctx, 2, host), m)
	if err != nil {
		t.Fatal(err)
	}
	got, errs := items(t, v, 5)
	if !slices.Equal(got, []int{0, -1, 20, 30, 40}) || errs[1] == nil || errs[1].Code != "odd" {
		t.Errorf("%v, %v", got, errs)
	}
	if !slices.Equal(ran, []int{3, 4}) {
		t.Errorf("the second worker ran %v after the first one's %v; want what was not recorded", ran, lost)
	}
	ran = nil
	if _, err := mux.Handle(running(ctx, 1, host), m); err != nil || len(ran) != 5 {
		t.Errorf("a first delivery ran %v, %v: it has no record to look at", ran, err)
	}
	host.record = []byte{0xc1}
	if _, err := mux.Handle(running(ctx, 2, host), m); !errors.Is(err, queue.ErrMalformed) {
		t.Errorf("a broken record: %v", err)
	}
}

func TestAChunkEndsWithItsContext(t *testing.T) {
	everyWay(t, func(t *testing.T, fresh func(...queue.Route) *fake) {
		var ran atomic.Int32
		started := make(chan struct{})
		f := fresh(double.Handler(func(ctx context.Context, n int) (int, error) {
			if ran.Add(1); n == 1 {
				close(started)
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return n, nil
		}))
		fut, err := double.MapAsync(t.Context(), f, slices.Values(upTo(4)), queue.Chunk(4))
		if err != nil {
			t.Fatal(err)
		}
		<-started
		if r, err := fut.Cancel(t.Context(), queue.Interrupt()); r != queue.CancelInterrupted || err != nil {
			t.Fatalf("%v, %v", r, err)
		}
		_, err = fut.Get(t.Context())
		var me *queue.MapError
		if !errors.As(err, &me) || len(me.Failed) != 4 || !errors.Is(err, queue.ErrCancelled) || ran.Load() != 2 {
			t.Errorf("%v; %d items ran, want 2", err, ran.Load())
		}
	})
}

func TestMalformedChunksAreRefused(t *testing.T) {
	mux := pickyMux(t, evenOnly)
	good := chunkOf(t, 0, 2)
	for name, m := range map[string]*queue.Message{
		"an argument too few":  {Type: "picky", Items: 3, Payload: good.Payload},
		"an argument too many": {Type: "picky", Items: 1, Payload: good.Payload},
		"cut short":            {Type: "picky", Items: 2, Payload: good.Payload[:len(good.Payload)-1]},
		"not bytes":            {Type: "picky", Items: 1, Payload: []byte{0x2a}},
		"a giant's claim":      {Type: "picky", Items: 1 << 30, Payload: []byte{0xc6, 0xff, 0xff, 0xff, 0xff}},
		"direct, of less":      {Type: "picky", Items: 3, Direct: &queue.Direct{In: []int{0, 2}}},
		"direct, of more":      {Type: "picky", Items: 1, Direct: &queue.Direct{In: []int{0, 2}}},
	} {
		if _, err := mux.Handle(t.Context(), m); !errors.Is(err, queue.ErrMalformed) && !errors.Is(err, queue.ErrTaskMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := mux.Handle(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut short": v[:len(v)-1], "more than is asked for": append(bytes.Clone(v), 0xc4, 0), "no time": v[2:],
	} {
		if _, _, err := queue.ParseChunk(bad, 2); !errors.Is(err, queue.ErrMalformed) {
			t.Errorf("a value that is %s: %v", name, err)
		}
	}
	// A payload that does not decode is its item's error.
	m := chunkOf(t, 0)
	m.Items, m.Payload = 2, queue.AppendItem(m.Payload, []byte{0xc1})
	if v, err = mux.Handle(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got, errs := items(t, v, 2); got[0] != 0 || errs[1] == nil || errs[1].Kind != "decode" {
		t.Errorf("%v, %v", got, errs)
	}
}
