package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// Node is what one server says of itself.
type Node struct {
	Addr   string
	Info   map[string]string // what INFO says; the embedded store says little
	Config map[string]string // nil if the server does not tell: managed ones deny CONFIG
	Libs   map[string]int    // "name version" of client libraries -> connections; nil if it does not tell
	Offset time.Duration     // how far its clock is ahead of this machine's
	Doubt  time.Duration     // and by how much that may be wrong
	Laps   []time.Duration   // round trips, the shortest first
}

// nodeConfig is what is asked of CONFIG.
var nodeConfig = []string{
	"maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "min-replicas-to-write", "timeout", "hash-max-listpack-value",
}

// mostClients is how many connections a server may have for it to be asked about each.
const mostClients = 2000

// Nodes asks every server that has keys: the one, or all masters of a cluster. The
// round trips of each take at most patience.
func (s *Store) Nodes(ctx context.Context, patience time.Duration) ([]Node, error) {
	var mu sync.Mutex
	var all []Node
	err := s.each(ctx, func(rdb redis.Cmdable) error {
		n, err := node(ctx, rdb, patience)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, n)
		return err
	})
	slices.SortFunc(all, func(a, b Node) int { return strings.Compare(a.Addr, b.Addr) })
	return all, err
}

func node(ctx context.Context, rdb redis.Cmdable, patience time.Duration) (Node, error) {
	n := Node{Info: map[string]string{}}
	if c, ok := rdb.(*redis.Client); ok {
		n.Addr = c.Options().Addr
	}
	text, err := rdb.Info(ctx).Result()
	if err != nil && !refused(err) {
		return n, explain(err)
	}
	for line := range strings.Lines(text) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			n.Info[name] = v
		}
	}
	for _, name := range nodeConfig {
		m, err := rdb.ConfigGet(ctx, name).Result()
		if err != nil {
			if refused(err) {
				break
			}
			return n, explain(err)
		}
		if n.Config == nil {
			n.Config = map[string]string{}
		}
		if v, ok := m[name]; ok {
			n.Config[name] = v
		}
	}
	if clients, err := strconv.Atoi(n.Info["connected_clients"]); err == nil && clients <= mostClients {
		n.Libs = libraries(ctx, rdb)
	}
	if err := n.clock(ctx, rdb); err != nil {
		return n, err
	}
	const laps = 300
	for began := time.Now(); len(n.Laps) < laps && time.Since(began) < patience; {
		from := time.Now()
		if err := rdb.Ping(ctx).Err(); err != nil {
			return n, explain(err)
		}
		n.Laps = append(n.Laps, time.Since(from))
	}
	slices.Sort(n.Laps)
	return n, nil
}

// refused reports whether the server does not know the command, or not for this user.
func refused(err error) bool {
	var re redis.Error
	return errors.As(err, &re) && !strings.HasPrefix(err.Error(), "LOADING")
}

// clock compares the clocks, by the quickest of a few answers.
func (n *Node) clock(ctx context.Context, rdb redis.Cmdable) error {
	for i := range 5 {
		from := time.Now()
		there, err := rdb.Time(ctx).Result()
		if err != nil {
			return explain(err)
		}
		if half := time.Since(from) / 2; i == 0 || half < n.Doubt {
			n.Doubt, n.Offset = half, there.Sub(from.Add(half))
		}
	}
	return nil
}

// libraries counts connections by what the client calls itself.
func libraries(ctx context.Context, rdb redis.Cmdable) map[string]int {
	text, err := rdb.ClientList(ctx).Result()
	if err != nil {
		return nil
	}
	libs := map[string]int{}
	for line := range strings.Lines(text) {
		var name, version string
		for _, field := range strings.Fields(line) {
			if v, ok := strings.CutPrefix(field, "lib-name="); ok {
				name, _, _ = strings.Cut(v, "(")
			}
			if v, ok := strings.CutPrefix(field, "lib-ver="); ok {
				version = v
			}
		}
		if name != "" {
			libs[strings.TrimSpace(name+" "+version)]++
		}
	}
	return libs
}

// Cluster reports whether the store is a client of a cluster.
func (s *Store) Cluster() bool {
	return s.cluster != nil
}

