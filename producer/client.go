// Package producer submits tasks to Redis and brings their outcomes back.
//
//	c, err := producer.New(rdb) // any redis.UniversalClient
//	defer c.Close()
//	fut, err := tasks.Resize.Submit(ctx, c, img)
//	thumb, err := fut.Get(ctx)
//
// A [Client] is a [queue.Executor]: the typed verbs of [queue.Task] take it. What
// concurrent calls submit while a round trip is under way travels together in
// the next one; a lone task leaves at once. One subscription a client wakes the
// futures of all its tasks.
package producer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

// Client submits tasks and receives their outcomes. It may be used concurrently.
// Make one a process with [New].
type Client struct {
	store *store.Store
	id    string        // names this client in Redis: the sender of batches, the address of replies
	most  int           // the largest message, in bytes
	wants int           // replicas that must have what is accepted
	until time.Duration // for how long they are waited for
	seal  *seal.Seal
	mail  *mailbox

	mu      sync.Mutex
	closed  bool
	linked  bool                    // it holds its link
	layouts map[string]queue.Layout // by queue; what Redis said
	lanes   map[place]*lane
}

// place is a partition of a queue.
type place struct {
	queue     string
	partition uint16
}

// Option changes a client.
type Option func(*Client)

// MaxMessage sets the largest message that the client submits, in bytes.
// Default: [queue.MaxMessage]. Workers refuse messages above their own limit.
func MaxMessage(bytes int) Option { return func(c *Client) { c.most = bytes } }

// Seal makes the client seal what it submits, and take only outcomes that are
// sealed: a future whose outcome is not says [queue.ErrUnauthenticated]. The workers of
// the queues need the same keys in consumer.Config.Seal. Default: nothing is
// sealed.
func Seal(s *seal.Seal) Option { return func(c *Client) { c.seal = s } }

// Replicated makes acceptance wait for n replicas of the Redis: Submit returns nil,
// and a future is done, when they have what it says. Default: 0, which costs
// nothing. Give workers as many in consumer.Config.Replicas.
//
// What n replicas have survives a failover that promotes one of them. That is certain
// if n is all of them; with fewer, Sentinel and Cluster prefer the one that
// has most, as far as they know, which is no promise.
//
// While fewer confirm, and while Redis is away or changes masters, the same batch is
// sent again, which stores it once, until the context of each call is done, and
// for 20 seconds at most. The error is then [queue.ErrUnreplicated] or
// [queue.ErrUnavailable]; the task may have been accepted or not.
func Replicated(n int) Option { return func(c *Client) { c.wants = n } }

// New makes a client over rdb, which the caller made and closes, after closing
// the client. It does not talk to Redis yet: see [Client.Ping].
func New(rdb redis.UniversalClient, opts ...Option) (*Client, error) {
	s, err := store.New(rdb)
	if err != nil {
		return nil, err
	}
	c := &Client{
		store:   s,
		id:      rand.Text()[:12], // 60 bits: no two clients of one Redis meet
		most:    queue.MaxMessage,
		until:   replicateWithin,
		layouts: map[string]queue.Layout{},
		lanes:   map[place]*lane{},
	}
	for _, o := range opts {
		o(c)
	}
	if c.most < 1 {
		return nil, fmt.Errorf("%w: MaxMessage is %d; give it at least 1 byte", queue.ErrOption, c.most)
	}
	if c.store, err = s.Replicated(c.wants); err != nil {
		return nil, err
	}
	c.store.Sealing(c.seal)
	c.mail = newMailbox(c.store, c.id, c)
	c.mail.seal = c.seal
	return c, nil
}

var _ queue.Executor = (*Client)(nil)

// Ping returns nil if Redis answers and lets this client in. Its error says what
// is wrong: [queue.ErrUnavailable] or [queue.ErrUnauthorized].
func (c *Client) Ping(ctx context.Context) error { return c.store.Ping(ctx) }

// Declare stores how a queue is laid out. It returns the layout that is stored,
// and an error, with nothing changed, if that is of another kind or has more
// partitions.
func (c *Client) Declare(ctx context.Context, name string, l queue.Layout) (queue.Layout, error) {
	if l.Kind == "" {
		l.Kind = queue.KindList
	}
	got, err := c.store.Declare(ctx, name, l)
	if err == nil {
		c.mu.Lock()
		c.layouts[name] = got
		c.mu.Unlock()
	}
	return got, err
}

