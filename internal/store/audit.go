package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// Damage is a kind of finding.
type Damage string

// What an audit can find.
const (
	DamageOrphan   Damage = "orphan"   // a message that nothing refers to: nobody will run the task
	DamageTwice    Damage = "twice"    // a task in two states, or twice in one
	DamageDangling Damage = "dangling" // a reference to a task whose message is not there
	DamageLeftover Damage = "leftover" // something about a task that is not there
	DamageConsumer Damage = "consumer" // something in flight at a consumer that is not there
	DamageExpiry   Damage = "expiry"   // a key that should expire and does not
	DamageType     Damage = "type"     // a key that holds what it should not
	DamageUnknown  Damage = "unknown"  // a key that nothing owns
	DamageBundled  Damage = "bundled"  // a count that is wrong
	DamageGroup    Damage = "group"    // a consumer group that only half exists
)

// Finding is something that is not as it should be, and was so when it was looked
// at alone, in one step.
type Finding struct {
	Damage Damage
	Line   Line
	ID     string // the task, in the bytes that Redis has; "" if it is about none
	Key    string // the key that shows it
	Text   string
	Mended string // what was done about it; "" if nothing was
}

// AuditOptions are what an audit can be told. The zero value only looks.
type AuditOptions struct {
	Queues []string // none for all
	Repair bool
	Keys   int64                         // look at keys only, not at tasks, and at about so many; 0 for all there is
	Found  func(Finding)                 // called with each finding, from the goroutine that audits
	Tell   func(what string, done int64) // called as it goes on
	most   int                           // how many ids are held in memory at a time
	step   int                           // how many entries a step takes
}

// Audited is what an audit has looked at.
type Audited struct {
	Queues, Keys, Tasks int64
	Findings, Mended    int64
	// Stale is how many ids of tasks that were cancelled still stand in lists and
	// bundles. That is no damage: claims pass over them.
	Stale int64
	// Unsure is how many counts changed so often that they could not be checked.
	Unsure int64
}

// Left is how many findings nothing was done about.
func (a *Audited) Left() int64 { return a.Findings - a.Mended }

// The defaults of an audit's bounds: 1,000,000 ids take some 100 MB.
const (
	auditMost = 1 << 20
	auditStep = 500
)

// Audit looks for damage: tasks that are in no state or in two, references to
// nothing, keys that nobody owns. It may run while producers and workers do: what
// looks wrong is looked at again, alone and in one step, before it is a finding. Each
// step is bounded, and so is the memory it takes, however long the queues are. After an
// error what was found so far is valid, but not complete.
func (s *Store) Audit(ctx context.Context, o AuditOptions) (Audited, error) {
	a := &audit{Store: s, o: o, plans: map[string]*plan{}, held: map[string][]string{}}
	if a.o.most == 0 {
		a.o.most = auditMost
	}
	if a.o.step == 0 {
		a.o.step = auditStep
	}
	err := a.run(ctx)
	return a.Audited, err
}

// audit is one run.
type audit struct {
	*Store
	Audited
	o     AuditOptions
	scans int64               // keys that were listed
	plans map[string]*plan    // by queue
	held  map[string][]string // line -> consumers that have a key there
}

