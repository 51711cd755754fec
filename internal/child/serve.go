package child

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Variable is the environment variable by which a process knows that it is a child.
// Its value is what the parent's crew calls its tasks; see [Config.Name].
const Variable = "CENOTE_CHILD"

const version = 1

// The descriptors that a child gets from its parent.
const (
	fdIn  = 3
	fdOut = 4
)

// name is what the parent calls its tasks, if this process is a child. The variable is
// taken away at once: what this process starts, at whatever time, is an ordinary program.
var name, isChild = func() (string, bool) {
	name, ok := os.LookupEnv(Variable)
	_ = os.Unsetenv(Variable)
	return name, ok
}()

// Is reports whether this process is a child.
func Is() bool { return isChild }

// Name is the Config.Name of the crew that this child is of.
func Name() string { return name }

// serving is set when this process serves as a child: whatever a handler does then, it
// gets no children.
var serving atomic.Bool

// Serving reports whether Serve was called.
func Serving() bool { return serving.Load() }

// ServeIfChild makes a process that is a child, and does not serve yet, run tasks with the
// handlers of the routes. In any other it does nothing. who is the function that a program
// called, for what is said of bad routes.
func ServeIfChild(who string, init func(ctx context.Context) error, routes []queue.Route) {
	if !isChild || serving.Load() {
		return
	}
	mux, err := queue.NewMux(routes)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", who, err)
		os.Exit(2)
	}
	Serve(mux, init)
}

// server is the child's side of the pipes.
type server struct {
	mux   *queue.Mux
	turns chan *turn

	out   sync.Mutex // around a write
	frame []byte     // under out

	mu    sync.Mutex
	open  map[uint64]*turn  // that have not ended
	asked map[uint64]answer // requests on their way
	last  uint64            // the last request's number
	known map[string]any    // common arguments, by task type and name
}

type answer chan []byte

// Serve makes this process, which must be a child, run the tasks that its parent
// sends, with the mux, after init, which may be nil, has succeeded. It does not return:
// the process ends when its parent is gone or does not need it any more.
func Serve(mux *queue.Mux, init func(ctx context.Context) error) {
	serving.Store(true)
	settle()
	s := &server{mux: mux, turns: make(chan *turn, 64), open: map[uint64]*turn{}, asked: map[uint64]answer{}, known: map[string]any{}}
	in := os.NewFile(fdIn, "requests")
	go s.listen(bufio.NewReaderSize(in, 64<<10)) // from now on the child dies with its parent
	if init != nil {
		if err := s.initialize(init); err != nil {
			_ = s.write(func(b []byte) []byte { return appendBin(beginFrame(b, frameFailed, 1), err.Error()) })
			end(1)
		}
	}
	_ = s.write(func(b []byte) []byte { return appendUint(beginFrame(b, frameHello, 1), version) })
	go s.run()
	select {}
}

func (s *server) initialize(init func(ctx context.Context) error) error {
	done := make(chan error, 1)
	go call(func() ([]byte, error) { return nil, init(context.Background()) }, func(_ []byte, err error) { done <- err })
	return <-done
}

// write writes a frame, which make makes, to the parent. It is an error only if the
// frame is too long: without a parent the process ends.
func (s *server) write(fill func(b []byte) []byte) error {
	s.out.Lock()
	defer s.out.Unlock()
	b := fill(s.frame)
	full, err := endFrame(b)
	if err == nil {
		for rest := full; len(rest) > 0; {
			n, err := writeOut(rest)
			if err != nil {
				end(1)
			}
			rest = rest[n:]
		}
	}
	if s.frame = b[:0]; cap(b) > 1<<20 {
		s.frame = nil
	}
	return err
}

// listen reads what the parent sends. When there is no parent any more the process
// ends, with all it has started in its group, whatever its handlers do.
func (s *server) listen(r *bufio.Reader) {
	for {
		kind, body, _, err := readFrame(r, nil) // its parts are kept
		if err == nil {
			err = s.hear(kind, open(body))
		}
		if err != nil {
			end(0)
		}
	}
}

func (s *server) hear(kind byte, f *fields) error {
	switch kind {
	case frameTask:
		t, err := s.newTurn(f)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.open[t.number] = t
		s.mu.Unlock()
		s.turns <- t
	case frameCancel:
		n, which, text := f.uint(), f.uint(), string(f.bin())
		s.mu.Lock()
		t := s.open[n]
		s.mu.Unlock()
		if t != nil {
			t.cancel(causeBy(which, text))
		}
	case frameAnswer:
		n, data, failed, text := f.uint(), f.bin(), f.uint(), f.bin()
		if err := f.end(); err != nil {
			return err
		}
		s.mu.Lock()
		a := s.asked[n]
		delete(s.asked, n)
		s.mu.Unlock()
		if a != nil {
			if failed > 0 {
				a <- append([]byte{1}, text...)
			} else {
				a <- append([]byte{0}, data...)
			}
		}
		return nil
	default:
		return fmt.Errorf("%w: a frame %q", queue.ErrMalformed, kind)
	}
	return f.end()
}

// run runs the turns one after the other. A handler may end the goroutine.
func (s *server) run() {
	gone := true
	defer func() {
		if gone {
			go s.run()
		}
	}()
	for t := range s.turns {
		call(func() ([]byte, error) {
			if t.bad != nil {
				return nil, t.bad
			}
			return s.mux.Handle(t.hctx.Init(t.ctx, t), t.msg)
		}, t.end)
	}
	gone = false
}

// call calls f, and end once with what became of it.
func call(f func() ([]byte, error), end func(value []byte, err error)) {
	var value []byte
	err := queue.ErrExited
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, &queue.PanicError{Value: p, Stack: debug.Stack()}
		}
		end(value, err)
	}()
	value, err = f()
}

// newTurn reads a task.
func (s *server) newTurn(f *fields) (*turn, error) {
	t := &turn{s: s, number: f.uint()}
	wire, id := f.bin(), f.bin()
	t.queue, t.attempt, t.token = string(f.bin()), int(f.uint()), f.uint() //nolint:gosec // a count
	left := time.Duration(f.uint()) * time.Microsecond                     //nolint:gosec // a duration
	if f.bad || len(id) != len(queue.TaskID{}) {
		return nil, fmt.Errorf("%w: a task", queue.ErrMalformed)
	}
	if t.msg, t.bad = queue.ParseMessage(wire); t.bad != nil {
		t.msg = &queue.Message{}
	}
	t.msg.ID, t.msg.Queue = queue.TaskID(id), t.queue
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	if left > 0 {
		t.ctx, t.stop = context.WithTimeoutCause(t.ctx, left, queue.ErrTimeout)
	}
	return t, nil
}
