package seal

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/cenote-go/cenote/queue"
)

// Config says how contents are protected. Producers and workers of a queue have the
// same Keys.
type Config struct {
	// Keys protect tasks. The first one seals, all of them open: to rotate, add the
	// new key at the end everywhere, then move it to the front, then, when nothing
	// sealed with the old one is left, drop that. Without any key nothing is
	// protected, and only Compress has an effect.
	Keys []Key

	// ResultKeys protect outcomes and what handlers say, in the same way.
	// Default: Keys.
	ResultKeys []Key

	// SignOnly leaves contents readable: they are signed and not encrypted. Both
	// forms are accepted whatever SignOnly says. Default: false.
	SignOnly bool

	// AllowPlain accepts what is not sealed, too, for the time in which some
	// programs have no keys yet. While it is set nothing is safe from forgery.
	// Default: false.
	AllowPlain bool

	// Compress is from how many bytes on contents are compressed. The size of what was
	// compressed tells something about it, so do not set it where others can
	// choose a part of contents that also hold a secret. Default: 0, never. What is
	// compressed is accepted whatever Compress says.
	Compress int

	// MaxInflated is how many bytes compressed contents may come to. Default:
	// [queue.MaxMessage].
	MaxInflated int

	// MaxRatio is how many times its own size compressed contents may come to.
	// Default: 100.
	MaxRatio int
}

// Seal makes and opens sealed messages and outcomes. [New] makes one; a nil Seal
// seals nothing and opens nothing that is sealed. It may be used concurrently.
type Seal struct {
	cfg            Config
	tasks, results ring
}

// New makes a Seal. The error is [queue.ErrOption].
func New(cfg Config) (*Seal, error) {
	if cfg.MaxInflated == 0 {
		cfg.MaxInflated = queue.MaxMessage
	}
	if cfg.MaxRatio == 0 {
		cfg.MaxRatio = 100
	}
	if cfg.Compress < 0 || cfg.MaxInflated < 0 || cfg.MaxRatio < 0 {
		return nil, fmt.Errorf("%w: Compress is %d, MaxInflated %d, MaxRatio %d; none may be negative", queue.ErrOption, cfg.Compress, cfg.MaxInflated, cfg.MaxRatio)
	}
	if len(cfg.Keys) == 0 && (cfg.Compress == 0 || cfg.SignOnly || len(cfg.ResultKeys) > 0) {
		return nil, fmt.Errorf("%w: a seal without keys protects nothing; set Config.Keys", queue.ErrOption)
	}
	if len(cfg.ResultKeys) == 0 {
		cfg.ResultKeys = cfg.Keys
	}
	s := &Seal{cfg: cfg}
	var err error
	if s.tasks, err = newRing(cfg.Keys); err != nil {
		return nil, err
	}
	if s.results, err = newRing(cfg.ResultKeys); err != nil {
		return nil, err
	}
	return s, nil
}

// String says how contents are protected, and with which keys.
func (s *Seal) String() string {
	switch {
	case s == nil:
		return "no seal"
	case len(s.cfg.Keys) == 0:
		return "compressed"
	case s.cfg.SignOnly:
		return "signed with " + s.cfg.Keys[0].String()
	}
	return "encrypted with " + s.cfg.Keys[0].String()
}

// Format prints String for every verb.
func (s *Seal) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is String.
func (s *Seal) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String.
func (s *Seal) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Message returns m as it travels: a copy whose payload is sealed for the task m.ID
// of m.Queue. m does not change.
func (s *Seal) Message(m *queue.Message) *queue.Message {
	if s == nil {
		return m
	}
	out := *m
	out.Sealed = &queue.Sealed{}
	out.Payload, out.Sealed.Seal = s.close(&s.tasks, place{"task", m.Queue, m.ID, m.AppendClear(nil)}, m.Payload, nil)
	return &out
}

// OpenMessage makes m, which was read and whose ID and Queue are set, what Message was
// given. The error is [queue.ErrUnauthenticated], or [queue.ErrTooLarge] for
// compressed contents beyond their bounds; m is not to be run then.
func (s *Seal) OpenMessage(m *queue.Message) error {
	if m.Sealed == nil {
		return s.plain("the message", s != nil && len(s.cfg.Keys) > 0)
	}
	if s == nil {
		return fmt.Errorf("%w: the message is sealed and this worker has no keys; set consumer.Config.Seal", queue.ErrUnauthenticated)
	}
	payload, err := s.open(&s.tasks, place{"task", m.Queue, m.ID, m.Sealed.Clear}, m.Sealed.Seal, m.Payload)
	if err != nil {
		return fmt.Errorf("the message: %w", err)
	}
	m.Payload, m.Sealed = payload, nil
	return nil
}