func (a *audit) run(ctx context.Context) error {
	names := slices.Clone(a.o.Queues)
	if len(names) == 0 {
		var err error
		if names, err = a.Store.Queues(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := queue.CheckName("queue", name); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := a.know(ctx, name); err != nil {
			return err
		}
	}
	if err := a.keys(ctx); err != nil {
		return err
	}
	a.Audited.Queues = int64(len(a.plans))
	for _, name := range slices.Sorted(maps.Keys(a.plans)) {
		p := a.plans[name]
		if a.o.Keys > 0 {
			break
		}
		for part := range p.layout.Partitions {
			if err := a.partition(ctx, p, uint16(part)); err != nil { //nolint:gosec // at most MaxPartitions
				return err
			}
		}
	}
	return nil
}

// plan is what a queue should be like.
type plan struct {
	name   string
	layout queue.Layout
	groups []string // of a stream queue
}

// know learns what the queue should be like. One that nobody has declared is a list:
// somebody may submit to it before the first worker comes.
func (a *audit) know(ctx context.Context, name string) error {
	layout, ok, err := a.Lookup(ctx, name)
	if err != nil {
		return err
	}
	if !ok {
		if len(a.o.Queues) > 0 {
			return fmt.Errorf("%w: nobody has declared a queue %q; \"cenote queue ls\" lists those that there are", ErrNoQueue, name)
		}
		layout = queue.Layout{Kind: queue.KindList, Partitions: 1}
	}
	p := &plan{name: name, layout: layout}
	if layout.Kind == queue.KindStream {
		if p.groups, err = a.Groups(ctx, name); err != nil {
			return err
		}
		slices.Sort(p.groups)
	}
	a.plans[name] = p
	return nil
}

func (a *audit) partition(ctx context.Context, p *plan, part uint16) error {
	if p.layout.Kind == queue.KindStream {
		if err := a.groups(ctx, p, part); err != nil {
			return err
		}
	}
	for _, g := range append([]string{""}, p.groups...) {
		l := NewLine(p.name, part, g)
		c := &census{audit: a, l: l, waits: g == "" && p.layout.Kind == queue.KindStream, consumers: a.held[l.base]}
		if err := c.take(ctx); err != nil {
			return err
		}
		if err := a.bundled(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// found passes a finding on, mended if that is wanted and can be done. What has gone
// away by itself meanwhile is none.
func (a *audit) found(ctx context.Context, f Finding, mend ...any) error {
	if a.o.Repair && len(mend) > 0 {
		r, err := a.mend(ctx, f.Line, string(f.Damage), mend...)
		if err != nil {
			return err
		}
		if r == "" {
			return nil
		}
		f.Mended = r
		a.Mended++
	}
	a.Findings++
	if a.o.Found != nil {
		a.o.Found(f)
	}
	return nil
}

func (a *audit) mend(ctx context.Context, l Line, what string, args ...any) (string, error) {
	cmd := append(append(mendScript.args(l.base, l.root), what), args...)
	return a.runText(ctx, mendScript, cmd)
}

func (a *audit) tell(what string, done int64) {
	if a.o.Tell != nil {
		a.o.Tell(what, done)
	}
}

// groups compares the list of a stream queue's groups with the places that they
// have in the stream. A group gets both in one step; each is read before the other, so
// that one that joins meanwhile is not taken for half a group.
func (a *audit) groups(ctx context.Context, p *plan, part uint16) error {
	root := Root(p.name, part)
	before, err := a.placed(ctx, root)
	if err != nil {
		return err
	}
	listed, err := a.rdb.SMembers(ctx, root+"groups").Result()
	if err != nil {
		return a.explain(err)
	}
	after, err := a.placed(ctx, root)
	if err != nil {
		return err
	}
	l := NewLine(p.name, part, "")
	for _, g := range before {
		if slices.Contains(listed, g) {
			continue
		}
		text := fmt.Sprintf("group %q reads the stream and is not on the list: nobody rings for it", g)
		if err := a.found(ctx, Finding{Damage: DamageGroup, Line: l, Key: root + "groups", Text: text}, g); err != nil {
			return err
		}
	}
	for _, g := range listed {
		if slices.Contains(after, g) {
			continue
		}
		text := fmt.Sprintf("group %q has no place in the stream: its workers get nothing. XGROUP CREATE makes one, at 0 to run all again, at $ to go on from here", g)
		if err := a.found(ctx, Finding{Damage: DamageGroup, Line: l, Key: root + "stream", Text: text}); err != nil {
			return err
		}
	}
	return nil
}

// placed returns the groups that have a place in a partition's stream.
func (a *audit) placed(ctx context.Context, root string) ([]string, error) {
	if n, err := a.rdb.Exists(ctx, root+"stream").Result(); err != nil || n == 0 {
		return nil, a.explain(err)
	}
	infos, err := a.rdb.XInfoGroups(ctx, root+"stream").Result()
	if err != nil {
		return nil, a.explain(err)
	}
	names := make([]string, len(infos))
	for i, g := range infos {
		names[i] = g.Name
	}
	return names, nil
}

// bundled counts the ids in bundles and compares.
func (a *audit) bundled(ctx context.Context, l Line) error {
	const tries, chunk = 5, 2000
	var before [3]string
	for range tries {
		var now [3]string
		sum, still := 0, true
		for at := 0; still; at += chunk {
			r, err := a.Store.run(ctx, tallyScript, append(tallyScript.args(l.base), at, chunk))
			if err != nil {
				return err
			}
			if len(r) != 3 {
				return badReply("tally", r)
			}
			if at > 0 && (r[1] != now[1] || r[2] != now[2]) {
				still = false
				break
			}
			sum += number(r[0])
			now = [3]string{fmt.Sprint(sum), r[1], r[2]}
			if at+chunk >= number(r[1]) {
				break
			}
		}
		switch {
		case !still:
			continue
		case now[0] == now[2]:
			return nil
		case now != before && number(now[1]) > chunk: // counted in several steps: only twice the same is sure
			before = now
			continue
		}
		return a.found(ctx, Finding{
			Damage: DamageBundled, Line: l, Key: l.base + "bundled",
			Text: fmt.Sprintf("bundled is %s, and the bundles hold %s ids more than members", now[2], now[0]),
		}, now[1], now[2], now[0])
	}
	a.Unsure++
	return nil
}

// each calls f with every node of a cluster that has keys, or with the one server.
func (s *Store) each(ctx context.Context, f func(rdb redis.Cmdable) error) error {
	if c := s.cluster; c != nil {
		return c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { return f(node) })
	}
	return f(s.rdb)
}
