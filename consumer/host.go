package consumer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// host is a delivery as its handler may call on it. A handler may do so after its
// task has ended, from a goroutine that it left behind: only what does not change
// any more may be looked at.
type host delivery

var _ queue.Runner = (*host)(nil)

// Running says what the handler may know about the task it runs.
func (h *host) Running() queue.Running {
	deadline, _ := h.ctx.Deadline()
	note := &h.claimed.Note
	attempt := note.Attempts + 1
	return queue.Running{
		ID: h.claimed.ID, Type: h.kind, Queue: h.port.line.Queue, Attempt: attempt,
		Token: uint64(attempt + note.Crashes), Headers: h.headers, Deadline: deadline, //nolint:gosec // counts
	}
}

// Emit tells whoever waits for the task, in a moment.
func (h *host) Emit(e queue.Event) { (*delivery)(h).emit(e) }

// Common returns the argument that the task shares with others. The worker fetches
// and decodes it once, for all tasks of the same type.
func (h *host) Common(ctx context.Context, load func([]byte) (any, error)) (any, error) {
	if h.common == "" {
		return nil, fmt.Errorf("%w: the task was submitted without queue.Sharing", queue.ErrOption)
	}
	w, name := h.port.w, h.port.line.Queue
	return w.commons.get(ctx, commonKey{name, h.common, h.kind}, func() (any, error) {
		data, err := w.store.Common(ctx, name, h.common)
		if err == nil && h.sealed {
			// The message is authentic, and so is what it calls the argument.
			if store.CommonRef(data) != h.common {
				return nil, fmt.Errorf("%w: what is stored as the common argument %s is another one", queue.ErrUnauthenticated, h.common)
			}
			data, err = w.cfg.Seal.OpenData(seal.Common, name, queue.TaskID{}, 0, data)
		}
		if err != nil {
			return nil, err
		}
		return load(data)
	})
}

// Recall returns what an earlier delivery of the task put on record.
func (h *host) Recall(ctx context.Context) ([]byte, error) {
	data, err := h.port.w.store.Recall(ctx, h.port.line, h.claimed.ID)
	if err == nil {
		h.part.Store(int64(len(data)))
	}
	if err == nil && h.sealed {
		return h.unseal(data)
	}
	return data, err
}

// unseal opens what Record has sealed: pieces with their length before them, each
// bound to its place.
func (h *host) unseal(data []byte) ([]byte, error) {
	var all []byte
	for at := 0; at < len(data); {
		n, head := binary.Uvarint(data[at:])
		if head <= 0 || n > uint64(len(data)-at-head) { //nolint:gosec // not negative
			return nil, fmt.Errorf("%w: what is on record of a task ends inside a piece", queue.ErrUnauthenticated)
		}
		end := at + head + int(n) //nolint:gosec // within data
		piece, err := h.port.w.cfg.Seal.OpenData(seal.Part, h.port.line.Queue, h.claimed.ID, at, data[at+head:end])
		if err != nil {
			return nil, err
		}
		all, at = append(all, piece...), end
	}
	return all, nil
}

// Record adds to that, as long as the task is this worker's.
func (h *host) Record(ctx context.Context, part []byte) error {
	p := h.port
	p.w.slots.mu.Lock()
	consumer, mine := p.consumer, p.life == h.life
	p.w.slots.mu.Unlock()
	if !mine {
		return queue.ErrLeaseLost
	}
	had := h.part.Load()
	if h.sealed {
		piece := p.w.cfg.Seal.Data(seal.Part, p.line.Queue, h.claimed.ID, int(had), part)
		part = append(binary.AppendUvarint(nil, uint64(len(piece))), piece...)
	}
	err := p.w.store.Record(ctx, p.line, consumer, h.claimed.ID, int(had), part)
	if err == nil {
		h.part.CompareAndSwap(had, had+int64(len(part)))
	}
	return err
}