// Submit stores m and returns the promise of its outcome; see
// [queue.Task.Submit] for what a caller may rely on.
func (c *Client) Submit(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	e, ln, it, err := c.prepare(ctx, m)
	if err != nil {
		return nil, err
	}
	s := ln.post(ctx, alone(ctx), it)
	return c.accepted(m, e, s, 0, s.wait(ctx))
}

// SubmitAll stores many messages, as many as fit in each round trip; see
// [queue.Executor].
func (c *Client) SubmitAll(ctx context.Context, ms []*queue.Message) ([]*queue.Promise, []error) {
	type part struct {
		i int // of ms
		e *expected
	}
	type share struct { // what goes to one lane together
		lane  *lane
		items []store.Item
		bytes int
		parts []part
		sub   submission
	}
	promises := make([]*queue.Promise, len(ms))
	errs := make([]error, len(ms))
	failed := false
	open := map[*lane]*share{}
	var shares []*share
	for i, m := range ms {
		e, ln, it, err := c.prepare(ctx, m)
		if err != nil {
			errs[i], failed = err, true
			continue
		}
		sh := open[ln]
		if sh == nil || len(sh.parts) == store.MaxBatch || sh.bytes > maxBatchBytes {
			sh = &share{lane: ln}
			open[ln] = sh
			shares = append(shares, sh)
		}
		sh.items = append(sh.items, it)
		sh.bytes += len(it.Wire)
		sh.parts = append(sh.parts, part{i, e})
	}
	for i, sh := range shares {
		sh.sub = sh.lane.post(ctx, i == len(shares)-1 && alone(ctx), sh.items...)
	}
	for _, sh := range shares {
		err := sh.sub.wait(ctx)
		for k, p := range sh.parts {
			promises[p.i], errs[p.i] = c.accepted(ms[p.i], p.e, sh.sub, k, err)
			failed = failed || errs[p.i] != nil
		}
	}
	if !failed {
		errs = nil
	}
	return promises, errs
}

// prepare checks m, gives it its id, and makes everything ready for its outcome
// before it leaves. Nothing is expected of a task without a reply.
func (c *Client) prepare(ctx context.Context, m *queue.Message) (*expected, *lane, store.Item, error) {
	none := store.Item{}
	layout, err := c.layout(ctx, m.Queue, m.Stream)
	if err != nil {
		return nil, nil, none, err
	}
	if m.ID, err = newID(m.Key, layout.Partitions); err != nil {
		return nil, nil, none, err
	}
	if !m.NoReply {
		m.ReplyTo = c.id
	}
	if m.Linked {
		if err := c.link(ctx); err != nil {
			return nil, nil, none, err
		}
		m.Link = c.id
	}
	sealed := c.seal.Message(m)
	wire := sealed.AppendWire(newWire(sealed.WireSize()))
	if len(wire) > c.most {
		return nil, nil, none, fmt.Errorf("%w: the message of %q has %d bytes, the limit is %d; pass a reference to the data, or raise the limit on both sides with producer.MaxMessage and consumer.Config.MaxMessage",
			queue.ErrTooLarge, m.Type, len(wire), c.most)
	}
	ln, err := c.lane(m.Queue, m.ID.Partition(), layout.Kind)
	if err != nil {
		return nil, nil, none, err
	}
	var e *expected
	if !m.NoReply {
		if e, err = c.mail.expect(ctx, m); err != nil {
			return nil, nil, none, err
		}
	}
	return e, ln, store.Item{Msg: m, Wire: wire}, nil
}

// newID makes the id of a task: that of its key, or a fresh one in a random
// partition.
func newID(key string, partitions int) (queue.TaskID, error) {
	if key == "" {
		part := uint16(0)
		if partitions > 1 {
			part = uint16(mrand.IntN(partitions)) //nolint:gosec // at most MaxPartitions
		}
		return queue.NewTaskID(part), nil
	}
	id, err := queue.ParseTaskID(key)
	if err != nil {
		return queue.KeyTaskID(key, partitions), nil
	}
	if int(id.Partition()) >= partitions {
		return id, fmt.Errorf("%w: %s is of partition %d, the queue has %d", queue.ErrTaskID, id, id.Partition(), partitions)
	}
	return id, nil
}

