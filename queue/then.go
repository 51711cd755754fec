package queue

import "fmt"

// Then makes a task be followed by another one, which gets its value as its
// argument: the two are of one chain, and the second is stored by the same step in
// Redis that finishes the first. It follows only a success. The submitting process
// need not live to see it; to wait for the second task's outcome submit it with
// [ID] or [Keep] and open it by its id.
//
// The first task's value must be what the second one takes, encoded by the same
// codec. The second task may not have [At], [Expire] or [Sharing], nor [Linked], which it gets from the first.
func Then[In, Out any](next Task[In, Out], opts ...Option) Option {
	return func(s *settings) {
		t := next.settings
		for _, o := range opts {
			o(&t)
		}
		if t.err != nil {
			s.fail(fmt.Errorf("the task that follows: %w", t.err))
			return
		}
		if t.codec.Name() != s.codec.Name() {
			s.fail(fmt.Errorf("%w: Then: %q is encoded as %q, what follows it as %q; use one codec", ErrOption,
				s.msg.Type, codecName(s.codec.Name()), codecName(t.codec.Name())))
			return
		}
		m := t.msg
		if !m.RunAt.IsZero() || m.Expire > 0 || t.common != nil || m.Linked {
			s.fail(fmt.Errorf("%w: Then: At, Expire, Sharing and Linked are not for a task that follows another; use Delay, link the first one, or submit it from the handler", ErrOption))
			return
		}
		m.NoReply = true
		if m.Key != "" && m.Keep == 0 {
			m.Keep = DefaultKeyKeep
		}
		if err := m.check(); err != nil {
			s.fail(fmt.Errorf("the task that follows: %w", err))
			return
		}
		s.msg.Then = AppendNext(nil, &m)
	}
}

// AppendNext appends the form in which a message that is to follow another one
// travels inside it: the array [queue, 1 for a stream, key, priority, delay in
// milliseconds, message], the message without its argument.
func AppendNext(b []byte, m *Message) []byte {
	stream := uint64(0)
	if m.Stream {
		stream = 1
	}
	b = appendArray(b, 6)
	b = appendStr(b, m.Queue)
	b = appendUint(b, stream)
	b = appendStr(b, m.Key)
	b = appendUint(b, uint64(m.Priority))
	b = appendUint(b, millis(m.Delay))
	return appendBin(b, m.AppendWire(nil))
}

// ParseNext reads what AppendNext wrote. An error is [ErrMalformed] or [ErrVersion].
func ParseNext(data []byte) (*Message, error) {
	r := &reader{data: data}
	n := r.array("what follows")
	if n < 6 && r.err == nil {
		return nil, fmt.Errorf("%w: %d fields, what follows a task has at least 6", ErrMalformed, n)
	}
	name := r.str("the queue")
	stream := r.uint("the kind of the queue")
	key := r.str("the key")
	priority := r.uint("the priority")
	delay := r.millis("the delay")
	wire := r.bin("the message")
	r.skip(n - 6)
	if err := r.end(); err != nil {
		return nil, err
	}
	m, err := ParseMessage(wire)
	if err != nil {
		return nil, err
	}
	if err := CheckName("queue", name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m.Queue, m.Stream, m.Key, m.Priority, m.Delay = name, stream == 1, key, Priority(min(priority, uint64(Low))), delay //nolint:gosec // bounded
	return m, nil
}
