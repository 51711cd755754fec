package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// side is one of the two servers that the model is compared with. Its clock stands
// still but for side.pass: miniredis has a clock to set, and on a real server every
// time that is on record is moved along with the clock, and no key expires by itself.
type side struct {
	name string
	rdb  *redis.Client
	s    *store.Store
	bell *store.Bell
	mini *redistest.MiniServer // nil on a real server

	start time.Time            // miniredis' clock at virtual time 0
	clock int64                // the real server's clock when it was stopped last, ms
	now   time.Duration        // virtual time
	ends  map[string]int64     // the real server's keys that expire, in virtual ms
	ctx   context.Context      // the test's
	fail  func(string, ...any) // of the sequence that runs
}

func newSides(t *testing.T) [2]*side {
	m, r := redistest.Mini(t), redistest.Start(t)
	return [2]*side{newSide(t, "miniredis", m.Client(), m), newSide(t, "redis", r.Client(), nil)}
}

func newSide(t *testing.T, name string, rdb *redis.Client, m *redistest.MiniServer) *side {
	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	d := &side{name: name, rdb: rdb, s: s, bell: s.Bell(), mini: m, ctx: t.Context()}
	t.Cleanup(func() { _ = d.bell.Close() })
	return d
}

// reset empties the server.
func (d *side) reset(fail func(string, ...any)) {
	d.fail, d.now, d.ends = fail, 0, map[string]int64{}
	d.must(d.rdb.FlushAll(d.ctx).Err())
	if d.mini != nil {
		d.start = time.Now().Truncate(time.Millisecond)
		d.mini.SetTime(d.start)
		return
	}
	now, err := d.rdb.Time(d.ctx).Result()
	d.must(err)
	d.clock = now.UnixMilli()
}

func (d *side) must(err error) {
	if err != nil && !errors.Is(err, redis.Nil) {
		d.fail("%s: %v", d.name, err)
	}
}

// at is what a moment of virtual time is by the server's clock.
func (d *side) at(ms int64) time.Time {
	if d.mini != nil {
		return d.start.Add(time.Duration(ms) * time.Millisecond)
	}
	return time.UnixMilli(d.clock + ms - d.now.Milliseconds())
}

// stopClock moves all times on record by as much as the clock has gone on, less
// what is to pass, and returns the clock and the keys that had a time to live.
var stopClock = redis.NewScript(`
local root = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local d = now - tonumber(ARGV[2]) - tonumber(ARGV[3])
for _, z in ipairs({'alive', 'due', 'dead'}) do
  local all = redis.call('ZRANGE', root .. z, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do redis.call('ZADD', root .. z, string.format('%.0f', all[i + 1] + d), all[i]) end
end
local clock = redis.call('GET', root .. 'clock')
if clock then
  local at, who = string.match(clock, '^(%d+) (.*)$')
  redis.call('SET', root .. 'clock', string.format('%.0f %s', at + d, who), 'KEEPTTL')
end
local out = {string.format('%.0f', now)}
for _, k in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', k)
  if left >= 0 then
    redis.call('PERSIST', k)
    out[#out + 1] = k
    out[#out + 1] = tostring(left)
  end
end
return out`)

// stop makes good for the time that has passed on a real server since it was
// stopped last.
func (d *side) stop() { d.stopAnd(0) }

func (d *side) stopAnd(pass time.Duration) {
	if d.mini != nil {
		return
	}
	r, err := stopClock.Run(d.ctx, d.rdb, nil, root, d.clock, pass.Milliseconds()).StringSlice()
	d.must(err)
	if err != nil {
		return
	}
	d.clock, _ = strconv.ParseInt(r[0], 10, 64)
	for i := 1; i+1 < len(r); i += 2 {
		left, _ := strconv.ParseInt(r[i+1], 10, 64)
		// Times to live are whole seconds; a moment has passed since it was set.
		d.ends[r[i]] = d.now.Milliseconds() + (left+999)/1000*1000
	}
}

// pass lets virtual time go on.
func (d *side) pass(t time.Duration) {
	d.stopAnd(t)
	d.now += t
	if d.mini != nil {
		d.mini.SetTime(d.start.Add(d.now))
		return
	}
	for k, end := range d.ends {
		if end <= d.now.Milliseconds() {
			d.must(d.rdb.Del(d.ctx, k).Err())
			delete(d.ends, k)
		}
	}
}

// dump is what is on record on one side.
type dump struct {
	text  []string // all of it, one line a fact, in a fixed order
	times []int64  // the times that go with it, ms from now

	tasks, faults map[queue.TaskID]bool
	notes         map[queue.TaskID]string
	ready         [3][]queue.TaskID // the arrivals are the last of the ordinary ones
	arrivals      []string
	settled       map[queue.TaskID]bool
	came          int // the number of the last message that came without a script
	copies        int // of such messages, which count for nothing
	alone         []queue.TaskID
	bell          []queue.TaskID // the zero id is a mere token
	due           []queue.TaskID // in order
	dead          []queue.TaskID
	alive         []string
	turn          string
	taken         map[string]int // how many tasks are in a consumer's inbox
	told          map[string]int // address, id, state -> how often
	kept          map[queue.TaskID]queue.State
	places        map[queue.TaskID][]string
}

