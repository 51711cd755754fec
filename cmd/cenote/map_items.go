package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cenote-go/cenote/queue"
)

// maxItem is the length of the longest item in bytes. An argument of a command
// cannot be much longer on most systems.
const maxItem = 1 << 20

// items reads items from a stream, one at a time.
type items struct {
	lines *bufio.Scanner
	count int
}

func newItems(r io.Reader, null bool) *items {
	s := &items{lines: bufio.NewScanner(r)}
	s.lines.Buffer(make([]byte, 0, 64<<10), maxItem+1)
	if null {
		s.lines.Split(splitNull)
	}
	return s
}

func splitNull(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// next returns the next item; ok is false at the end and after an error.
func (s *items) next() (item string, ok bool) {
	if !s.lines.Scan() {
		return "", false
	}
	s.count++
	return s.lines.Text(), true
}

func (s *items) err() error {
	if errors.Is(s.lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("item %d has more than %d bytes; if the items end with a NUL, say -0", s.count+1, maxItem)
	}
	return s.lines.Err()
}

// batch is the items of one task.
type batch struct {
	first int // the first one's position, from 0
	items []string
}

// batches groups items, n at a time and no more than fit in a message.
func (s *items) batches(n int, yield func(batch) bool) {
	const room = queue.MaxMessage / 2
	b := batch{}
	size := 0
	flush := func() bool {
		full := b
		b, size = batch{first: b.first + len(b.items)}, 0
		return len(full.items) == 0 || yield(full)
	}
	for {
		item, ok := s.next()
		if !ok {
			flush()
			return
		}
		if size+len(item) > room && !flush() {
			return
		}
		b.items = append(b.items, item)
		size += len(item)
		// A full batch leaves at once: the next item may be long in coming.
		if len(b.items) == n && !flush() {
			return
		}
	}
}

// sent is a task on its way.
type sent struct {
	batch  batch
	future *queue.Future[[]execRun]
	err    error // it could not be submitted
}

func (s sent) await(ctx context.Context) ([]execRun, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.future.Get(ctx)
}

// pipeline submits the items' tasks and hands what comes of them to each, in the
// order of the items or in that of their ends. At most window tasks are
// submitted and not yet handed over. Reading and handing over do not wait for
// each other: what is finished is printed while stdin is silent.
func (f mapFlags) pipeline(ctx context.Context, x queue.Executor, command []string, src *items, each func(batch, []execRun, error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	room := make(chan struct{}, f.window)
	ready := make(chan sent, f.window)
	var pending sync.WaitGroup
	read := make(chan error, 1)
	go func() {
		// Nobody can interrupt a read of stdin: it may outlive the pipeline, and
		// then the process ends it.
		src.batches(f.chunk, func(b batch) bool {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return false
			}
			s := sent{batch: b}
			req := execRequest{Command: command, Items: b.items, Timeout: f.timeout, Retries: f.retries}
			s.future, s.err = execTask.Submit(ctx, x, req, f.options(len(b.items))...)
			if s.err != nil || !f.unordered {
				ready <- s
				return ctx.Err() == nil
			}
			pending.Add(1)
			s.future.OnDone(func([]execRun, error) {
				ready <- s
				pending.Done()
			})
			return true
		})
		read <- src.err()
		if ctx.Err() == nil {
			pending.Wait()
			close(ready)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s, more := <-ready:
			if !more {
				return <-read
			}
			runs, err := s.await(ctx)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if fatal(err) {
				return err
			}
			if err := each(s.batch, runs, err); err != nil {
				return err
			}
			<-room
		}
	}
}

// fatal reports whether an error is not one item's: those that follow would meet
// it too.
func fatal(err error) bool {
	return err != nil && !queue.IsTaskError(err) && !errors.Is(err, queue.ErrTooLarge)
}
