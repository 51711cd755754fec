package queue

import (
	"errors"
	"fmt"
	"slices"
)

// Errors that a caller may want to tell apart, with [errors.Is].
var (
	// Refused before anything happened.
	ErrName     = errors.New("invalid name")
	ErrTaskID   = errors.New("invalid task id")
	ErrOption   = errors.New("invalid option")
	ErrTooLarge = errors.New("too large")
	ErrClosed   = errors.New("closed")

	// A pool's life.
	ErrPoolRunning   = errors.New("the pool is still open")
	ErrPoolBroken    = errors.New("the pool is broken")
	ErrNotKillable   = errors.New("a goroutine cannot be killed")
	ErrWouldDeadlock = errors.New("the wait could never end")

	// The store refused or could not be asked.
	ErrStoreFull    = errors.New("the store is full")
	ErrQueueKind    = errors.New("the queue is of another kind")
	ErrUnavailable  = errors.New("the store cannot be reached")
	ErrUnauthorized = errors.New("the store refuses these credentials")
	ErrDenied       = errors.New("the store denies this command")
	ErrUnreplicated = errors.New("too few replicas have it")
	ErrEvicts       = errors.New("the store throws tasks away when it is full")

	// The caller's own wait.
	ErrNotReady      = errors.New("the task is not finished")
	ErrNoReply       = errors.New("the task was submitted without a reply")
	ErrResultExpired = errors.New("the outcome is no longer kept")
	ErrTaskMismatch  = errors.New("the task is of another type")
	ErrTerminated    = errors.New("the pool was terminated")

	// How a task ended. They cross the wire.
	ErrPanic      = errors.New("the handler panicked")
	ErrExited     = errors.New("the handler called runtime.Goexit")
	ErrTimeout    = errors.New("the attempt took longer than its timeout")
	ErrEncode     = errors.New("cannot encode")
	ErrDecode     = errors.New("cannot decode")
	ErrWorkerLost = errors.New("the worker was lost")
	ErrCancelled  = errors.New("the task was cancelled")
	ErrExpired    = errors.New("the task did not start in time")
	ErrMalformed  = errors.New("malformed")
	ErrVersion    = errors.New("unknown wire version")
	// ErrUnauthenticated is what a program with keys says of a message or an outcome that
	// was not sealed by one of them for this task.
	ErrUnauthenticated = errors.New("not authenticated")

	// The causes a handler's context is cancelled with, besides ErrTimeout and
	// ErrCancelled; see [context.Cause].
	ErrShutdown  = errors.New("the worker is shutting down")
	ErrLeaseLost = errors.New("the worker lost its lease; another one may run the task")

	// ErrUnknownType is what a worker answers to a task that it has no handler
	// for. The task waits for a worker that has one and loses no retry.
	ErrUnknownType = errors.New("no handler for this task type")
)

// TaskError is how a failed task's error arrives at the one who waits for it.
//
// It satisfies [errors.Is] for the package's own errors that name how a task
// ended, and for errors declared with [Sentinel]; [errors.As] finds errors
// declared with [ErrorType]. A remote timeout is [ErrTimeout] and never
// [context.DeadlineExceeded]: that is the caller's own wait.
type TaskError struct {
	Kind    string // one of the words in kindNames; "" for an error the handler returned
	Code    string // the name that Sentinel or ErrorType gave the error; "" for any other
	Message string // the error's text
	Stack   string // where it came from, for a panic
	Data    []byte // the error's fields, for an ErrorType
	Attempt int    // the attempt that failed, counted from 1

	err error // what Kind, Code and Data stand for on this side; nil if nothing
}

func (e *TaskError) Error() string { return e.Message }

// Unwrap returns the error that this one stands for on this side, if any.
func (e *TaskError) Unwrap() error { return e.err }

// kindNames are the words on the wire for how a task ended.
var kindNames = map[string]error{
	"panic":     ErrPanic,
	"exit":      ErrExited,
	"timeout":   ErrTimeout,
	"encode":    ErrEncode,
	"decode":    ErrDecode,
	"lost":      ErrWorkerLost,
	"memory":    ErrOutOfMemory,
	"cancelled": ErrCancelled,
	"expired":   ErrExpired,
	"malformed": ErrMalformed,
	"version":   ErrVersion,
	"too_large": ErrTooLarge,

	"unauthenticated": ErrUnauthenticated,
}

