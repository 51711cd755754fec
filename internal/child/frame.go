package child

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cenote-go/cenote/queue"
)

// A frame is four bytes of length, big-endian, a byte that says what it is, and one
// msgpack array, which is not looked at before queue.Guard has.
const (
	headSize = 4
	// maxFrame is the longest frame that is read or written.
	maxFrame = 256 << 20
	// firstRead is how much is allocated for a frame on its own word.
	firstRead = 32 << 10
)

// What frames are. The first ones go to the child: tasks through a pipe of their own.
const (
	frameTask   = 'T' // number, message, id, queue, attempt, token, what is left of its time in µs
	frameCancel = 'C' // number, which cause, its text
	frameGoOn   = 'G' // number of the task whose output was passed on
	frameAnswer = 'A' // number of the request, the bytes, whether it failed, the error's text

	frameHello   = 'H' // version
	frameFailed  = 'F' // text: the Initializer's error
	frameValue   = 'V' // number of the task, whether its output waits to be passed on, its value
	frameError   = 'E' // number, likewise, the error as queue.Mux.AppendAttempt writes it
	frameEvent   = 'L' // number, time in µs, attempt, done, total, text
	frameRequest = 'Q' // number of the task, of the request, what it asks, bytes
)

// beginFrame begins a frame in b[:0]; endFrame writes its length.
func beginFrame(b []byte, kind byte, fields int) []byte {
	return append(b[:0], 0, 0, 0, 0, kind, 0x90|byte(fields)) //nolint:gosec // a handful
}

func endFrame(b []byte) ([]byte, error) {
	n := len(b) - headSize
	if n > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes between a process and its child; the limit is %d", queue.ErrTooLarge, n, maxFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(n)) //nolint:gosec // bounded
	return b, nil
}

func appendUint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendBin[T []byte | string](b []byte, v T) []byte {
	if len(v) < 1<<8 {
		b = append(b, 0xc4, byte(len(v))) //nolint:gosec // less than 256
	} else {
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(len(v))) //nolint:gosec // endFrame checks
	}
	return append(b, v...)
}

// readFrame reads a frame into buf, or what is allocated in its place, and checks it.
// The error is io.EOF only at the end of a frame.
func readFrame(r *bufio.Reader, buf []byte) (kind byte, body, whole []byte, err error) {
	head, err := r.Peek(headSize)
	if err != nil {
		if len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, buf, err
	}
	n := int(binary.BigEndian.Uint32(head))
	if n < 2 || n > maxFrame {
		return 0, nil, buf, fmt.Errorf("%w: a frame of %d bytes", queue.ErrMalformed, n)
	}
	_, _ = r.Discard(headSize)
	buf = buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			bigger := make([]byte, len(buf), min(n, max(firstRead, 2*len(buf))))
			copy(bigger, buf)
			buf = bigger
		}
		at := len(buf)
		buf = buf[:min(n, cap(buf))]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return 0, nil, buf[:0], io.ErrUnexpectedEOF
		}
	}
	if err := queue.Guard(buf[1:]); err != nil {
		return 0, nil, buf, fmt.Errorf("a frame: %w", err)
	}
	return buf[0], buf[1:], buf, nil
}

// fields takes the fields off a frame's array. What is missing or of another kind is
// an error that sticks.
type fields struct {
	data []byte
	left int
	bad  bool
}

func open(body []byte) *fields {
	f := &fields{}
	if len(body) == 0 || body[0]&0xf0 != 0x90 {
		f.bad = true
		return f
	}
	f.left, f.data = int(body[0]&0x0f), body[1:]
	return f
}

func (f *fields) next(n int) []byte {
	if f.bad || n > len(f.data) {
		f.bad = true
		return make([]byte, min(n, 8))
	}
	v := f.data[:n:n]
	f.data = f.data[n:]
	return v
}

func (f *fields) uint() uint64 {
	f.left--
	c := f.next(1)[0]
	switch {
	case f.bad:
	case c < 0x80:
		return uint64(c)
	case c == 0xcf:
		return binary.BigEndian.Uint64(f.next(8))
	default:
		f.bad = true
	}
	return 0
}

// bin returns a part of the frame.
func (f *fields) bin() []byte {
	f.left--
	c := f.next(1)[0]
	n := 0
	switch {
	case f.bad:
	case c == 0xc4:
		n = int(f.next(1)[0])
	case c == 0xc6:
		n = int(binary.BigEndian.Uint32(f.next(4)))
	default:
		f.bad = true
	}
	if f.bad {
		return nil
	}
	v := f.next(n)
	if f.bad {
		return nil
	}
	return v
}

// end is an error if the frame was not what was read of it.
func (f *fields) end() error {
	if f.bad || f.left != 0 || len(f.data) > 0 {
		return fmt.Errorf("%w: a frame has other fields", queue.ErrMalformed)
	}
	return nil
}
