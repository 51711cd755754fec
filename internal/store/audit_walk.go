package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// settle lets go of all ids that are in one place. It goes through everything again
// and again until few are left, or, if there are lists that are too long for one look,
// until it is proven that those left are in none: see walk.
func (c *census) settle(ctx context.Context, ids map[string]seen, first bool) error {
	const rounds, few, enough = 8, 20, 2
	c.walked = 0
	for round := range rounds {
		sure, err := c.walk(ctx, ids, first && round == 0)
		if err != nil || len(ids) == 0 {
			return err
		}
		if sure && round > 0 { // the first had to look at what has gone meanwhile, too
			c.walked++
		}
		long, err := c.long(ctx)
		if err != nil {
			return err
		}
		if c.walked == enough || !long && (len(ids) <= few || round == 2) {
			return nil
		}
	}
	return nil
}

// unwatched is for how long a walk may leave an id alone. A task that no walk meets
// has left the front of a list before the walk came there and was put behind it again.
// It can only have been there by way of due, where a worker parks it for a second
// at least; or it is to be retried, or its worker was lost, which its note tells; or
// its time had come, which happens once.
const unwatched = 800 * time.Millisecond

// walk goes through everything that refers to tasks, and lets go of the ids that it
// has seen in one place, at the latest when it looked for them alone. It is sure if
// an id that is left has never been alone for longer than unwatched: it then is in no
// place, unless its time came just then.
func (c *census) walk(ctx context.Context, ids map[string]seen, first bool) (sure bool, err error) {
	for id := range ids {
		ids[id] = seen{}
	}
	before, err := c.notes(ctx, ids)
	if err != nil {
		return false, err
	}
	sure = true
	since := time.Now()
	probe := func() error {
		from := time.Now()
		if err := c.probe(ctx, ids); err != nil {
			return err
		}
		sure = sure && time.Since(since) < unwatched
		since = from
		return nil
	}
	if !first {
		if err := probe(); err != nil {
			return false, err
		}
	}
	err = c.refs(ctx, ids, first, func() error {
		if before == nil || time.Since(since) < unwatched/4 {
			return nil
		}
		return probe()
	})
	if err != nil {
		return false, err
	}
	for id, s := range ids {
		if s.any && !s.more {
			delete(ids, id)
		}
	}
	if err := probe(); err != nil {
		return false, err
	}
	after, err := c.notes(ctx, ids)
	for id := range ids {
		if before != nil && before[id] != after[id] {
			delete(ids, id)
		}
	}
	return sure && before != nil, err
}

// notes returns what is noted of the ids, nil if they are too many to ask for.
func (c *census) notes(ctx context.Context, ids map[string]seen) (map[string]any, error) {
	const most = 10_000
	if len(ids) > most {
		return nil, nil
	}
	all := make(map[string]any, len(ids))
	for part := range slices.Chunk(slices.Collect(maps.Keys(ids)), c.o.step) {
		notes, err := c.rdb.HMGet(ctx, c.l.base+"notes", part...).Result()
		if err != nil {
			return nil, c.explain(err)
		}
		for i, id := range part {
			all[id] = notes[i]
		}
	}
	return all, nil
}

// long reports whether there is a list that is too long for one look.
func (c *census) long(ctx context.Context) (bool, error) {
	for _, b := range c.boxes {
		if b.letter != 'a' && b.letter != 'n' && (b.letter < '0' || b.letter > '2') {
			continue
		}
		n, err := c.rdb.LLen(ctx, c.l.base+b.key).Result()
		if err != nil && !isWrongType(err) {
			return false, c.explain(err)
		}
		if n > sight {
			return true, nil
		}
	}
	return false, nil
}

// refs notes where the ids are seen, and calls between from time to time. In the first round it looks for references
// to nothing, too.
func (c *census) refs(ctx context.Context, ids map[string]seen, first bool, between func() error) error {
	for i, b := range c.boxes {
		n := int64(0)
		err := c.sift(ctx, b, func(e string, at int) error {
			id := e[1:]
			if e[0] == '=' { // a message that is nowhere else
				if first {
					c.Tasks++
				}
				return nil
			}
			if n++; n%10_000 == 0 {
				c.tell(c.name()+" "+b.key, n)
			}
			if n%int64(c.o.step) == 0 {
				if err := between(); err != nil {
					return err
				}
			}
			if s, ok := ids[id]; ok {
				s.more = s.more || s.any && (int(s.box) != i || b.kind == "list")
				s.box, s.last = uint16(i), int32(at) //nolint:gosec // there are not so many
				if !s.any {
					s.any, s.first = true, s.last
				}
				ids[id] = s
			}
			if !first || e[0] == '+' || e[0] == '*' {
				return nil
			}
			return c.dangling(ctx, b, e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dangling is about a reference whose message was not there.
func (c *census) dangling(ctx context.Context, b box, e string) error {
	id := e[1:]
	switch {
	case e[0] == '~', b.kind == "list":
		c.Stale++
		return nil
	case e[0] == '-': // what is done leaves both in one step
		at, err := c.standings(ctx, id)
		if err != nil {
			return err
		}
		if letters, _, _ := strings.Cut(at[0], " "); strings.Contains(letters, "t") || !strings.Contains(letters, string(b.letter)) {
			return nil
		}
	}
	text := "is in " + b.key + " and has no message: "
	if b.letter == 'r' {
		text += "it was lost while it ran"
	} else {
		text += "nobody can run it"
	}
	return c.found(ctx, Finding{Damage: DamageDangling, Line: c.l, Key: c.l.base + b.key, ID: id, Text: text}, id, b.key)
}

// probe lets go of those ids that have gone meanwhile, or whose one place can be told
// without going through a list.
func (c *census) probe(ctx context.Context, ids map[string]seen) error {
	batch := make([]string, 0, 100)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		at, err := c.standings(ctx, batch...)
		if err != nil {
			return err
		}
		for i, id := range batch {
			letters, _, _ := strings.Cut(at[i], " ")
			if !strings.Contains(letters, "t") || len(letters) == 2 && !ids[id].any {
				delete(ids, id)
			}
		}
		batch = batch[:0]
		return nil
	}
	size := min(max(20_000/(len(c.boxes)), 1), cap(batch))
	for id := range ids {
		if batch = append(batch, id); len(batch) == size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
