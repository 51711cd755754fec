package seal

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/cenote-go/cenote/queue"
)

// deflate returns body compressed: its length as a uvarint, then deflate. It is nil if
// that is not wanted, saves nothing, or would not be accepted by inflate.
func (s *Seal) deflate(body []byte) []byte {
	if s.cfg.Compress == 0 || len(body) < s.cfg.Compress || len(body) > s.cfg.MaxInflated {
		return nil
	}
	var out bytes.Buffer
	out.Write(binary.AppendUvarint(nil, uint64(len(body))))
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	_, err1 := w.Write(body)
	err2 := w.Close()
	if err1 != nil || err2 != nil || out.Len() >= len(body) || !s.fits(uint64(len(body)), out.Len()) {
		return nil
	}
	return out.Bytes()
}

// inflate is the inverse of deflate. What it allocates is bounded by the length that
// stands before the data, which is checked first.
func (s *Seal) inflate(data []byte) ([]byte, error) {
	n, head := binary.Uvarint(data)
	if head <= 0 {
		return nil, fmt.Errorf("%w: compressed data without its length", queue.ErrMalformed)
	}
	if !s.fits(n, len(data)) {
		return nil, fmt.Errorf("%w: %d bytes claim to be %d when they are inflated; the limit is %d bytes and %d times, see seal.Config",
			queue.ErrTooLarge, len(data), n, s.cfg.MaxInflated, s.cfg.MaxRatio)
	}
	r := readers.Get().(io.ReadCloser)
	defer readers.Put(r)
	in := bytes.NewReader(data[head:])
	if err := r.(flate.Resetter).Reset(in, nil); err != nil {
		return nil, err
	}
	out := make([]byte, n)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("%w: compressed data: %w", queue.ErrMalformed, err)
	}
	var more [1]byte
	if k, err := r.Read(more[:]); k > 0 || err != io.EOF || in.Len() > 0 { //nolint:errorlint // the reader's own
		return nil, fmt.Errorf("%w: compressed data does not end where it says", queue.ErrMalformed)
	}
	return out, nil
}

// fits tells whether so much may come out of so little.
func (s *Seal) fits(out uint64, in int) bool {
	return out <= uint64(s.cfg.MaxInflated) && out <= uint64(s.cfg.MaxRatio)*uint64(in) //nolint:gosec // not negative
}

var writers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(io.Discard, flate.DefaultCompression) // the level is a good one
	return w
}}

var readers = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
