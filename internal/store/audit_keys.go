package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// keyKind is what is known of the keys of a name, see [Root].
type keyKind struct {
	types  string        // those it may have, with a space behind each
	keep   time.Duration // what a key that should expire gets; 0 for one that is owned
	each   bool          // there is one for each of something: a colon and its name follow
	root   bool          // of the partition; else of every line
	first  bool          // of partition 0 only
	stream bool          // of a stream queue only
}

var keyKinds = map[string]keyKind{
	"conf":     {types: "hash ", root: true, first: true},
	"tasks":    {types: "hash "},
	"notes":    {types: "hash "},
	"faults":   {types: "hash "},
	"ready":    {types: "list ", each: true},
	"arrivals": {types: "list ", root: true},
	"came":     {types: "hash ", root: true},
	"settled":  {types: "set ", root: true},
	"due":      {types: "zset "},
	"bundled":  {types: "string "},
	"dead":     {types: "zset "},
	"alone":    {types: "list "},
	"bell":     {types: "list "},
	"taken":    {types: "list string ", each: true},
	"run":      {types: "hash ", each: true},
	"alive":    {types: "zset "},
	"clock":    {types: "string ", keep: 15 * time.Second},
	"turn":     {types: "string ", keep: time.Minute},
	"watch":    {types: "hash "},
	"part":     {types: "string ", keep: keepPart, each: true},
	"result":   {types: "string ", keep: 24 * time.Hour, each: true, root: true},
	"stops":    {types: "hash ", keep: 3 * time.Second, each: true},
	"answer":   {types: "string ", keep: time.Minute, each: true},
	"reply":    {types: "stream ", keep: keepLog, each: true, root: true},
	"from":     {types: "string ", keep: 10 * time.Minute, each: true, root: true},
	"common":   {types: "string ", keep: keepCommon, each: true, root: true, first: true},
	"stream":   {types: "stream ", root: true, stream: true},
	"groups":   {types: "set ", root: true, stream: true},
	"seen":     {types: "string ", keep: time.Hour, each: true, root: true, stream: true},
}

// keyName is a key taken apart. Its rest is what follows the root.
type keyName struct {
	queue     string
	partition uint16
	rest      string
}

func parseKey(key string) (n keyName, ok bool) {
	tag, rest, ok := strings.Cut(strings.TrimPrefix(key, prefix+"{"), "}:")
	if !ok || !strings.HasPrefix(key, prefix+"{") {
		return n, false
	}
	name, part, split := strings.Cut(tag, "/")
	n = keyName{queue: name, rest: rest}
	if split {
		p, err := strconv.ParseUint(part, 10, 16)
		if err != nil || p == 0 {
			return n, false
		}
		n.partition = uint16(p)
	}
	return n, true
}

// line takes the group off.
func (n keyName) line() (Line, string) {
	if at, ok := strings.CutPrefix(n.rest, "@"); ok {
		if group, rest, ok := strings.Cut(at, "/"); ok {
			return NewLine(n.queue, n.partition, group), rest
		}
	}
	return NewLine(n.queue, n.partition, ""), n.rest
}

