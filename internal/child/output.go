//go:build unix

package child

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenote-go/cenote/queue"
)

const (
	maxLine   = 4 << 10 // a longer line is cut
	maxOutput = 1 << 20 // what more a task writes is not passed on
	tailSize  = 4 << 10
)

// output is a child's standard output or error. Its lines become log events of the
// task that runs.
type output struct {
	kid  *kid
	file *os.File
	keep bool // the last of it, for errors
	end  chan struct{}

	mu     sync.Mutex // around a read and what follows: whoever has it has read all before
	closed bool
	buf    []byte
	line   []byte
	last   []byte
	first  string // of the words that a Go program dies with
}

func newOutput(k *kid, f *os.File, keep bool) *output {
	o := &output{kid: k, file: f, keep: keep, end: make(chan struct{}), buf: make([]byte, 16<<10)}
	go o.loop()
	return o
}

func (o *output) loop() {
	defer close(o.end)
	rc, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	for {
		over := false
		err := rc.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			again := false
			again, over = o.read(int(fd)) //nolint:gosec // a descriptor
			return !again
		})
		if err != nil || over {
			return
		}
	}
}

// read reads once. again says that there is nothing yet. o.mu is held.
func (o *output) read(fd int) (again, over bool) {
	if o.closed {
		return false, true
	}
	n, err := syscall.Read(fd, o.buf)
	switch {
	case err == syscall.EAGAIN: //nolint:errorlint // what syscall returns
		return true, false
	case err == syscall.EINTR: //nolint:errorlint // what syscall returns
		return false, false
	case err != nil || n == 0:
		return false, true
	}
	o.take(o.buf[:n])
	return false, false
}

// drain takes what is there.
func (o *output) drain() {
	rc, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = rc.Control(func(fd uintptr) {
		for range 64 { // a flood is nobody's to wait for
			if again, over := o.read(int(fd)); again || over { //nolint:gosec // a descriptor
				break
			}
		}
	})
	o.flush()
}

// finish takes the last and closes the file, also if somebody who got away from the
// group holds the other end.
func (o *output) finish() {
	o.drain()
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	_ = o.file.Close()
	<-o.end
}

// take splits data into lines. o.mu is held.
func (o *output) take(data []byte) {
	if o.keep {
		o.last = append(o.last, data[max(0, len(data)-tailSize):]...)
		if n := len(o.last); n > tailSize {
			o.last = append(o.last[:0], o.last[n-tailSize:]...)
		}
	}
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		part := data
		if i >= 0 {
			part = data[:i]
		}
		o.line = append(o.line, part[:min(len(part), max(0, maxLine-len(o.line)))]...)
		if i < 0 {
			return
		}
		o.flush()
		data = data[i+1:]
	}
}

// flush passes the line on. o.mu is held.
func (o *output) flush() {
	if len(o.line) == 0 {
		return
	}
	if o.keep && (bytes.HasPrefix(o.line, []byte("panic: ")) || bytes.HasPrefix(o.line, []byte("fatal error: ")) || bytes.HasPrefix(o.line, []byte("SIG"))) {
		o.first = string(o.line)
	}
	if r := o.kid.task.Load(); r != nil && r.host != nil && r.lines.Load() <= maxOutput {
		text := clean(string(o.line))
		if r.lines.Add(int64(len(text))+1) > maxOutput {
			text = "... (the task writes more than is passed on)"
		}
		r.host.Emit(queue.Event{At: time.Now(), Attempt: r.attempt, Text: text})
	}
	o.line = o.line[:0]
}

// clean takes out what does not belong into a line of log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// tail is the last that was written, and how a Go program began to die before.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := strings.ToValidUTF8(strings.TrimSpace(string(o.last)), "?")
	if o.first != "" && !strings.Contains(s, o.first) {
		s = o.first + "\n...\n" + s
	}
	return s
}
