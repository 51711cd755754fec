package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// A worker is workersEach tasks wide; with fleet processes that makes workers of D.
const (
	fleet       = 2
	workersEach = 2
	workers     = fleet * workersEach
)

var errOdd = errors.New("odd")

// tooBig is an error type that travels.
type tooBig struct{ N, Limit int }

func (e *tooBig) Error() string { return fmt.Sprintf("%d is more than %d", e.N, e.Limit) }

// nap is a task that takes some time.
type nap struct {
	For   time.Duration
	Value int
}

// deaf has a field that no codec takes.
type deaf struct{ C chan int }

var (
	double  = queue.NewTask[int, int]("double", queue.Sentinel("odd", errOdd))
	evens   = queue.NewTask[int, int]("evens", queue.Sentinel("odd", errOdd), queue.ErrorType[*tooBig]("too-big"))
	sleep   = queue.NewTask[nap, int]("sleep")
	panics  = queue.NewTask[string, int]("panics")
	exits   = queue.NewTask[int, int]("exits")
	gated   = queue.NewTask[string, int]("gated")
	crowded = queue.NewTask[string, int]("crowded")
	mute    = queue.NewTask[int, deaf]("mute")
	unsent  = queue.NewTask[deaf, int]("unsent")
	nested  = queue.NewTask[int, int]("nested") // waits for a double; a worker's own
	token   = queue.NewTask[string, int]("token", queue.Keep(time.Minute))
	message = queue.NewTask[int, string]("message")
	wrong   = queue.NewTask[int, string]("double")                   // another's idea of what double returns
	unread  = queue.NewTask[string, int]("double", queue.Retries(3)) // and of what it takes
)

func routes() []queue.Route {
	return []queue.Route{
		double.Handler(func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
		evens.Handler(func(_ context.Context, n int) (int, error) {
			switch {
			case n%2 == 1:
				return 0, fmt.Errorf("item %d: %w", n, errOdd)
			case n > 1000:
				return 0, &tooBig{n, 1000}
			}
			return n, nil
		}),
		sleep.Handler(func(_ context.Context, n nap) (int, error) {
			time.Sleep(n.For)
			return n.Value, nil
		}),
		panics.Handler(func(_ context.Context, s string) (int, error) { panic(s) }),
		exits.Handler(func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil }),
		gated.Handler(gate),
		crowded.Handler(crowd),
		token.Handler(func(ctx context.Context, dir string) (int, error) {
			_, err := gate(context.WithoutCancel(ctx), dir) // it does not listen
			return int(queue.FromContext(ctx).Token), err
		}),
		message.Handler(func(ctx context.Context, _ int) (string, error) { return queue.FromContext(ctx).ID.String(), nil }),
		mute.Handler(func(context.Context, int) (deaf, error) { return deaf{C: make(chan int)}, nil }),
		unsent.Handler(func(context.Context, deaf) (int, error) { return 0, nil }),
	}
}

// gate says that it has begun, by a file, and ends when another file tells it to,
// or its context does. The file "ran" gets a byte for each run.
func gate(ctx context.Context, dir string) (int, error) {
	f, err := os.OpenFile(filepath.Join(dir, "ran"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	if _, err := f.Write([]byte{'.'}); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "open")); err == nil {
			return 7, nil
		}
		if _, err := os.Stat(dir); err != nil { // the row is over
			return 0, err
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), queue.ErrCancelled) {
				_ = os.WriteFile(filepath.Join(dir, "cancelled"), nil, 0o600)
			}
			return 0, context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// crowd returns how many of its kind run at once, this one included, as far as
// files tell.
func crowd(_ context.Context, dir string) (int, error) {
	f, err := os.CreateTemp(dir, "one")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	time.Sleep(5 * time.Millisecond)
	all, err := filepath.Glob(filepath.Join(dir, "one*"))
	return len(all), err
}
