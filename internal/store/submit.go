package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// MaxBatch is the most tasks that one Submit takes.
const MaxBatch = 1000

// Batch is a set of new tasks for one partition of a queue.
type Batch struct {
	Queue     string
	Partition uint16
	Kind      queue.Kind
	From      string // the producer
	Number    uint64 // counted by the producer for each partition: the same number is the same batch
	Renew     bool   // begin anew the ten minutes for which Redis knows that number; see RenewEvery
	Items     []Item
	Arrivals  *Arrivals // what the producer knows of them; nil if the batch is to go by a script
}

// RenewEvery is how often a producer that submits is to renew what Redis knows of its last
// batch. It is far less than the ten minutes for which a batch may be on its way.
const RenewEvery = time.Minute

// Item is one new task.
type Item struct {
	Msg  *queue.Message
	Wire []byte // Msg in its wire form
}

// plain tells a task that the store needs to know nothing about.
func (i *Item) plain() bool {
	m := i.Msg
	return m.Key == "" && m.Delay == 0 && m.RunAt.IsZero() && m.Expire == 0 && m.Priority == queue.Normal
}

// Submit stores the batch, all of it or, with an error, nothing; after a timeout
// it may be either, and submitting the batch again with the same Number is safe.
//
// there has an entry for each task of the batch that existed before: its
// position, and its outcome if it has one already, else an empty string.
func (s *Store) Submit(ctx context.Context, b *Batch) (there map[int]string, err error) {
	knows := b.Arrivals != nil && b.Kind == queue.KindList && !b.Renew && !s.Waits()
	flag := ""
	switch {
	case b.Renew:
		flag = "r"
	case knows:
		flag = "a"
	}
	if knows && b.Arrivals.open && b.bare() {
		if err := s.arrive(ctx, b); b.Arrivals.open || err != nil {
			return nil, err
		}
		flag = "e"
	}
	if len(b.Items) == 1 && !b.Renew && b.Kind == queue.KindList && b.Items[0].plain() && !s.Waits() {
		return nil, s.submitLone(ctx, b, flag)
	}
	root := Root(b.Queue, b.Partition)
	args := submitScript.args(root)
	args = append(slices.Grow(args, 7+2*len(b.Items)), b.From, b.Number, flag, string(b.Kind), 0)
	countAt := len(args) - 1
	plain := 0
	for i := range b.Items {
		if it := &b.Items[i]; it.plain() {
			args = append(args, (*idArg)(&it.Msg.ID), (*bytesArg)(&it.Wire))
			plain++
		}
	}
	args[countAt] = plain
	args = append(args, len(b.Items)-plain)
	var others []int
	if plain < len(b.Items) {
		for i := range b.Items {
			it := &b.Items[i]
			if it.plain() {
				continue
			}
			m := it.Msg
			runAt := int64(0)
			if !m.RunAt.IsZero() {
				runAt = m.RunAt.UnixMilli()
			}
			keyed := 0
			if m.Key != "" {
				keyed = 1
			}
			args = append(args, m.ID[:], it.Wire, level(m.Priority), ceilMillis(m.Delay), runAt, ceilMillis(m.Expire), keyed, m.ReplyTo, m.Group)
			others = append(others, i)
		}
	}
	r, err := s.runConfirmed(ctx, submitScript, true, args)
	if knows {
		b.Arrivals.learn(root, len(r)%2 == 1)
	}
	if err != nil || len(r) < 2 {
		return nil, err
	}
	there = make(map[int]string, len(r)/2)
	for i := 0; i+1 < len(r); i += 2 {
		k, err := strconv.Atoi(r[i])
		if err != nil || k < 1 || k > len(others) {
			return nil, fmt.Errorf("%w: position %q of %d", badReply("submit", r), r[i], len(others))
		}
		there[others[k-1]] = r[i+1]
	}
	return there, nil
}