func idOf(s string) (id queue.TaskID) {
	copy(id[:], s)
	return id
}

// dump reads everything.
func (d *side) dump() *dump {
	keys, err := d.rdb.Keys(d.ctx, "*").Result()
	d.must(err)
	slices.Sort(keys)
	pipe := d.rdb.Pipeline()
	cmds := make([]redis.Cmder, len(keys))
	for i, k := range keys {
		kind, _, _ := strings.Cut(strings.TrimPrefix(k, root), ":")
		switch kind {
		case "tasks", "notes", "faults", "run", "watch", "stops", "came":
			cmds[i] = pipe.HGetAll(d.ctx, k)
		case "ready", "arrivals", "alone", "bell", "taken":
			cmds[i] = pipe.LRange(d.ctx, k, 0, -1)
		case "settled":
			cmds[i] = pipe.SMembers(d.ctx, k)
		case "due", "dead", "alive":
			cmds[i] = pipe.ZRangeWithScores(d.ctx, k, 0, -1)
		case "reply":
			cmds[i] = pipe.XRange(d.ctx, k, "-", "+")
		default:
			cmds[i] = pipe.Get(d.ctx, k)
		}
	}
	if len(keys) > 0 {
		_, _ = pipe.Exec(d.ctx) // a burnt inbox is of another type
	}
	u := &dump{
		tasks: map[queue.TaskID]bool{}, faults: map[queue.TaskID]bool{}, notes: map[queue.TaskID]string{},
		settled: map[queue.TaskID]bool{}, taken: map[string]int{}, told: map[string]int{}, kept: map[queue.TaskID]queue.State{}, places: map[queue.TaskID][]string{},
	}
	now := d.at(d.now.Milliseconds()).UnixMilli()
	for i, k := range keys {
		name := strings.TrimPrefix(k, root)
		kind, of, _ := strings.Cut(name, ":")
		if err := cmds[i].Err(); err != nil && kind == "taken" {
			u.text = append(u.text, name+" is burnt")
			continue
		} else if err != nil {
			d.fail("%s: read %q: %v", d.name, k, err)
		}
		switch c := cmds[i].(type) {
		case *redis.MapStringStringCmd:
			u.hash(name, kind, of, c.Val())
		case *redis.StringSliceCmd:
			u.list(name, kind, of, c.Val())
		case *redis.ZSliceCmd:
			zs := c.Val()
			if kind != "due" { // equal on the one side, a moment apart on the other
				slices.SortFunc(zs, func(a, b redis.Z) int { return strings.Compare(a.Member.(string), b.Member.(string)) })
			}
			for _, z := range zs {
				u.zset(kind, z.Member.(string), int64(z.Score)-now)
			}
		case *redis.XMessageSliceCmd:
			for _, m := range c.Val() {
				d.must(queue.ParseOutcomes([]byte(m.Values["o"].(string)), func(o *queue.Outcome) bool {
					u.told[fmt.Sprintf("%s %s %v", of, o.ID, o.State)]++
					u.text = append(u.text, fmt.Sprintf("%s %s %v", name, o.ID, o.State))
					return false
				}))
			}
		case *redis.StringCmd:
			v := c.Val()
			switch kind {
			case "clock":
				at, who, _ := strings.Cut(v, " ")
				ms, _ := strconv.ParseInt(at, 10, 64)
				u.times = append(u.times, ms-now)
				v = who
			case "turn":
				u.turn = v
			case "result":
				o, err := queue.ParseOutcome([]byte(v))
				d.must(err)
				u.kept[idOf(of)] = o.State
			}
			u.text = append(u.text, fmt.Sprintf("%q = %q", name, v))
		}
	}
	u.arrive()
	return u
}

// arrive adds the arrivals.
func (u *dump) arrive() {
	settled := u.settled
	seen := map[queue.TaskID]bool{}
	for i, e := range u.arrivals {
		switch {
		case i == 0 && e == "": // it keeps them open
		case len(e) > 16:
			number, ids := unpacked(e)
			u.copies -= len(ids) - 1 // the places that are kept for them
			for _, id := range ids {
				if number <= u.came || settled[id] || seen[id] {
					u.copies++
					continue
				}
				seen[id], u.tasks[id] = true, true
				u.ready[1] = append(u.ready[1], id)
				u.place(id, "arrivals")
			}
		case len(e) < 16:
			u.copies++
		default:
			u.ready[1] = append(u.ready[1], idOf(e))
			u.place(idOf(e), "arrivals")
		}
	}
}

