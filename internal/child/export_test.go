//go:build unix

package child

import (
	"os"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

// Sent reports whether a child of the crew was given a task that has not ended.
func (c *Crew) Sent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.all {
		if k.task.Load() != nil {
			return true
		}
	}
	return false
}

// MaxStack is what children are started with.
const MaxStack = maxStack

// Youth is how old a child gets whose end is that of a bad start.
const Youth = youth

// Idle is how many children are ready and have nothing to do.
func (c *Crew) Idle() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle)
}

// Overtaken plays the reader of a child's output for whom the task before is still the
// one that runs when it looks, and who puts a line aside after the parent has looked for
// such lines. It returns when the parent has the end of the line's task; unread is what
// the child says of its output then.
func Overtaken(t *testing.T, h queue.Host, line string, unread bool) {
	k := &kid{page: &page{make([]byte, pageSize)}}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = r.Close(), w.Close() })
		return r, w
	}
	_, k.ctl = pipe()
	for _, o := range []**output{&k.out, &k.errs} {
		r, _ := pipe()
		*o = newOutput(k, r, false)
		t.Cleanup((*o).finish)
	}
	o := k.out
	k.begin(&task{number: 1})
	o.mu.Lock()
	o.whose = 2
	o.take([]byte(line + "\n"))
	k.begin(&task{number: 2, host: h}) // must not wait for the reader
	o.note()
	o.mu.Unlock()
	k.wrote(2, unread)
}
