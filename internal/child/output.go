//go:build unix

package child

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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
	full atomic.Bool // there is something in early or line

	mu     sync.Mutex // around a read and what follows: whoever has it has read all before
	closed bool
	buf    []byte
	line   []byte
	whose  uint64 // the number of the task that line is of; 0 if that is not known
	early  []said // by tasks that the parent has not come to yet
	last   []byte
	first  string // of the words that a Go program dies with
}

// said is a line of the task with this number.
type said struct {
	number uint64
	text   string
}

// maxEarly is how many lines wait for the parent to come to their task.
const maxEarly = 1000

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
	page := o.kid.page
	if page != nil { // so that the child does not begin another task before it is known whose this is
		page.reading().Add(1)
		defer page.reading().Add(^uint64(0))
	}
	n, err := syscall.Read(fd, o.buf)
	if n > 0 && page != nil {
		o.is(page.current().Load())
	}
	switch {
	case err == syscall.EAGAIN: //nolint:errorlint // what syscall returns
		return true, false
	case err == syscall.EINTR: //nolint:errorlint // what syscall returns
		return false, false
	case err != nil || n == 0:
		return false, true
	}
	o.take(o.buf[:n])
	o.note()
	return false, false
}

// is says which task the output is of that comes now. o.mu is held.
func (o *output) is(n uint64) {
	if n != o.whose {
		o.flush()
		o.whose = n
	}
}

// begin passes on what is there already of the kid's task.
func (o *output) begin(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.catchUp(n)
	o.note()
}

// catchUp passes on what was put aside of task n, which is the kid's. o.mu is held.
func (o *output) catchUp(n uint64) {
	early := o.early
	o.early = nil
	for _, s := range early {
		if s.number == n {
			o.emit(s.text)
		} else if s.number > n {
			o.early = append(o.early, s)
		}
	}
}

// pending reports whether there is something that is not passed on yet.
func (o *output) pending() bool { return o.full.Load() }

// note sets full. o.mu is held.
func (o *output) note() { o.full.Store(len(o.line)+len(o.early) > 0) }

// cut ends the line that task n has left unended. What a reader had put aside, who took
// the one before for the kid's task while n became it, goes before.
func (o *output) cut(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.catchUp(n)
	if o.kid.page == nil || o.whose == n {
		o.flush()
	}
	o.note()
}

// drain takes what is there, after what was put aside.
func (o *output) drain() {
	rc, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.kid.task.Load(); r != nil {
		o.catchUp(r.number)
	}
	_ = rc.Control(func(fd uintptr) {
		for range 64 { // a flood is nobody's to wait for
			if again, over := o.read(int(fd)); again || over { //nolint:gosec // a descriptor
				break
			}
		}
	})
	o.flush()
	o.note()
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
	text := clean(string(o.line))
	o.line = o.line[:0]
	r := o.kid.task.Load()
	switch {
	case o.kid.page == nil || r != nil && r.number == o.whose:
		o.emit(text)
	case (r == nil || r.number < o.whose) && len(o.early) < maxEarly:
		o.early = append(o.early, said{o.whose, text})
	}
}

// emit tells the host of the kid's task what the task has said. o.mu is held.
func (o *output) emit(text string) {
	r := o.kid.task.Load()
	if r == nil || r.host == nil || r.lines.Load() > maxOutput {
		return
	}
	if r.lines.Add(int64(len(text))+1) > maxOutput {
		text = "... (the task writes more than is passed on)"
	}
	r.host.Emit(queue.Event{At: time.Now(), Attempt: r.attempt, Text: text})
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
