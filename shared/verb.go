package shared

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

//go:embed lua/*.lua
var luaFiles embed.FS

const (
	// resendFor bounds how long a verb is sent again. Redis remembers a manager's last one
	// for twice as long, see _once.lua.
	resendFor = 5 * time.Minute
	// batchVerbs and batchBytes bound what one script does.
	batchVerbs = 256
	batchBytes = 1 << 20
)

// verb is one change to an object, which a script does together with others.
type verb struct {
	script store.Verb
	keep   int64 // of its object
	frees  bool  // it makes the object smaller: a full Redis must let it
	args   []any // its name, how many follow, and those
	size   int

	done  chan struct{}
	reply string
	err   error
}

// fits reports whether a verb may be done in one script with those before it.
func (v *verb) fits(batch []*verb) bool {
	size := v.size
	for _, b := range batch {
		size += b.size
	}
	first := batch[0]
	return len(batch) < batchVerbs && size <= batchBytes && v.script == first.script && v.keep == first.keep && v.frees == first.frees
}

// do does one verb. Its reply is what the script says.
func (o *object) do(ctx context.Context, script store.Verb, frees bool, name string, args ...any) (reply, error) {
	v := &verb{script: script, keep: o.keep(), frees: frees, done: make(chan struct{})}
	v.args = append(make([]any, 0, 2+len(args)), name, len(args))
	v.args = append(v.args, args...)
	for _, a := range args {
		if b, ok := a.([]byte); ok {
			v.size += len(b)
		}
	}
	if err := ctx.Err(); err != nil {
		return "", o.about(err)
	}
	if err := o.m.verbs.add(o.root, v); err != nil {
		return "", o.about(err)
	}
	select {
	case <-v.done:
		return reply(v.reply), o.about(v.err)
	case <-ctx.Done():
		if o.m.verbs.withdraw(o.root, v) {
			return "", o.about(fmt.Errorf("%w: it was not sent", ctx.Err()))
		}
		return "", o.about(fmt.Errorf("%w: it may have happened", ctx.Err()))
	}
}

// serveVerbs does what waits for one object.
func (m *Manager) serveVerbs(root string, next func(func([]*verb, *verb) bool) []*verb) {
	for {
		batch := next(func(batch []*verb, v *verb) bool { return v.fits(batch) })
		if batch == nil {
			return
		}
		first := batch[0]
		frees := 0
		if first.frees {
			frees = 1
		}
		args := []any{m.name, m.number.Add(1), first.keep, frees}
		for _, v := range batch {
			args = append(args, v.args...)
		}
		replies, err := m.send(m.life, first.script, root, args...)
		if err == nil && len(replies) != len(batch) {
			err = fmt.Errorf("a reply of %d to %d verbs makes no sense", len(replies), len(batch))
		}
		if m.life.Err() != nil && err != nil {
			err = errClosed
		}
		for i, v := range batch {
			if v.err = err; err == nil {
				v.reply = replies[i]
			}
			close(v.done)
		}
	}
}

// send runs a script, and again as long as Redis is away.
func (m *Manager) send(ctx context.Context, script store.Verb, root string, args ...any) ([]string, error) {
	began := time.Now()
	wait := 10 * time.Millisecond
	for {
		r, err := m.store.Do(ctx, script, root, args...)
		if !errors.Is(err, queue.ErrUnavailable) || time.Since(began) > resendFor {
			return r, err
		}
		store.Pause(ctx, wait)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		wait = min(2*wait, time.Second)
	}
}

// read runs a script that changes nothing.
func (o *object) read(ctx context.Context, script store.Verb, args ...any) ([]string, error) {
	if o.m.life.Err() != nil {
		return nil, errClosed
	}
	return o.m.send(ctx, script, o.root, args...)
}

// reply is what a verb came to: "=" and a value, "-" for none, or "!" and what was
// wrong.
type reply string

// value returns the value, if there is one, and the error that the reply says.
func (r reply) value() (v string, ok bool, err error) {
	switch {
	case r == "":
		return "", false, fmt.Errorf("%w: an empty reply", queue.ErrMalformed)
	case r[0] == '=':
		return string(r[1:]), true, nil
	case r[0] == '-':
		return "", false, nil
	case r == "!index":
		return "", false, ErrIndex
	case r == "!overflow":
		return "", false, ErrOverflow
	}
	return "", false, fmt.Errorf("%w: %s", ErrMismatch, r[1:])
}
