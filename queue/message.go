package queue

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The first byte of every message and outcome. A reader refuses a version it does
// not know; fields added at the end of the array do not need a new one.
const (
	wireVersion   = 1
	sealedVersion = 2 // its last field is a seal
)

// Priority orders the tasks that wait in one queue: all high ones before any
// normal one, all normal ones before any low one.
type Priority uint8

// The priorities. The zero value is normal.
const (
	Normal Priority = iota
	High
	Low
)

func (p Priority) String() string {
	switch p {
	case High:
		return "high"
	case Low:
		return "low"
	}
	return "normal"
}

// Message is one task as it travels: what is on the wire, and where it goes.
// [Message.AppendWire] writes the part that travels; docs/wire.md describes it.
type Message struct {
	Type    string            // the task's name, by which workers know it
	Payload []byte            // the argument, as Codec encoded it
	Codec   string            // the codec's name; "" is msgpack
	ReplyTo string            // the address of the producer that waits; "" if none does
	Group   string            // on a stream, the consumer group whose outcome is the answer
	Retries int               // how many failed attempts may be tried again
	Timeout time.Duration     // the longest an attempt may run; 0 is no limit
	Keep    time.Duration     // how long the outcome is kept for anybody who asks by id
	Backoff Backoff           // how failed attempts are spaced
	Headers map[string]string // metadata: tracing, tenancy
	Items   int               // how many arguments of a Map the payload holds; 0 for a plain task
	Common  string            // what the argument that the task shares with others is called
	Then    []byte            // what is submitted when the task has succeeded; see [Then]
	Link    string            // the program that the task dies with; "" if it outlives them all
	RunAt   time.Time         // start no sooner than this, by the store's clock
	Sealed  *Sealed           // how Payload is protected; nil if it is not

	// What follows says where the message goes; it is not part of the wire form.

	ID       TaskID
	Key      string        // the idempotency key that ID stands for, if any
	Queue    string        // the queue's name
	Stream   bool          // the queue delivers every task to each consumer group
	Priority Priority      // the order among waiting tasks
	Delay    time.Duration // start no sooner than this after the store has it
	Expire   time.Duration // give up unless started this long after the store has it
	NoReply  bool          // nobody waits: no outcome is sent
	Linked   bool          // the executor fills Link in

	// Direct is the argument of a message that never leaves the process; Payload is
	// empty then. See [Direct].
	Direct *Direct

	room []byte // of an item of a chunk: empty, with room behind it for the value
}

// Direct carries an argument from [Task.Submit] to a handler of the same process,
// and its value back, without turning them into bytes. Executors that ask for it
// ([DirectExecutor]) pass on In and take Out.
type Direct struct {
	In     any // the argument; of a message with Items, a slice of them
	Out    any // the handler's value, likewise
	Common any // what [Sharing] gave
}

// The fields of the array, in the order in which they travel.
const (
	fieldType = iota
	fieldPayload
	fieldReplyTo
	fieldRetries
	fieldTimeout
	fieldKeep
	fieldBackoffBase
	fieldBackoffMax
	fieldCodec
	fieldGroup
	fieldHeaders
	fieldItems
	fieldCommon
	fieldThen
	fieldLink
	fieldRunAt
	fieldSeal // of a sealed message only
	fieldCount
)

// used is how many leading fields have to be written: trailing zero ones are
// left out.
func (m *Message) used() int {
	switch {
	case m.Sealed != nil:
		return fieldSeal + 1
	case m.RunAt.UnixMilli() > 0:
		return fieldRunAt + 1
	case m.Link != "":
		return fieldLink + 1
	case len(m.Then) > 0:
		return fieldThen + 1
	case m.Common != "":
		return fieldCommon + 1
	case m.Items > 0:
		return fieldItems + 1
	case len(m.Headers) > 0:
		return fieldHeaders + 1
	case m.Group != "":
		return fieldGroup + 1
	case m.Codec != "":
		return fieldCodec + 1
	case m.Backoff.Max > 0:
		return fieldBackoffMax + 1
	case m.Backoff.Base > 0:
		return fieldBackoffBase + 1
	case m.Keep > 0:
		return fieldKeep + 1
	case m.Timeout > 0:
		return fieldTimeout + 1
	case m.Retries > 0:
		return fieldRetries + 1
	case m.ReplyTo != "":
		return fieldReplyTo + 1
	}
	return fieldPayload + 1
}

