package queue

import (
	"fmt"
	"maps"
	"time"
)

// Option changes how a task is submitted: for all its submissions when given to
// [NewTask], for one when given to a verb. A verb's options win.
type Option func(*settings)

// settings are a message in the making.
type settings struct {
	msg    Message
	codec  Codec
	forms  []errorForm
	window int
	chunk  int // how many arguments of a Map share a message; 0 is measured
	fast   bool
	common *commonArg
	err    error // the first thing wrong
}

func (s *settings) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *settings) duration(name string, d time.Duration) time.Duration {
	if d < 0 {
		s.fail(fmt.Errorf("%w: %s is %v; give it a duration of at least 0", ErrOption, name, d))
		return 0
	}
	return d
}

// On puts the task on the queue of that name. Default: "default".
func On(name string) Option {
	return func(s *settings) {
		if err := CheckName("queue", name); err != nil {
			s.fail(err)
		}
		s.msg.Queue, s.msg.Stream = name, false
	}
}

// OnStream puts the task on the stream queue of that name: every consumer group
// gets it, one worker within each group runs it. Nobody waits for the outcome
// unless [ReplyFrom] says whose it is.
func OnStream(name string) Option {
	return func(s *settings) {
		On(name)(s)
		s.msg.Stream = true
	}
}

// ReplyFrom makes the outcome of a task on a stream that of the given consumer
// group.
func ReplyFrom(group string) Option {
	return func(s *settings) {
		if err := CheckName("group", group); err != nil {
			s.fail(err)
		}
		s.msg.Group = group
	}
}

// Retries is how many failed attempts may be tried again. Default: 0.
// Deliveries that end with a lost worker are counted apart, by the worker's
// MaxCrashes.
func Retries(n int) Option {
	return func(s *settings) {
		if n < 0 {
			s.fail(fmt.Errorf("%w: Retries is %d; give it a number of at least 0", ErrOption, n))
			return
		}
		s.msg.Retries = n
	}
}

// Spaced sets how failed attempts are spaced. Default: see [Backoff].
func Spaced(b Backoff) Option {
	return func(s *settings) {
		s.msg.Backoff = Backoff{s.duration("Backoff.Base", b.Base), s.duration("Backoff.Max", b.Max)}
	}
}

// Timeout is the longest one attempt may run, in whole milliseconds: after it
// the handler's context is cancelled with cause [ErrTimeout]. Default: no limit.
func Timeout(d time.Duration) Option {
	return func(s *settings) { s.msg.Timeout = s.duration("Timeout", d) }
}

// Delay makes the task start no sooner than d after the store has it, by the
// store's clock, in whole milliseconds.
func Delay(d time.Duration) Option {
	return func(s *settings) { s.msg.Delay, s.msg.RunAt = s.duration("Delay", d), time.Time{} }
}

// At makes the task start no sooner than t by the store's clock, in whole
// milliseconds. A time that has passed is now.
func At(t time.Time) Option {
	return func(s *settings) { s.msg.Delay, s.msg.RunAt = 0, t }
}

// Expire gives the task up unless it starts within d of its submission.
// Default: it waits for ever.
func Expire(d time.Duration) Option {
	return func(s *settings) { s.msg.Expire = s.duration("Expire", d) }
}

// Keep keeps the outcome for d after the task has finished, for anybody who
// asks by id. Default: only the producer that waits gets it.
func Keep(d time.Duration) Option {
	return func(s *settings) { s.msg.Keep = s.duration("Keep", d) }
}

// DefaultKeyKeep is how long the outcome of a task with an [ID] is kept unless
// [Keep] says otherwise.
const DefaultKeyKeep = time.Hour

// ID makes the submission idempotent: submissions to one queue with the same
// key are one task, and all of them get its outcome, while the task exists and
// as long as its outcome is kept (see [DefaultKeyKeep]). A key that is the text
// form of a [TaskID] stands for that very id.
func ID(key string) Option {
	return func(s *settings) {
		if key == "" {
			s.fail(fmt.Errorf("%w: ID is empty; leave it out to get a fresh id", ErrOption))
		}
		s.msg.Key = key
	}
}

// NoReply says that nobody waits: no outcome is sent, which makes the task
// cheaper. Its future says [ErrNoReply].
func NoReply() Option { return func(s *settings) { s.msg.NoReply = true } }

// Linked makes the task die with the program that submits it, as what runs in the
// program itself does: when the producer.Client it was submitted through is closed, or
// its program is gone, the task is cancelled before it starts, or interrupted if it
// runs. What follows it by [Then] is linked as well. A program that stops or cannot
// reach Redis for a minute may be taken for gone; docs/guarantees.md says when. Linked
// is for list queues; of submissions with one [ID] the first decides. Default: a task
// that was accepted does not need its submitter.
func Linked() Option { return func(s *settings) { s.msg.Linked = true } }

// Prioritized sets the task's order among those that wait in its queue.
func Prioritized(p Priority) Option {
	return func(s *settings) {
		if p > Low {
			s.fail(fmt.Errorf("%w: priority %d; use High, Normal or Low", ErrOption, p))
		}
		s.msg.Priority = p
	}
}

// Header adds metadata that travels with the task; see [FromContext].
func Header(key, value string) Option {
	return func(s *settings) {
		h := maps.Clone(s.msg.Headers) // the task's own map is shared by its submissions
		if h == nil {
			h = map[string]string{}
		}
		h[key] = value
		s.msg.Headers = h
	}
}

// Encoded sets the codec of the task's argument and value. Default: [Msgpack].
func Encoded(c Codec) Option {
	return func(s *settings) {
		if c == nil {
			s.fail(fmt.Errorf("%w: the codec is nil", ErrOption))
			return
		}
		s.codec, s.msg.Codec = c, c.Name()
	}
}
