package queue

// FutureOf is the future of a promise that was not made by a [Task]: its outcome is
// expected in [Outcome.Direct] as a T, or as msgpack.
func FutureOf[T any](p *Promise) *Future[T] { return &Future[T]{p: p, def: undefined} }

// undefined is what is known of a task that was not defined.
var undefined = &definition{codec: Msgpack}

// directOutcome is the outcome of a task that never left the process and succeeded
// with the value v. It is the one way to say that the value is a nil interface.
func directOutcome(id TaskID, attempt int, v any) *Outcome {
	if v == nil {
		v = directNil{}
	}
	return &Outcome{ID: id, State: StateSucceeded, Attempt: attempt, Direct: v}
}

// directNil stands for a nil in [Outcome.Direct], where nil says that the value is
// bytes.
type directNil struct{}
