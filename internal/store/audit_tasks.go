package store

import (
	"context"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// census compares the messages of a line with what refers to them. The first look
// goes through everything, step by step, while all of it moves; what it has seen
// nowhere, or in two places, is looked for again, alone, and what remains is
// looked at in one step.
type census struct {
	*audit
	l         Line
	waits     bool // the line is a stream partition's own: what is here waits for its time
	consumers []string
	boxes     []box
	seed      maphash.Seed
	passes    uint64
	walked    int // walks that are sure that they have met nothing of what is left
}

// box is a key that refers to tasks.
type box struct {
	key, kind string
	letter    byte // of its place, see _places.lua
}

// sight is how long a list is that one look goes through, as in _places.lua.
const sight = 50000

// seen is in how many boxes an id was seen, as far as it matters.
type seen struct {
	box         uint16 // the one it was seen in last
	any, more   bool   // it was seen at all, and in two, or in a list twice
	first, last int32  // in a list: how many entries followed
}

func (c *census) take(ctx context.Context) error {
	c.seed = maphash.MakeSeed()
	alive, err := c.rdb.ZRange(ctx, c.l.base+"alive", 0, -1).Result()
	if err != nil {
		return c.explain(err)
	}
	// In this order an id that is claimed meanwhile is rather seen nowhere than twice,
	// which a cheap look settles.
	c.boxes = []box{{"dead", "zset", 'x'}}
	everybody := c.everybody(alive)
	for _, name := range everybody {
		c.boxes = append(c.boxes, box{"run:" + name, "hash", 'r'})
	}
	for _, name := range everybody {
		c.boxes = append(c.boxes, box{"taken:" + name, "list", 'k'})
	}
	c.boxes = append(c.boxes, box{"bell", "list", 'b'}, box{"alone", "list", 'a'},
		box{"ready:0", "list", '0'}, box{"ready:1", "list", '1'}, box{"arrivals", "list", 'n'}, box{"ready:2", "list", '2'}, box{"due", "zset", 'd'})
	n, err := c.rdb.HLen(ctx, c.l.base+"tasks").Result()
	if err != nil {
		return c.explain(err)
	}
	c.passes = uint64(n)/uint64(c.o.most) + 1 //nolint:gosec // a count
	for pass := range c.passes {
		if err := c.pass(ctx, pass); err != nil {
			return err
		}
	}
	for _, name := range []string{"notes", "faults", "watch"} {
		// A group's watch may be about a task that is still in the stream.
		if name == "watch" && (c.l.Group != "" || c.waits) {
			continue
		}
		if err := c.leftovers(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// everybody adds those to the living consumers that have a key and are not alive.
func (c *census) everybody(alive []string) []string {
	known := map[string]bool{}
	var all []string
	for _, name := range append(alive, c.consumers...) {
		if !known[name] {
			known[name] = true
			all = append(all, name)
		}
	}
	return all
}

// pass looks at those tasks whose ids fall into one part of so many that all of a
// part fit into memory.
func (c *census) pass(ctx context.Context, pass uint64) error {
	ids := map[string]seen{}
	err := c.sift(ctx, box{key: "tasks", kind: "hash"}, func(e string, _ int) error {
		if e[0] == '?' {
			return c.found(ctx, Finding{Damage: DamageOrphan, Line: c.l, Key: c.l.base + "tasks", ID: e[1:], Text: "a message under something that is no id"})
		}
		if c.passes == 1 || maphash.String(c.seed, e[1:])%c.passes == pass {
			ids[e[1:]] = seen{}
		}
		if len(ids)%10_000 == 0 {
			c.tell(c.name()+" tasks", int64(len(ids)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Tasks += int64(len(ids))
	if err := c.settle(ctx, ids, pass == 0); err != nil {
		return err
	}
	for id, s := range ids {
		if err := c.judge(ctx, id, s); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at one task in one step.
func (c *census) judge(ctx context.Context, id string, s seen) error {
	moment, dead, err := c.read(ctx, id)
	if err != nil {
		return err
	}
	if moment == unreadable { // it cannot be told which bundle it would be in
		moment = ""
		if n, err := c.rdb.Exists(ctx, c.l.base+"bundled").Result(); err != nil || n > 0 {
			c.Unsure++
			return c.explain(err)
		}
	}
	hints := fmt.Sprint(s.first, s.last)
	r, err := c.Store.run(ctx, placeScript, c.with(append(placeScript.args(c.l.base), "1", len(c.consumers)), id, moment, hints))
	if err != nil {
		return err
	}
	if len(r) != 1 {
		return badReply("place", r)
	}
	letters, who, _ := strings.Cut(r[0], " ")
	letters, long := strings.ReplaceAll(letters, "l", ""), strings.Contains(letters, "l")
	f := Finding{Line: c.l, ID: id, Key: c.l.base + "tasks"}
	switch {
	case letters == "t" && long && c.walked < 2:
		c.Unsure++
		return nil
	case letters == "t":
		f.Damage, f.Text = DamageOrphan, "its message is there, and nothing refers to it: nobody will run it"
		state, waits, walked := "", "", ""
		if dead {
			state = "dead"
		}
		if c.waits {
			waits = "1"
		}
		if long {
			walked = "1"
		}
		return c.found(ctx, f, c.with([]any{id, moment, state, waits, walked})...)
	case strings.Contains(letters, "t") && len(letters) > 2:
		f.Damage, f.Text = DamageTwice, "is in more than one place: "+placesText(letters, who)
		if strings.Trim(letters, "rkt") == "" { // nobody can say whose it is
			return c.found(ctx, f)
		}
		return c.found(ctx, f, c.with([]any{id, moment, hints})...)
	}
	return nil
}

// with appends the consumers that are not alive, and more.
func (c *census) with(args []any, more ...any) []any {
	for _, name := range c.consumers {
		args = append(args, name)
	}
	return append(args, more...)
}

// unreadable is the moment of a task whose message does not parse.
const unreadable = "?"

// read returns when a bundle is due that the task may be in, and whether its last
// attempt was its end: if it is to be tried again, its note counts that attempt.
func (c *census) read(ctx context.Context, id string) (moment string, dead bool, err error) {
	wire, err := c.rdb.HGet(ctx, c.l.base+"tasks", id).Result()
	if err != nil {
		return "", false, c.ignoreNil(err)
	}
	m, err := queue.ParseMessage([]byte(wire))
	switch {
	case err != nil:
		moment = unreadable
	case !m.RunAt.IsZero():
		moment = strconv.FormatInt(m.RunAt.UnixMilli(), 10)
	}
	fault, err := c.rdb.HGet(ctx, c.l.base+"faults", id).Result()
	if err != nil {
		return moment, false, c.ignoreNil(err)
	}
	text, err := c.rdb.HGet(ctx, c.l.base+"notes", id).Result()
	if err := c.ignoreNil(err); err != nil {
		return moment, false, err
	}
	note, noteErr := parseNote(text)
	o, err := queue.ParseOutcome([]byte(fault))
	return moment, err == nil && noteErr == nil && o.Attempt > note.Attempts, nil
}

// standings says where tasks are, lists and bundles aside.
func (c *census) standings(ctx context.Context, batch ...string) ([]string, error) {
	args := c.with(append(placeScript.args(c.l.base), "", len(c.consumers)))
	for _, id := range batch {
		args = append(args, id, "", "")
	}
	r, err := c.Store.run(ctx, placeScript, args)
	if err == nil && len(r) != len(batch) {
		err = badReply("place", r)
	}
	return r, err
}

// leftovers looks for what is known about tasks that are not there.
func (c *census) leftovers(ctx context.Context, name string) error {
	return c.sift(ctx, box{key: name, kind: "hash"}, func(e string, _ int) error {
		if e[0] == '+' {
			return nil
		}
		id := e[1:]
		// The step that saw it without a task saw both at one moment.
		return c.found(ctx, Finding{Damage: DamageLeftover, Line: c.l, Key: c.l.base + name, ID: id, Text: "is in " + name + " and is no task (any more)"}, id, name)
	})
}

// sift goes through a box in bounded steps. f gets what sift.lua says of an entry,
// and of a list how many entries follow it. An entry that others have pushed further
// from the end of a list since is not told again.
func (c *census) sift(ctx context.Context, b box, f func(e string, at int) error) error {
	cursor, count, last := "0", c.o.step, ""
	if b.kind == "hash" {
		count = min(count, 10) // until it is known how long the messages are
	}
	for {
		r, err := c.Store.run(ctx, siftScript, append(siftScript.args(c.l.base), b.key, b.kind, cursor, count))
		if err != nil {
			return err
		}
		if len(r) < 2 {
			return badReply("sift", r)
		}
		entries, at := r[2:], number(cursor)
		if b.kind == "list" && last != "" {
			for i, e := range entries {
				if e == last || len(e) == len(last) && e[1:] == last[1:] {
					entries, at = entries[i+1:], at+i+1
					break
				}
			}
		}
		for i, e := range entries {
			if err := f(e, at+i); err != nil {
				return err
			}
		}
		if n := len(r); n > 2 {
			last = r[n-1]
		}
		if r[0] == "0" {
			return nil
		}
		cursor = r[0]
		if b.kind == "hash" {
			// A step's values are to be some 100 kB: Redis copies them.
			size := number(r[1])/max(len(r)-2, 1) + 1
			count = min(max(100_000/size, 5), c.o.step, 2*count)
		}
	}
}

func (c *census) name() string {
	s := c.l.Queue
	if c.l.Partition > 0 {
		s += fmt.Sprintf("/%d", c.l.Partition)
	}
	if c.l.Group != "" {
		s += "@" + c.l.Group
	}
	return s
}

// placesText says in words what the letters of _places.lua say.
func placesText(letters, who string) string {
	words := map[rune]string{
		'd': "scheduled", 'D': "scheduled in a bundle", 'x': "dead", 'b': "on the bell", '0': "ready (high)", '1': "ready", 'n': "ready (arrived)", '2': "ready (low)", 'a': "alone",
	}
	var out []string
	names := strings.Fields(who)
	for _, l := range letters {
		switch {
		case l == 't':
		case (l == 'r' || l == 'k') && len(names) > 0:
			out = append(out, "running at "+names[0])
			names = names[1:]
		default:
			out = append(out, words[l])
		}
	}
	return strings.Join(out, ", ")
}

func number(s string) int {
	n, _ := strconv.Atoi(s) // what the scripts say are numbers
	return n
}