// accepted settles what a submission's k-th task, m, comes to.
func (c *Client) accepted(m *queue.Message, e *expected, s submission, k int, err error) (*queue.Promise, error) {
	if err != nil {
		c.mail.forget(m.ID)
		return nil, err
	}
	var p *queue.Promise
	if e == nil {
		p = queue.FailedPromise(m.ID, errNoReply).Controlled(c, m.Queue, m.Group)
	} else {
		p = &e.promise
		e.there.Store(true)
	}
	if was := s.was(k); was != "" {
		// The task had finished before: its outcome came with the reply.
		o, err := c.outcome(m, []byte(was))
		if err != nil {
			c.mail.forget(m.ID)
			return nil, err
		}
		c.mail.deliver(o)
		if m.NoReply {
			return p, nil
		}
		p.Resolve(o)
	}
	return p, nil
}

// outcome reads the outcome of m's task.
func (c *Client) outcome(m *queue.Message, wire []byte) (*queue.Outcome, error) {
	o, err := queue.ParseOutcome(wire)
	if err == nil && o.ID != m.ID {
		err = fmt.Errorf("%w: the outcome of task %s is that of %s", queue.ErrMalformed, m.ID, o.ID)
	}
	if err == nil {
		err = c.seal.OpenOutcome(m.Queue, o)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Open returns the promise of a task that was submitted before, maybe by another
// process. Its error is [queue.ErrResultExpired] if the task is not there; a task
// of a stream is there once its group has read it.
func (c *Client) Open(ctx context.Context, m *queue.Message) (*queue.Promise, error) {
	if err := queue.CheckName("queue", m.Queue); err != nil {
		return nil, err
	}
	if c.isClosed() {
		return nil, errClosed
	}
	e, err := c.mail.expect(ctx, m)
	if err != nil {
		return nil, err
	}
	p := &e.promise
	st, err := c.store.Open(ctx, store.NewLine(m.Queue, m.ID.Partition(), m.Group), m.ID, c.id)
	if err == nil && st.Outcome != nil {
		var o *queue.Outcome
		if o, err = c.outcome(m, st.Outcome); err == nil {
			c.mail.deliver(o)
			p.Resolve(o)
			return p, nil
		}
	}
	if err == nil && !st.Waits {
		if _, _, done := p.Outcome(); done { // it finished meanwhile
			return p, nil
		}
		err = fmt.Errorf("%w: %s is not in queue %q; an outcome is kept for tasks submitted with queue.Keep or queue.ID", queue.ErrResultExpired, m.ID, m.Queue)
	}
	if err != nil {
		c.mail.forget(m.ID)
		return nil, err
	}
	e.there.Store(true)
	return p, nil
}

// layout returns how the queue is laid out, which is asked once.
func (c *Client) layout(ctx context.Context, name string, stream bool) (queue.Layout, error) {
	kind := queue.KindList
	if stream {
		kind = queue.KindStream
	}
	c.mu.Lock()
	l, ok := c.layouts[name]
	c.mu.Unlock()
	if ok && l.Kind == kind {
		return l, nil
	}
	if err := queue.CheckName("queue", name); err != nil {
		return queue.Layout{}, err
	}
	return c.Declare(ctx, name, queue.Layout{Kind: kind, Retention: -1})
}

// lane returns the lane of a partition, which is started by its first task.
func (c *Client) lane(name string, partition uint16, kind queue.Kind) (*lane, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	at := place{name, partition}
	ln := c.lanes[at]
	if ln == nil {
		ln = newLane(c.store, c.id, at, kind, c.until)
		c.lanes[at] = ln
	}
	return ln, nil
}

var errNoReply = fmt.Errorf("%w: submit it without queue.NoReply, and on a stream with queue.ReplyFrom, to wait for it", queue.ErrNoReply)

var errClosed = fmt.Errorf("%w: the client is closed; make a new one", queue.ErrClosed)

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close lets the submissions under way finish and stops the client. Futures that
// have no outcome yet say [queue.ErrClosed]; their tasks go on unless they are
// [queue.Linked], and outcomes that are kept can be opened elsewhere. Close may be
// called more than once; it does not close the Redis client.
func (c *Client) Close() error {
	c.mu.Lock()
	again, linked := c.closed, c.linked
	c.closed = true
	lanes := c.lanes
	c.mu.Unlock()
	for _, ln := range lanes {
		ln.close()
	}
	if again {
		return nil
	}
	err := c.mail.close()
	if linked {
		err = errors.Join(err, c.cutLink())
	}
	return err
}