// keys looks at every key of the queues: whether it is one of those that there are,
// and whether it expires if it should.
func (a *audit) keys(ctx context.Context) error {
	var mu sync.Mutex // a cluster's nodes are asked at the same time
	match := prefix + "*"
	if len(a.o.Queues) == 1 {
		match = prefix + "{" + a.o.Queues[0] + "*"
	}
	return a.each(ctx, func(node redis.Cmdable) error {
		waiting := map[string][]keyName{} // by root
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			keys, next, err := node.Scan(ctx, cursor, match, int64(a.o.step)).Result()
			if err != nil {
				return a.explain(err)
			}
			cursor = next
			mu.Lock()
			if a.scans += int64(len(keys)); a.o.Keys > 0 && a.scans >= a.o.Keys {
				cursor = 0
			}
			err = a.scanned(ctx, waiting, keys, cursor == 0)
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// scanned sorts keys by partition, and looks at those of which there are enough for a
// step, or at all.
func (a *audit) scanned(ctx context.Context, waiting map[string][]keyName, keys []string, all bool) error {
	for _, key := range keys {
		n, ok := parseKey(key)
		if !ok {
			if err := a.stray(ctx, key); err != nil {
				return err
			}
			continue
		}
		if a.plans[n.queue] == nil {
			if len(a.o.Queues) > 0 {
				continue
			}
			if err := a.know(ctx, n.queue); err != nil {
				return err
			}
		}
		root := Root(n.queue, n.partition)
		waiting[root] = append(waiting[root], n)
	}
	for root, names := range waiting {
		if !all && len(names) < a.o.step {
			continue
		}
		delete(waiting, root)
		for part := range slices.Chunk(names, a.o.step) {
			if err := a.ages(ctx, root, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// stray is about a key of no queue.
func (a *audit) stray(ctx context.Context, key string) error {
	if len(a.o.Queues) > 0 || key == queuesKey {
		return nil
	}
	a.Keys++
	link := strings.HasPrefix(key, linkKey(""))
	ttl, err := a.rdb.PTTL(ctx, key).Result()
	if err != nil || ttl != -1 { // it expires, or has done so
		return a.explain(err)
	}
	if part, ok := sharedPart(key); ok {
		return a.sharedAge(ctx, key, part)
	}
	f := Finding{Damage: DamageUnknown, Key: key, Text: "no such key is known, it belongs to no queue, and it never expires"}
	if link {
		f.Damage, f.Text = DamageExpiry, "it should expire and does not"
		if a.o.Repair {
			// Who holds the link renews it sooner, and who cut it has given it an expiry.
			if err := a.rdb.Expire(ctx, key, LinkFor).Err(); err != nil {
				return a.explain(err)
			}
			f.Mended = "expires now"
			a.Mended++
		}
	}
	return a.found(ctx, f)
}

// sharedKeep are the parts of shared objects that always expire, with the time they get.
var sharedKeep = map[string]time.Duration{
	"from": 10 * time.Minute, "turn": 250 * time.Millisecond, "line": time.Minute,
	"size": time.Hour, "token": 30 * 24 * time.Hour, "freed": time.Minute,
	"round": time.Hour, "out": 10 * time.Minute, "quit": time.Minute,
	"put": time.Hour, "took": time.Hour,
}

// sharedPart is what part of a shared object a key is, see [SharedRoot]; "" for that by
// which it is there.
func sharedPart(key string) (part string, ok bool) {
	rest, ok := strings.CutPrefix(key, prefix+"shared:")
	if !ok {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, ":{")
	if !ok {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, "}")
	part, _, _ = strings.Cut(strings.TrimPrefix(rest, ":"), ":")
	return part, ok
}

// sharedAge is about a key of a shared object that does not expire: whoever opened it may
// have asked for that.
func (a *audit) sharedAge(ctx context.Context, key, part string) error {
	keep := sharedKeep[part]
	if keep == 0 {
		return nil
	}
	f := Finding{Damage: DamageExpiry, Key: key, Text: "it should expire and does not"}
	if a.o.Repair {
		if err := a.rdb.PExpire(ctx, key, keep).Err(); err != nil {
			return a.explain(err)
		}
		f.Mended = "expires now"
		a.Mended++
	}
	return a.found(ctx, f)
}

// ages looks at keys of one partition.
func (a *audit) ages(ctx context.Context, root string, names []keyName) error {
	args := agesScript.args(root)
	for _, n := range names {
		args = append(args, n.rest)
	}
	r, err := a.Store.run(ctx, agesScript, args)
	if err != nil {
		return err
	}
	if len(r) != 2*len(names) {
		return badReply("ages", r)
	}
	for i, n := range names {
		kind, ttl := r[2*i], r[2*i+1]
		if kind == "none" {
			continue
		}
		a.Keys++
		if err := a.age(ctx, n, kind, ttl == "-1"); err != nil {
			return err
		}
	}
	a.tell("keys", a.Keys)
	return nil
}

func (a *audit) age(ctx context.Context, n keyName, kind string, forever bool) error {
	l, rest := n.line()
	f := Finding{Line: l, Key: Root(n.queue, n.partition) + n.rest}
	k, stray := a.plans[n.queue].kind(n)
	if stray != "" && forever { // or the queue has grown meanwhile
		if err := a.know(ctx, n.queue); err != nil {
			return err
		}
		k, stray = a.plans[n.queue].kind(n)
	}
	name, of, _ := strings.Cut(rest, ":")
	switch {
	case stray != "":
		if !forever {
			return nil
		}
		f.Damage, f.Text = DamageUnknown, stray+", and it never expires"
		return a.found(ctx, f)
	case !strings.Contains(k.types, kind+" "):
		f.Damage, f.Text = DamageType, fmt.Sprintf("it is a %s and should be a %s", kind, strings.ReplaceAll(strings.TrimSpace(k.types), " ", " or a "))
		return a.found(ctx, f)
	case forever && (k.keep > 0 || name == "taken" && kind == "string"):
		f.Damage, f.Text = DamageExpiry, "it should expire and does not"
		return a.found(ctx, f, rest, max(k.keep, time.Minute).Milliseconds())
	case name == "run", name == "taken" && kind == "list":
		if !slices.Contains(a.held[l.base], of) {
			a.held[l.base] = append(a.held[l.base], of)
		}
		return a.consumer(ctx, l, of)
	}
	return nil
}

// kind returns what is known of a key, or why it is none of the queue's.
func (p *plan) kind(n keyName) (k keyKind, stray string) {
	l, rest := n.line()
	name, of, each := strings.Cut(rest, ":")
	k, known := keyKinds[name]
	switch {
	case int(n.partition) >= p.layout.Partitions:
		return k, fmt.Sprintf("it is of partition %d, and the queue has %d", n.partition, p.layout.Partitions)
	case l.Group != "" && !slices.Contains(p.groups, l.Group):
		return k, fmt.Sprintf("it is of group %q, which the queue has not", l.Group)
	case !known, each != k.each, name == "ready" && of != "0" && of != "1" && of != "2",
		k.root && l.Group != "", k.first && n.partition > 0, k.stream && p.layout.Kind != queue.KindStream:
		return k, "no such key is known"
	}
	return k, ""
}

// consumer looks whether somebody is there who has something in flight.
func (a *audit) consumer(ctx context.Context, l Line, name string) error {
	r, err := a.Store.run(ctx, holdsScript, append(holdsScript.args(l.base), name))
	if err != nil || len(r) != 2 || r[0] == "alive" || r[0] == "" {
		return err
	}
	return a.found(ctx, Finding{
		Damage: DamageConsumer, Line: l, Key: l.base + "run:" + name,
		Text: fmt.Sprintf("consumer %s is not there, and nobody will take over the %s tasks it has in flight", name, r[1]),
	}, name)
}
