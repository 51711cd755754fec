package store

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Arrivals is what a producer knows of a partition's arrivals: a list where plain tasks
// can be put by a bare command, which takes Redis a fraction of what a script takes.
//
// The arrivals stand behind `ready:1`, so that nobody has to be woken for what comes there:
// whoever is to hear of the tasks before it has. They begin when a script submits where the
// backlog is long. From then on everything ordinary that comes waits behind them, until
// they are claimed to the last; RPUSHX does nothing to a list that is not there. Where a
// consumer claims many at once that will take its next turn in a moment, they stay
// there for that moment: an empty entry keeps them open.
//
// An entry is an id, like those in `ready:1`; or the messages of tasks that were submitted
// together, in full, followed by an empty entry for each of them but the first, so that
// the list is as long as there are tasks. They become tasks like any other when a worker
// claims them, or somebody wants to wait for one of them or call it off. If their number
// then is not above that of the producer's last ones that came so, they were sent twice.
//
// It is for one goroutine at a time. The zero value knows of no arrivals.
type Arrivals struct {
	open bool   // they were there a moment ago
	key  string // where, if they were
	room []byte // for entries
	args []any  // for a command
}

// submitLone submits a batch of one plain task to a list by a script, which is told by the
// flag what the producer knows of arrivals; "" if that does not matter.
func (s *Store) submitLone(ctx context.Context, b *Batch, flag string) error {
	root, it := Root(b.Queue, b.Partition), &b.Items[0]
	args := append(submitScript.args(root), b.From, b.Number, it.Msg.ID[:], it.Wire)
	if flag == "" {
		_, err := s.runInt(ctx, submitScript, args)
		return err
	}
	r, err := s.runInt(ctx, submitScript, append(args, flag))
	b.Arrivals.learn(root, r == 1 && err == nil)
	return err
}

// learn puts down whether there are arrivals.
func (a *Arrivals) learn(root string, open bool) {
	if a.open = open; open {
		a.key = root + "arrivals"
	}
}

// bare tells a batch that needs no script.
func (b *Batch) bare() bool {
	for i := range b.Items {
		if it := &b.Items[i]; len(it.Wire) > longMessage || !it.plain() {
			return false
		}
	}
	return true
}

// arrive puts a batch behind the arrivals, if they are open then. Of a command that is
// sent twice the first counts.
func (s *Store) arrive(ctx context.Context, b *Batch) error {
	a := b.Arrivals
	args := b.appendEntries(append(a.args[:0], "rpushx", a.key))
	cmd := redis.NewIntCmd(ctx, args...)
	err := s.process(ctx, a.key, cmd)
	a.open = cmd.Val() > 0
	clear(args)
	a.args = args
	return s.explain(err)
}

// appendEntries appends a batch's tasks to the arguments of a command, a few in an entry, and
// behind each entry the places for its tasks.
func (b *Batch) appendEntries(args []any) []any {
	size := 0
	for i := range b.Items {
		size += len(b.Items[i].Wire) + entryOverhead
	}
	room := slices.Grow(b.Arrivals.room[:0], size+(len(b.Items)/entryTasks+1)*(entryHead+1+len(b.From)))
	number := numberBase + b.Number*entriesMost
	for items := range slices.Chunk(b.Items, entryTasks) {
		begin := len(room)
		room = strconv.AppendUint(room, number, 10)
		room = append(room, hexDigits[len(items)>>4], hexDigits[len(items)&15])
		room = append(append(room, b.From...), ' ')
		number++
		for i := range items {
			it := &items[i]
			room = append(room, it.Msg.ID[:]...)
			room = binary.BigEndian.AppendUint16(room, uint16(len(it.Wire))) //nolint:gosec // at most longMessage
			room = append(room, it.Wire...)
		}
		args = append(args, room[begin:])
		for range len(items) - 1 {
			args = append(args, place)
		}
	}
	if cap(room) <= keepRoom {
		b.Arrivals.room = room
	}
	return args
}

// arrived reads n tasks, which are given as the entries that hold them. Of one that is cut
// off those in front count, as in _unpacked.lua.
func arrived(entries []string, want, n int) ([]Claimed, error) {
	size := 0
	for _, e := range entries {
		size += len(e)
	}
	if len(entries) != want || n > size/entryOverhead {
		return nil, badReply("turn", entries)
	}
	tasks := make([]Claimed, 0, n)
	for _, e := range entries {
		_, e, _ = strings.Cut(e[min(entryHead, len(e)):], " ")
		for len(e) >= entryOverhead {
			last := entryOverhead + int(e[16])<<8 + int(e[17])
			if last > len(e) {
				break
			}
			c := Claimed{Wire: bytesOf(e[entryOverhead:last]), Note: Note{Level: 1}}
			copy(c.ID[:], e)
			tasks, e = append(tasks, c), e[last:]
		}
	}
	if len(tasks) != n {
		return nil, badReply("turn", entries)
	}
	return tasks, nil
}

const hexDigits = "0123456789abcdef"

// entryHead is how long what stands before the producer's name is: the number of the entry
// and that of its tasks.
const entryHead = 18

// entryOverhead is how many bytes of an entry are a task's besides its message.
const entryOverhead = 18

// place keeps the place of a task whose message is in the entry before it.
var place any = ""

// keepRoom is how large a room for entries is kept from one batch to the next.
const keepRoom = 64 << 10

// entryTasks is how many tasks share an entry: the more, the less each costs, and the
// more are stored at once when the first of them is claimed.
const entryTasks = 32

// entriesMost is how many entries a batch may have, as in _arrived.lua.
const entriesMost = (MaxBatch + entryTasks - 1) / entryTasks

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