// AppendWire appends the message's wire form to b.
func (m *Message) AppendWire(b []byte) []byte {
	n := m.used()
	b = m.appendHead(b, n)
	b = appendBin(b, m.Payload)
	b = m.appendRest(b, min(n, fieldSeal))
	if m.Sealed != nil {
		b = appendBin(b, m.Sealed.Seal)
	}
	return b
}

// AppendClear appends what a seal of the message covers besides its payload: its sealed
// wire form without the payload and the seal. It is for those who make seals.
func (m *Message) AppendClear(b []byte) []byte {
	sealed := *m
	sealed.Sealed = &Sealed{}
	return sealed.appendRest(sealed.appendHead(b, sealed.used()), fieldSeal)
}

// appendHead appends what comes before the payload.
func (m *Message) appendHead(b []byte, n int) []byte {
	version := byte(wireVersion)
	if m.Sealed != nil {
		version = sealedVersion
	}
	return appendStr(appendArray(append(b, version), n), m.Type)
}

// appendRest appends the fields from the payload up to the n-th.
func (m *Message) appendRest(b []byte, n int) []byte {
	for f := fieldReplyTo; f < n; f++ {
		switch f {
		case fieldReplyTo:
			b = appendStr(b, m.ReplyTo)
		case fieldRetries:
			b = appendUint(b, uint64(m.Retries))
		case fieldTimeout:
			b = appendUint(b, millis(m.Timeout))
		case fieldKeep:
			b = appendUint(b, millis(m.Keep))
		case fieldBackoffBase:
			b = appendUint(b, millis(m.Backoff.Base))
		case fieldBackoffMax:
			b = appendUint(b, millis(m.Backoff.Max))
		case fieldCodec:
			b = appendStr(b, m.Codec)
		case fieldGroup:
			b = appendStr(b, m.Group)
		case fieldHeaders:
			b = appendMap(b, len(m.Headers))
			for _, k := range slices.Sorted(maps.Keys(m.Headers)) {
				b = appendStr(appendStr(b, k), m.Headers[k])
			}
		case fieldItems:
			b = appendUint(b, uint64(m.Items)) //nolint:gosec // a count
		case fieldCommon:
			b = appendStr(b, m.Common)
		case fieldThen:
			b = appendBin(b, m.Then)
		case fieldLink:
			b = appendStr(b, m.Link)
		case fieldRunAt:
			b = appendUint(b, uint64(max(m.RunAt.UnixMilli(), 0))) //nolint:gosec // not negative
		}
	}
	return b
}

// WireSize is at least the number of bytes that [Message.AppendWire] appends.
func (m *Message) WireSize() int {
	n := 64 + len(m.Type) + len(m.Payload) + len(m.ReplyTo) + len(m.Codec) + len(m.Group) + len(m.Common) + len(m.Then) + len(m.Link)
	for k, v := range m.Headers {
		n += 10 + len(k) + len(v)
	}
	if m.Sealed != nil {
		n += 32 + len(m.Sealed.Seal)
	}
	return n
}

// ParseMessage reads the wire form of a message. An error is [ErrMalformed] or
// [ErrVersion]; nothing is allocated for what a message merely declares. The
// message's Payload is a part of data.
func ParseMessage(data []byte) (*Message, error) {
	m := &Message{}
	if err := m.ParseWire(data); err != nil {
		return nil, err
	}
	return m, nil
}

// unset is the one byte that stands for a field which is not set, so that it is passed
// over without more ado: a message that has one of the last fields has many of these.
// What takes more than a byte has 0xc1 here, which begins nothing.
var unset = [fieldCount]byte{
	fieldReplyTo: 0xa0, fieldCodec: 0xa0, fieldGroup: 0xa0, fieldCommon: 0xa0, fieldLink: 0xa0,
	fieldHeaders: 0x80, fieldThen: 0xc1, fieldSeal: 0xc1,
}

