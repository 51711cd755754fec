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

const version = 2

// The descriptors that a child gets from its parent.
const (
	fdTasks   = 3
	fdOut     = 4
	fdControl = 5
	fdPage    = 6
)

// maxStack is how large a goroutine's stack may grow in a child. With Go's own limit of a
// gigabyte it takes a recursion without end many seconds to be found out.
const maxStack = 256 << 20

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
	mux  *queue.Mux
	page *page
	in   *bufio.Reader // of the goroutine that runs the tasks

	out   sync.Mutex // around a write
	frame []byte     // under out

	mu    sync.Mutex
	turn  *turn             // that runs; nil between two
	begun uint64            // the last one's number
	early map[uint64]error  // of turns that have not begun, why they were cancelled
	went  uint64            // up to which one all output was passed on
	goOn  chan struct{}     // wakes who waits for that
	asked map[uint64]answer // requests on their way
	last  uint64            // the last request's number
	known map[string]any    // common arguments, by task type and name
}

type answer chan []byte

// Serve makes this process, which must be a child, run the tasks that its parent
// sends, with the mux, after init, which may be nil, has succeeded. It does not return:
// the process ends when its parent is gone or does not need it any more. A stack may
// grow to 256 MiB, as opposed to a gigabyte, unless init or a handler says otherwise by
// debug.SetMaxStack.
func Serve(mux *queue.Mux, init func(ctx context.Context) error) {
	serving.Store(true)
	settle()
	debug.SetMaxStack(maxStack)
	s := &server{
		mux: mux, page: openPage(fdPage), in: bufio.NewReaderSize(os.NewFile(fdTasks, "tasks"), 64<<10),
		early: map[uint64]error{}, goOn: make(chan struct{}, 1), asked: map[uint64]answer{}, known: map[string]any{},
	}
	go s.listen(bufio.NewReader(os.NewFile(fdControl, "control"))) // from now on the child dies with its parent
	if init != nil {
		if err := s.initialize(init); err != nil {
			_ = s.write(func(b []byte) []byte { return appendBin(beginFrame(b, frameFailed, 1), err.Error()) })
			end(1)
		}
	}
	paged := uint64(0)
	if s.page != nil {
		paged = 1
	}
	_ = s.write(func(b []byte) []byte { return appendUint(appendUint(beginFrame(b, frameHello, 2), version), paged) })
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

// listen reads what the parent has to say beside tasks. When there is no parent any more
// the process ends, with all it has started in its group, whatever its handlers do.
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
	case frameCancel:
		n, which, text := f.uint(), f.uint(), string(f.bin())
		s.cancel(n, causeBy(which, text))
	case frameGoOn:
		n := f.uint()
		s.mu.Lock()
		s.went = max(s.went, n)
		s.mu.Unlock()
		select {
		case s.goOn <- struct{}{}:
		default:
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

// cancel cancels task n, also if it comes before the task.
func (s *server) cancel(n uint64, cause error) {
	s.mu.Lock()
	t := s.turn
	if n > s.begun {
		s.early[n] = cause
	}
	s.mu.Unlock()
	if t != nil && t.number == n {
		t.cancel(cause)
	}
}

// run reads tasks and runs them, one after the other: a goroutine more would have to be
// woken for each. A handler may end the goroutine.
func (s *server) run() {
	defer func() { go s.run() }()
	for {
		kind, body, _, err := readFrame(s.in, nil) // its parts are kept
		var t *turn
		if err == nil && kind == frameTask {
			t, err = s.newTurn(open(body))
		}
		if err != nil || t == nil {
			end(0)
		}
		if !s.begin(t) {
			continue
		}
		call(func() ([]byte, error) {
			if t.bad != nil {
				return nil, t.bad
			}
			return s.mux.Handle(t.hctx.Init(t.ctx, t), t.msg)
		}, t.end)
		if t.said && s.page != nil {
			s.await(t.number)
		}
	}
}

// begin reports whether t may begin, which it has then.
func (s *server) begin(t *turn) bool {
	if !s.page.begin(t.number) {
		return false
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	if t.left > 0 {
		t.ctx, t.stop = context.WithTimeoutCause(t.ctx, t.left, queue.ErrTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn, s.begun = t, t.number
	if len(s.early) > 0 {
		if cause, ok := s.early[t.number]; ok {
			t.cancel(cause)
		}
		for n := range s.early {
			if n <= t.number {
				delete(s.early, n)
			}
		}
	}
	return true
}

// await waits until the parent has passed on what task n has written, so that it takes
// nothing of the next one's for it.
func (s *server) await(n uint64) {
	for {
		s.mu.Lock()
		went := s.went
		s.mu.Unlock()
		if went >= n {
			return
		}
		<-s.goOn
	}
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
	t.left = time.Duration(f.uint()) * time.Microsecond                    //nolint:gosec // a duration
	if f.bad || len(id) != len(queue.TaskID{}) {
		return nil, fmt.Errorf("%w: a task", queue.ErrMalformed)
	}
	if t.msg, t.bad = queue.ParseMessage(wire); t.bad != nil {
		t.msg = &queue.Message{}
	}
	t.msg.ID, t.msg.Queue = queue.TaskID(id), t.queue
	return t, nil
}