// Wait lets every handler wait: what it waits for may run on another worker. On a
// worker with one slot that is the only one, it never ends; that is worth a word.
func (h *host) Wait(*queue.Promise) (func(), error) {
	if w := h.port.w; w.cfg.Concurrency == 1 && !h.aside() {
		w.waited.Do(func() {
			w.log.Warn("a handler waits for another task while it holds the only slot: unless another worker runs that task, the wait never ends; wait inside queue.Aside, raise Config.Concurrency or use queue.Then",
				zap.String("task_type", h.kind), zap.String("queue", h.port.line.Queue))
		})
	}
	return func() {}, nil
}

func (h *host) aside() bool {
	s := &h.port.w.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.lent
}

// Aside lends the slot while f runs, and then waits for one.
func (h *host) Aside(f func()) {
	d := (*delivery)(h)
	if d.lend() {
		defer d.back() // also if f panics
	}
	f()
}

// lend gives d's slot away, unless that has happened. It returns false if d has none.
func (d *delivery) lend() bool {
	w := d.port.w
	s := &w.slots
	s.mu.Lock()
	if d.ended {
		s.mu.Unlock()
		return false
	}
	d.asides++
	first := !d.lent
	if first {
		d.lent = true
		s.lent++
		for _, p := range s.ports { // what f waits for may wait here
			s.hungry(p)
			p.lanes.Signal()
			p.bells.Signal()
		}
	}
	s.mu.Unlock()
	if first {
		w.crew.Lend()
	}
	return true
}

// back ends a goroutine's Aside. The last one waits for a slot.
func (d *delivery) back() {
	s := &d.port.w.slots
	s.mu.Lock()
	d.asides--
	if d.asides > 0 || !d.lent || d.ended {
		s.mu.Unlock()
		return
	}
	returning := d.returning
	if returning == nil {
		d.returning = make(chan struct{})
	}
	s.mu.Unlock()
	d.takeSlot(returning)
}

// takeSlot waits until d has a slot again: for returning, if somebody waits already.
func (d *delivery) takeSlot(returning <-chan struct{}) {
	if returning != nil {
		<-returning
		return
	}
	w := d.port.w
	w.crew.Return()
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	w.slots.lent--
	d.lent = false
	if d.returning != nil {
		close(d.returning)
		d.returning = nil
	}
}

// commonMost is how many common arguments a worker keeps decoded.
const commonMost = 8

// commonKey names a decoded common argument: another type of task may decode the
// same bytes into another type.
type commonKey struct{ queue, ref, kind string }

// commonCache keeps the common arguments that were used last.
type commonCache struct {
	mu      sync.Mutex
	entries []*commonEntry // the one used last at the end
}

type commonEntry struct {
	key   commonKey
	turn  chan struct{} // cap 1: holds whoever looks at the rest
	there bool
	value any
}

// get returns the value of key. If it is not there, one caller makes it and the
// others wait for that; if it fails, the next one tries.
func (c *commonCache) get(ctx context.Context, key commonKey, load func() (any, error)) (any, error) {
	e := c.entry(key)
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-e.turn }()
	if e.there {
		return e.value, nil
	}
	v, err := load()
	if err == nil {
		e.there, e.value = true, v
	}
	return v, err
}

func (c *commonCache) entry(key commonKey) *commonEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.entries, func(e *commonEntry) bool { return e.key == key })
	if i < 0 {
		if len(c.entries) == commonMost {
			c.entries = slices.Delete(c.entries, 0, 1)
		}
		c.entries = append(c.entries, &commonEntry{key: key, turn: make(chan struct{}, 1)})
		return c.entries[len(c.entries)-1]
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	return e
}

// relayType is the type of the tasks that carry a task to another queue, or to the
// place that its key stands for. They are the worker's own; no handler sees them.
const relayType = "cenote.relay"