// Outcome returns o as it travels: a copy that is sealed for its task, which is
// one of the named queue.
func (s *Seal) Outcome(name string, o *queue.Outcome) *queue.Outcome {
	if s == nil {
		return o
	}
	out := *o
	out.Sealed = &queue.Sealed{}
	body := o.Value
	if s.hides() && o.Err != nil {
		body, out.Err = o.Err.AppendWire(nil), nil
	}
	out.Value, out.Sealed.Seal = s.close(&s.results, place{"outcome", name, o.ID, out.AppendClear(nil)}, body, nil)
	return &out
}

// OpenOutcome makes o, which was read and is of a task of the named queue, what Outcome
// was given. The error is [queue.ErrUnauthenticated], [queue.ErrMalformed], or
// [queue.ErrTooLarge] for compressed contents beyond their bounds; o is not to be
// believed then.
func (s *Seal) OpenOutcome(name string, o *queue.Outcome) error {
	if o.Sealed == nil {
		return s.plain("the outcome", s != nil && len(s.cfg.ResultKeys) > 0)
	}
	if s == nil {
		return fmt.Errorf("%w: the outcome is sealed and this client has no keys; set producer.Seal", queue.ErrUnauthenticated)
	}
	body, err := s.open(&s.results, place{"outcome", name, o.ID, o.Sealed.Clear}, o.Sealed.Seal, o.Value)
	if err != nil {
		return fmt.Errorf("the outcome: %w", err)
	}
	if o.State != queue.StateSucceeded && o.Err == nil && len(body) > 0 {
		if o.Err, err = queue.ParseTaskError(body, o.Attempt); err != nil {
			return err
		}
		body = nil
	}
	o.Value, o.Sealed = body, nil
	return nil
}

// plain refuses what is not sealed, if it has to be.
func (s *Seal) plain(what string, wanted bool) error {
	if !wanted || s.cfg.AllowPlain {
		return nil
	}
	return fmt.Errorf("%w: %s is not sealed; give whoever made it the keys, or set seal.Config.AllowPlain while not all have them", queue.ErrUnauthenticated, what)
}

// hides tells whether contents are encrypted.
func (s *Seal) hides() bool { return len(s.cfg.ResultKeys) > 0 && !s.cfg.SignOnly }

// Use is what a piece of data is for, besides messages and outcomes.
type Use string

// The uses.
const (
	Common Use = "common" // an argument that tasks share; the same bytes are sealed alike
	Part   Use = "part"   // what a chunk has come to so far
	Said   Use = "said"   // what a handler says
)

// Data seals what is of a queue, and of one of its tasks unless id is zero, and n tells
// apart what is of the same task. It is for those who store such data.
func (s *Seal) Data(use Use, name string, id queue.TaskID, n int, data []byte) []byte {
	var synthetic []byte
	if use == Common {
		synthetic = data
	}
	body, head := s.close(s.ringOf(use), s.placeOf(use, name, id, n), data, synthetic)
	out := make([]byte, 0, 1+len(head)+len(body))
	out = append(out, byte(len(head))) //nolint:gosec // a name and at most 34 bytes
	return append(append(out, head...), body...)
}

// OpenData returns what Data was given. The error is as for OpenMessage.
func (s *Seal) OpenData(use Use, name string, id queue.TaskID, n int, data []byte) ([]byte, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: the data is sealed and this program has no keys", queue.ErrUnauthenticated)
	}
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return nil, fmt.Errorf("%w: the data ends inside its seal", queue.ErrUnauthenticated)
	}
	head, body := data[1:1+int(data[0])], data[1+int(data[0]):]
	return s.open(s.ringOf(use), s.placeOf(use, name, id, n), head, body)
}

func (s *Seal) ringOf(use Use) *ring {
	if use == Common {
		return &s.tasks
	}
	return &s.results
}

func (s *Seal) placeOf(use Use, name string, id queue.TaskID, n int) place {
	return place{string(use), name, id, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}} //nolint:gosec // the low bytes are meant
}