func kindOf(err error) string {
	for _, k := range [...]string{"panic", "exit", "timeout", "unauthenticated", "too_large", "encode", "version", "decode", "memory", "lost", "cancelled", "expired", "malformed"} {
		if errors.Is(err, kindNames[k]) {
			return k
		}
	}
	return ""
}

// errorForm is how one declared error crosses the wire.
type errorForm struct {
	code string
	dump func(c Codec, err error) ([]byte, bool) // ok if err is or wraps this form's error
	load func(c Codec, data []byte) (error, error)
}

// Sentinel declares an error value that the task's handler may return, under a
// name that travels: the one who waits gets an error that [errors.Is] err.
func Sentinel(code string, err error) Option {
	return func(s *settings) {
		s.declare(errorForm{
			code: code,
			dump: func(_ Codec, got error) ([]byte, bool) { return nil, errors.Is(got, err) },
			load: func(Codec, []byte) (error, error) { return err, nil },
		}, err == nil)
	}
}

// ErrorType declares an error type that the task's handler may return, under a
// name that travels: its exported fields are encoded with the task's codec, and
// the one who waits finds it with [errors.As].
func ErrorType[E error](code string) Option {
	return func(s *settings) {
		s.declare(errorForm{
			code: code,
			dump: func(c Codec, got error) ([]byte, bool) {
				e, ok := errors.AsType[E](got)
				if !ok {
					return nil, false
				}
				data, err := encode(c, "error", e)
				return data, err == nil
			},
			load: func(c Codec, data []byte) (error, error) {
				var e E
				err := decode(c, "error", data, &e)
				return e, err
			},
		}, false)
	}
}

func (s *settings) declare(f errorForm, missing bool) {
	if err := CheckName("error code", f.code); err != nil {
		s.fail(err)
		return
	}
	if missing {
		s.fail(fmt.Errorf("%w: the error declared as %q is nil", ErrOption, f.code))
		return
	}
	s.forms = append(slices.Clip(s.forms), f) // the task's own are shared by its submissions
}

// maxErrorText bounds what of an error is stored and sent: the text of a
// runaway error must not fill the store.
const (
	maxErrorText  = 4 << 10
	maxErrorStack = 16 << 10
)

// newTaskError makes the form of err that travels.
func newTaskError(c Codec, forms []errorForm, err error, attempt int) *TaskError {
	if away, ok := errors.AsType[*attemptError](err); ok { // it has that form, from where the error was
		e := *away.form
		e.Attempt = attempt
		return &e
	}
	kind := ""
	if !IsTaskError(err) {
		kind = kindOf(err)
	}
	e := &TaskError{Kind: kind, Message: clip(err.Error(), maxErrorText), Attempt: attempt}
	if p, ok := errors.AsType[*PanicError](err); ok {
		e.Stack = clip(string(p.Stack), maxErrorStack)
	}
	for _, f := range forms {
		if data, ok := f.dump(c, err); ok {
			e.Code, e.Data = f.code, data
			break
		}
	}
	return e
}

// resolve finds what e stands for on this side.
func (e *TaskError) resolve(c Codec, forms []errorForm) *TaskError {
	out := *e
	var known []error
	if k := kindNames[e.Kind]; k != nil {
		known = append(known, k)
	}
	for _, f := range forms {
		if f.code != e.Code {
			continue
		}
		if err, bad := f.load(c, e.Data); bad == nil {
			known = append(known, err)
		}
		break
	}
	switch len(known) {
	case 0:
	case 1:
		out.err = known[0]
	default:
		out.err = errors.Join(known...)
	}
	return &out
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "... (cut)"
}

// PanicError is what a handler's panic becomes.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap makes a PanicError satisfy [errors.Is] for [ErrPanic].
func (e *PanicError) Unwrap() error { return ErrPanic }