// ParseWire sets m to what [ParseMessage] reads. After an error m is not to be
// used. It costs least if m was of the same type before.
func (m *Message) ParseWire(data []byte) error {
	r, err := open(data)
	if err != nil {
		return err
	}
	n := r.array("an array of fields")
	if n <= fieldPayload && r.err == nil {
		return fmt.Errorf("%w: %d fields, a message has at least 2", ErrMalformed, n)
	}
	last := m.Type
	*m = Message{}
	known, cut := fieldSeal, cutter{}
	if data[0] == sealedVersion {
		known, m.Sealed = fieldCount, &Sealed{}
	}
	for f := range min(n, known) {
		if f > fieldPayload && len(r.data) > 0 && r.data[0] == unset[f] {
			r.data = r.data[1:]
			continue
		}
		switch f {
		case fieldType:
			m.Type = r.strLike("the task type", last)
		case fieldPayload:
			cut.from(&r)
			m.Payload = r.bin("the payload")
			cut.to(&r)
		case fieldReplyTo:
			m.ReplyTo = r.str("the reply address")
		case fieldRetries:
			m.Retries = int(min(r.uint("the retries"), 1<<30))
		case fieldTimeout:
			m.Timeout = r.millis("the timeout")
		case fieldKeep:
			m.Keep = r.millis("the keep time")
		case fieldBackoffBase:
			m.Backoff.Base = r.millis("the backoff base")
		case fieldBackoffMax:
			m.Backoff.Max = r.millis("the backoff maximum")
		case fieldCodec:
			m.Codec = r.str("the codec")
		case fieldGroup:
			m.Group = r.str("the group")
		case fieldHeaders:
			m.Headers = r.headers()
		case fieldItems:
			m.Items = int(min(r.uint("the number of items"), 1<<30)) //nolint:gosec // bounded
		case fieldCommon:
			m.Common = r.str("the common argument's name")
		case fieldThen:
			m.Then = r.bin("the continuation")
		case fieldLink:
			m.Link = r.str("the link")
		case fieldRunAt:
			if at := r.uint("the time to run at"); at > 0 {
				m.RunAt = time.UnixMilli(int64(at)) //nolint:gosec // the reader allows no more
			}
		case fieldSeal:
			cut.from(&r)
			m.Sealed.Seal = r.bin("the seal")
			cut.to(&r)
		}
	}
	r.skip(n - known)
	if err := r.end(); err != nil {
		return err
	}
	if m.Sealed != nil {
		if len(m.Sealed.Seal) == 0 {
			return fmt.Errorf("%w: version %d without a seal", ErrMalformed, sealedVersion)
		}
		m.Sealed.Clear = cut.rest(data)
	}
	if err := CheckName("task type", m.Type); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

func (r *reader) headers() map[string]string {
	if r.nilled() {
		return nil
	}
	n := r.mapLen("the headers")
	if n == 0 {
		return nil
	}
	if n > maxHeaders && r.err == nil {
		r.err = fmt.Errorf("%w: %d headers; the limit is %d", ErrMalformed, n, maxHeaders)
		return nil
	}
	h := make(map[string]string, n)
	for ; n > 0 && r.err == nil; n-- {
		k := r.str("a header's name")
		h[k] = r.str("a header's value")
	}
	return h
}

// open checks the version byte and returns a reader of what follows it.
func open(data []byte) (reader, error) {
	if len(data) == 0 {
		return reader{}, fmt.Errorf("%w: no bytes", ErrMalformed)
	}
	if data[0] != wireVersion && data[0] != sealedVersion {
		return reader{}, fmt.Errorf("%w: version %d, this program reads versions up to %d; upgrade it", ErrVersion, data[0], sealedVersion)
	}
	return reader{data: data[1:]}, nil
}

// millis rounds up, so that a wait that was asked for never becomes none.
func millis(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	ms := uint64(d / time.Millisecond) // adding first would overflow for the longest durations
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// millis reads a duration; one too long for [time.Duration] is cut to the
// longest.
func (r *reader) millis(want string) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(r.uint(want), most)) * time.Millisecond
}