// unpacked returns the number of an entry that came without a script, and its ids.
func unpacked(e string) (number int, ids []queue.TaskID) {
	number, _ = strconv.Atoi(e[1:16])
	_, tasks, _ := strings.Cut(e[18:], " ")
	for len(tasks) >= 18 {
		ids = append(ids, idOf(tasks))
		tasks = tasks[18+int(tasks[16])<<8+int(tasks[17]):]
	}
	return number, ids
}

func (u *dump) place(id queue.TaskID, at string) { u.places[id] = append(u.places[id], at) }

func (u *dump) hash(name, kind, of string, m map[string]string) {
	var lines []string
	for f, v := range m {
		switch {
		case kind == "tasks": // a message may have a time in it
			u.tasks[idOf(f)] = true
			v = ""
		case kind == "notes":
			u.notes[idOf(f)] = v
			level, rest, _ := strings.Cut(v, " ")
			v = level + " " + rest[:strings.LastIndex(rest, " ")] // less the time it expires
		case kind == "faults":
			u.faults[idOf(f)] = true
		case kind == "came":
			u.came, _ = strconv.Atoi(v)
		case kind == "run" && f == "#":
			v = ""
		case kind == "run" && len(f) > 16:
			lot := ""
			for len(v) > 8 {
				n, _ := strconv.Atoi(v[:8])
				_, ids := unpacked(v[8 : 8+n])
				for _, id := range ids {
					u.tasks[id] = true
					u.place(id, "run:"+of)
					lot += id.String() + " "
				}
				v = v[8+n:]
			}
			v = lot // a message may have a time in it
		case kind == "run" && len(f) == 16:
			u.place(idOf(f), "run:"+of)
		}
		lines = append(lines, fmt.Sprintf("%s %q = %q", name, f, v))
	}
	slices.Sort(lines)
	u.text = append(u.text, lines...)
}

func (u *dump) list(name, kind, of string, l []string) {
	if kind == "settled" {
		slices.Sort(l)
	}
	for _, e := range l {
		var id queue.TaskID
		switch kind {
		case "settled":
			u.settled[idOf(e)] = true
		case "ready":
			id = idOf(e)
			p, _ := strconv.Atoi(of)
			u.ready[p] = append(u.ready[p], id)
			u.place(id, name)
		case "arrivals":
			u.arrivals = append(u.arrivals, e)
			e = e[:min(len(e), 32)] // a message may have a time in it
		case "alone":
			id = idOf(e)
			u.alone = append(u.alone, id)
			u.place(id, name)
		default: // bell and taken
			if len(e) > 16 {
				id = idOf(e[1:17])
				u.place(id, name)
				e = e[:17] // its message is elsewhere
				u.taken[of]++
			}
			if kind == "bell" {
				u.bell = append(u.bell, id)
			}
		}
		u.text = append(u.text, fmt.Sprintf("%s %q", name, e))
	}
}

func (u *dump) zset(kind, member string, ms int64) {
	u.times = append(u.times, ms)
	u.text = append(u.text, fmt.Sprintf("%s %q", kind, member))
	switch kind {
	case "alive":
		u.alive = append(u.alive, member)
	case "dead":
		u.dead = append(u.dead, idOf(member))
		u.place(idOf(member), "dead")
	default:
		for ; len(member) >= 16; member = member[16:] {
			u.due = append(u.due, idOf(member))
			u.place(idOf(member), "due")
		}
	}
}

// differs says where two dumps differ; "" for nowhere.
func (u *dump) differs(v *dump) string {
	for i := range max(len(u.text), len(v.text)) {
		switch {
		case i >= len(u.text):
			return "more: " + v.text[i]
		case i >= len(v.text):
			return "less: " + u.text[i]
		case u.text[i] != v.text[i]:
			return u.text[i] + " against " + v.text[i]
		}
	}
	if len(u.times) != len(v.times) {
		return "the number of times"
	}
	for i := range u.times {
		if diff := u.times[i] - v.times[i]; diff > slack.Milliseconds() || diff < -slack.Milliseconds() {
			return fmt.Sprintf("a time: %d ms against %d ms from now", u.times[i], v.times[i])
		}
	}
	return ""
}

// slack is less than lies between any two times of a sequence that matter, and
// more than a step takes.
const slack = 6 * time.Second

// settle puts what was just taken over from a consumer in order: the n ids at the
// head of a list, or at its tail. The store gives back what one consumer held in
// no particular order, and the two servers differ.
func (d *side) settle(list string, n int, tail bool) []queue.TaskID {
	first, last := int64(0), int64(n-1)
	if tail {
		first, last = int64(-n), -1
	}
	got, err := d.rdb.LRange(d.ctx, root+list, first, last).Result()
	d.must(err)
	slices.Sort(got)
	ids := make([]queue.TaskID, len(got))
	for i, s := range got {
		ids[i] = idOf(s)
		d.must(d.rdb.LSet(d.ctx, root+list, first+int64(i), s).Err())
	}
	return ids
}
