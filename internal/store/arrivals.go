package store

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Arrivals is what a producer knows of a partition's arrivals: a list where a lone plain
// task can be put by a bare command, which takes Redis a fraction of what a script takes.
//
// The arrivals stand behind `ready:1`, so that nobody has to be woken for what comes there:
// whoever is to hear of the tasks before it has. They begin when a script submits where the
// backlog is long. From then on everything ordinary that comes waits behind them, until
// they are claimed to the last; RPUSHX does nothing to a list that is not there.
// An entry is an id, like those in `ready:1`, or a message in full, which becomes
// a task like any other when a worker claims it, or somebody wants to wait for it or
// call it off. If its number then is not above that of the producer's last message that came
// so, it was sent twice.
//
// It is for one goroutine at a time. The zero value knows of no arrivals.
type Arrivals struct {
	open  bool   // they were there a moment ago
	key   string // where, if they were
	entry []byte // room for one
}

// submitLone submits a batch of one plain task to a list.
func (s *Store) submitLone(ctx context.Context, b *Batch) error {
	a, known := b.Arrivals, "1"
	if a != nil && a.open && len(b.Items[0].Wire) <= longMessage {
		if err := s.arrive(ctx, b); a.open || err != nil {
			return err
		}
		known = "2"
	}
	root, it := Root(b.Queue, b.Partition), &b.Items[0]
	args := append(submitScript.args(root), b.From, b.Number, it.Msg.ID[:], it.Wire)
	if a == nil {
		_, err := s.runInt(ctx, submitScript, args)
		return err
	}
	r, err := s.runInt(ctx, submitScript, append(args, known))
	if a.open = r == 1 && err == nil; a.open {
		a.key = root + "arrivals"
	}
	return err
}

// arrive puts a task behind the arrivals, if they are open then. Of a command that is
// sent twice the first counts.
func (s *Store) arrive(ctx context.Context, b *Batch) error {
	a, it := b.Arrivals, &b.Items[0]
	e := append(a.entry[:0], it.Msg.ID[:]...)
	e = append(strconv.AppendUint(e, numberBase+b.Number, 10), b.From...)
	e = append(append(e, ' '), it.Wire...)
	cmd := redis.NewIntCmd(ctx, "rpushx", a.key, e)
	err := s.process(ctx, a.key, cmd)
	a.open, a.entry = cmd.Val() > 0, e
	return s.explain(err)
}

// longMessage is above how many bytes a message goes through Lua as seldom as can be, as
// in _long.lua: it comes by a script.
const longMessage = 1024

// numberBase makes all numbers of arrivals equally long.
const numberBase = 1_000_000_000_000_000

// arrivalsStep is how many arrivals a step goes through.
const arrivalsStep = 1000

// settle stores those of the ids whose messages are among the arrivals, and returns how
// many there were. If they are to be forgotten those that stand there go.
func (s *Store) settle(ctx context.Context, root string, forget bool, ids ...string) (n int, err error) {
	gone := ""
	if forget {
		gone = "1"
	}
	for cursor := "0"; ; {
		args := append(settleScript.args(root), cursor, arrivalsStep, gone)
		for _, id := range ids {
			args = append(args, id)
		}
		r, err := s.run(ctx, settleScript, args)
		if err != nil {
			return n, err
		}
		if len(r) != 2 {
			return n, badReply("settle", r)
		}
		n += number(r[1])
		if cursor = r[0]; cursor == "0" {
			return n, nil
		}
	}
}

// find returns the message of a task that is among the arrivals, or "".
func (s *Store) find(ctx context.Context, root string, id [16]byte) (string, error) {
	for cursor := "0"; ; {
		r, err := s.run(ctx, findScript, append(findScript.args(root), cursor, arrivalsStep, id[:]))
		if err != nil {
			return "", err
		}
		if len(r) != 2 {
			return "", badReply("find", r)
		}
		if cursor = r[0]; cursor == "0" {
			return r[1], nil
		}
	}
}