// checkThen says before the task runs whether what is to follow it can be read.
func checkThen(m *queue.Message) error {
	if m.Items > 0 {
		return fmt.Errorf("%w: a chunk of %d items of %q is to be followed by a task; its value is no argument", queue.ErrMalformed, m.Items, m.Type)
	}
	_, err := queue.ParseNext(m.Then)
	return err
}

// follow makes what is stored when the task ends with value. It is nil if that is
// another group's affair.
func (d *delivery) follow(value []byte) (*store.Next, error) {
	m, line := d.msg, d.port.line
	if m.Group != "" && m.Group != line.Group {
		return nil, nil
	}
	next, err := queue.ParseNext(m.Then)
	if err != nil {
		return nil, err
	}
	next.Payload, next.Link = value, m.Link
	n := &store.Next{ID: queue.NewTaskID(line.Partition), Priority: next.Priority}
	if next.Queue == line.Queue && !next.Stream && next.Key == "" {
		next.ID = n.ID
		n.Delay, n.Wire = next.Delay, d.port.w.wire(next, d.sealed)
	} else {
		// Another queue's keys may be on another node: the task goes there in a step
		// of its own, which is a task and so happens whatever dies.
		relay := queue.Message{
			ID: n.ID, Queue: line.Queue, Type: relayType, Payload: queue.AppendNext(nil, next),
			Retries: 10000, Backoff: queue.Backoff{Base: 100 * time.Millisecond, Max: time.Minute},
		}
		n.Wire = d.port.w.wire(&relay, d.sealed)
	}
	if most := d.port.w.cfg.MaxMessage; len(n.Wire) > most {
		return nil, fmt.Errorf("%w: the message of %q, which follows with the value of %q, has %d bytes, the limit is %d; pass a reference to the data, or raise consumer.Config.MaxMessage",
			queue.ErrTooLarge, next.Type, m.Type, len(n.Wire), most)
	}
	return n, nil
}

// relay submits the task that m carries. However often m is delivered, that is
// the same task.
func (w *Worker) relay(ctx context.Context, m *queue.Message, sealed bool) ([]byte, error) {
	next, err := queue.ParseNext(m.Payload)
	if err != nil {
		return nil, queue.NoRetry(err)
	}
	kind := queue.KindList
	if next.Stream {
		kind = queue.KindStream
	}
	layout, err := w.store.Declare(ctx, next.Queue, queue.Layout{Kind: kind, Retention: -1})
	if errors.Is(err, queue.ErrQueueKind) {
		err = queue.NoRetry(err)
	}
	if err == nil {
		next.ID, err = relayedID(next.Key, m.ID, layout.Partitions)
	}
	if err != nil {
		return nil, err
	}
	if next.Key == "" {
		next.Key = m.ID.String() // an id that another delivery of m would give as well
	}
	_, err = w.store.Submit(ctx, &store.Batch{
		Queue: next.Queue, Partition: next.ID.Partition(), Kind: kind,
		// A task that has come and gone is remembered by its batch.
		From: "relay-" + m.ID.String(), Number: 1,
		Items: []store.Item{{Msg: next, Wire: w.wire(next, sealed)}},
	})
	return nil, err
}

// relayedID is the id that a key stands for, as for a task that is submitted with
// it, or else one that is made of the relay's.
func relayedID(key string, relay queue.TaskID, partitions int) (queue.TaskID, error) {
	if key == "" {
		part := binary.BigEndian.Uint64(relay[8:]) % uint64(max(partitions, 1)) //nolint:gosec // at most MaxPartitions
		binary.BigEndian.PutUint16(relay[6:8], uint16(part))                    //nolint:gosec // likewise
		return relay, nil
	}
	id, err := queue.ParseTaskID(key)
	if err != nil {
		return queue.KeyTaskID(key, partitions), nil
	}
	if int(id.Partition()) >= partitions {
		return id, queue.NoRetry(fmt.Errorf("%w: %s is of partition %d, the queue has %d", queue.ErrTaskID, id, id.Partition(), partitions))
	}
	return id, nil
}