// Try sends tasks through a queue of their own, which nobody else sees: they are
// submitted, claimed, finished and their outcomes announced, by the scripts, commands
// and channels that programs use. An error says what did not work.
func (s *Store) Try(ctx context.Context) (err error) {
	name := "doctor-" + strings.ToLower(rand.Text()[:10])
	l, addr := NewLine(name, 0, ""), "doctor"
	defer func() {
		keys := []string{l.taken(addr), l.base + "run:" + addr, l.base + "from:" + addr, ReplyKey(name, 0, addr)}
		for _, k := range []string{"tasks", "ready:1", "alive", "bell"} {
			keys = append(keys, l.base+k)
		}
		err = errors.Join(err, s.explain(s.rdb.Unlink(context.WithoutCancel(ctx), keys...).Err()))
	}()
	step := func(what string, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	replies := s.Replies(ctx)
	defer func() { _ = replies.Close() }()
	if err := step("subscribe", replies.Add(ctx, ReplyKey(name, 0, addr))); err != nil {
		return err
	}
	if _, err := replies.Receive(ctx); err != nil {
		return step("subscribe", err)
	}
	if err := step("sign on", s.SignOn(ctx, l, addr, "", time.Minute)); err != nil {
		return err
	}
	// A short task comes over the bell, and a long one is claimed.
	turn := &Turn{Line: l, Consumer: addr, Want: 1, Lease: time.Minute}
	for i, size := range []int{1, 2000} {
		m := &queue.Message{ID: queue.NewTaskID(0), Type: "doctor", Queue: name, ReplyTo: addr, Payload: make([]byte, size)}
		b := &Batch{Queue: name, Kind: queue.KindList, From: addr, Number: uint64(i) + 1, Items: []Item{{m, m.AppendWire(nil)}}}
		if _, err := s.Submit(ctx, b); err != nil {
			return step("submit a task", err)
		}
		outcome := &queue.Outcome{ID: m.ID, State: queue.StateSucceeded, Attempt: 1}
		turn.Ends = append(turn.Ends, End{ID: m.ID, Verdict: queue.VerdictDone, ReplyTo: addr, Outcome: outcome, Attempt: 1})
	}
	bell := s.Bell()
	defer func() { _ = bell.Close() }()
	if rung, _, err := bell.Wait(ctx, l, addr, time.Second); err != nil || rung.Task == nil {
		return step("wait at the bell", errors.Join(err, missing(rung.Task == nil, "the task was not handed over")))
	}
	ends := turn.Ends
	turn.Number, turn.Ends = 1, nil
	r, err := s.Take(ctx, turn)
	if err != nil {
		return step("claim a task", err)
	}
	if len(r.Tasks) != 1 || r.Tasks[0].ID != ends[1].ID {
		return fmt.Errorf("claim a task: the server gave %d tasks, not the one that was submitted", len(r.Tasks))
	}
	turn.Number, turn.Want, turn.Ends = 2, 0, ends
	if _, err := s.Take(ctx, turn); err != nil {
		return step("finish tasks", err)
	}
	logged, err := s.ReadLog(ctx, ReplyKey(name, 0, addr), "", 1)
	if err != nil || len(logged) != 1 {
		return step("read the outcomes", errors.Join(err, missing(len(logged) != 1, "they are not in the reply log")))
	}
	heard, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := replies.Receive(heard); err != nil {
		return step("hear of the outcomes", fmt.Errorf("the subscription got nothing: %w", err))
	}
	_, err = s.Leave(ctx, l, addr)
	return step("sign off", err)
}

func missing(is bool, text string) error {
	if is {
		return errors.New(text)
	}
	return nil
}

// Fleet is who serves a line, and how many tasks have died.
type Fleet struct {
	Alive      int // consumers that hold a lease
	Lapsed     int // those whose lease has lapsed and that nobody has struck off
	Held       int // tasks they have in flight
	Since      time.Duration
	Dead       int64
	DeadLately int64 // within the last hour
}

// Fleet looks at the line's consumers and dead tasks.
func (s *Store) Fleet(ctx context.Context, l Line) (Fleet, error) {
	var f Fleet
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return f, explain(err)
	}
	alive, err := s.rdb.ZRangeWithScores(ctx, l.base+"alive", 0, -1).Result()
	if err != nil {
		return f, explain(err)
	}
	for _, c := range alive {
		until := time.UnixMilli(int64(c.Score))
		if until.After(now) {
			f.Alive++
			continue
		}
		name, _ := c.Member.(string)
		holds, err := s.rdb.HKeys(ctx, l.base+"run:"+name).Result()
		if err != nil {
			return f, explain(err)
		}
		lots, err := s.rdb.HGet(ctx, l.base+"run:"+name, "#l").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return f, explain(err)
		}
		f.Held += lotted(lots)
		f.Lapsed++
		f.Since = max(f.Since, now.Sub(until))
		for _, id := range holds {
			if len(id) == len(queue.TaskID{}) {
				f.Held++
			}
		}
	}
	if f.Dead, err = s.rdb.ZCard(ctx, l.base+"dead").Result(); err == nil {
		f.DeadLately, err = s.rdb.ZCount(ctx, l.base+"dead", strconv.FormatInt(now.Add(-time.Hour).UnixMilli(), 10), "+inf").Result()
	}
	return f, explain(err)
}

// lotted is how many tasks are in the lots of a list, see _lots.lua.
func lotted(list string) (n int) {
	words := strings.Fields(list)
	for i := 1; i < len(words); i += 2 {
		k, _ := strconv.Atoi(words[i])
		n += k
	}
	return n
}
