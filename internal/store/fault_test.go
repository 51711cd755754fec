package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func storeOver(t *testing.T, o *redis.Options) *store.Store {
	t.Helper()
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErrorsHaveTheirNamesAndSayTheFix(t *testing.T) {
	t.Parallel()
	locked := redistest.Start(t, "--requirepass", "sesame")
	admin := locked.Client()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@read", "+@connection", "-eval", "-evalsha").Err(); err != nil {
		t.Fatal(err)
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    *redis.Options
		want error
		says string
	}{
		"no password":        {&redis.Options{Addr: locked.Addr()}, queue.ErrUnauthorized, "password"},
		"wrong password":     {&redis.Options{Addr: locked.Addr(), Password: "x"}, queue.ErrUnauthorized, "password"},
		"unknown user":       {&redis.Options{Addr: locked.Addr(), Username: "x", Password: "x"}, queue.ErrUnauthorized, "user"},
		"too few rights":     {&redis.Options{Addr: locked.Addr(), Username: "reader", Password: "pw"}, queue.ErrDenied, "commands"},
		"connection refused": {&redis.Options{Addr: refused, MaxRetries: -1, DialerRetries: 1}, queue.ErrUnavailable, "is Redis running"},
	} {
		t.Run(name, func(t *testing.T) {
			s := storeOver(t, c.o)
			verbs := map[string]error{
				"submit": second(s.Submit(t.Context(), newBatch(queue.KindList, 1, msg()))),
				"turn":   second(s.Take(t.Context(), &store.Turn{Line: line, Consumer: "w", Want: 1})),
				"beat":   second(s.Beat(t.Context(), line, "w", long, 0)),
				"leave":  second(s.Leave(t.Context(), line, "w")),
				"open":   second(s.Open(t.Context(), line, queue.NewTaskID(0), "")),
				"decl":   second(s.Declare(t.Context(), "q", queue.Layout{Kind: queue.KindList})),
			}
			if !errors.Is(c.want, queue.ErrDenied) {
				verbs["ping"] = s.Ping(t.Context())
			}
			for verb, err := range verbs {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v; want %v that says %q", verb, err, c.want, c.says)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheOriginalErrorIsKeptInside(t *testing.T) {
	t.Parallel()
	err := storeOver(t, &redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1}).Ping(t.Context())
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("%v hides what the network said", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := storeOver(t, &redis.Options{Addr: "127.0.0.1:1"}).Ping(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("the caller's own context ended: %v", err)
	}
}

func TestEviction(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	b := newBed(t, r.Client(), nil, r)
	for _, c := range []struct {
		policy, limit string
		want          error
	}{
		{"noeviction", "100mb", nil}, {"allkeys-lru", "0", nil}, {"allkeys-lru", "100mb", queue.ErrEvicts},
		{"volatile-ttl", "100mb", queue.ErrEvicts}, {"allkeys-random", "100mb", queue.ErrEvicts},
	} {
		for k, v := range map[string]string{"maxmemory-policy": c.policy, "maxmemory": c.limit} {
			if err := b.rdb.ConfigSet(b.ctx(), k, v).Err(); err != nil {
				t.Fatal(err)
			}
		}
		err := b.s.CheckEviction(b.ctx())
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s at %s: %v", c.policy, c.limit, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.policy) || !strings.Contains(err.Error(), "noeviction")) {
			t.Errorf("%v says neither what is wrong nor the fix", err)
		}
	}
	m := redistest.Mini(t)
	if err := newBed(t, m.Client(), m, nil).s.CheckEviction(t.Context()); err != nil {
		t.Errorf("a server without CONFIG is trusted: %v", err)
	}
}

func TestAFullRedisCanBeDrained(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	b := newBed(t, r.Client(), nil, r)
	ids := b.submit(msg(), msg(), msg(), msg(), msg(), msg())
	w := b.worker("w", long)
	idle := b.worker("idle", long)
	idle.turn.Quiet = true
	for k, v := range map[string]string{"maxmemory-policy": "noeviction", "maxmemory": "1"} {
		if err := b.rdb.ConfigSet(b.ctx(), k, v).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for name, ms := range map[string][]*queue.Message{"a lone task": {msg()}, "several": {msg(), msg()}, "a key": {keyed()}} {
		_, err := b.s.Submit(b.ctx(), newBatch(queue.KindList, 99, ms...))
		if !errors.Is(err, queue.ErrStoreFull) || !strings.Contains(err.Error(), "maxmemory") {
			t.Errorf("%s: %v, want ErrStoreFull", name, err)
		}
	}
	got := w.claim(4)
	wantIDs(t, "claimed", got, ids[:4]...)
	retry := ended(queue.VerdictRetry, ids[1], queue.StateDead)
	retry.Note, retry.Delay = store.Note{Level: 1, Attempts: 1}, time.Hour
	reply := ended(queue.VerdictDone, ids[3], queue.StateSucceeded)
	reply.ReplyTo, reply.Keep = "addr", time.Hour
	rep := w.take(1, done(ids[0]), retry, ended(queue.VerdictDead, ids[2], queue.StateDead), reply)
	if len(rep.Stale) > 0 || len(rep.Tasks) != 1 {
		t.Errorf("a turn that finishes and claims: %+v", rep)
	}
	w.beat()
	if n, err := b.s.Leave(b.ctx(), line, "w"); n != 1 || err != nil {
		t.Errorf("leaving: %d, %v", n, err)
	}
	last := idle.claim(2)
	wants(t, "claimed by another", len(last), 2)
	idle.take(0, done(last[0]), done(last[1]))
	wants(t, "counts", b.counts(), store.Counts{Scheduled: 1, Dead: 1, Consumers: 1})
	wants(t, "told", len(b.logged("addr")), 1)
	if err := b.s.SignOn(b.ctx(), line, "newcomer", "", long); err != nil {
		t.Errorf("a worker that comes to help may not sign on: %v", err)
	}
}

// forgetful makes the server forget its scripts before every script that a client
// runs, as a failover does.
type forgetful struct{ other *redis.Client }

func (f forgetful) DialHook(next redis.DialHook) redis.DialHook { return next }
func (f forgetful) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f forgetful) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			if err := f.other.ScriptFlush(ctx).Err(); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func TestAServerThatForgetsItsScripts(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		o := *b.rdb.Options()
		other := redis.NewClient(&redis.Options{Addr: o.Addr})
		defer func() { _ = other.Close() }()
		b.rdb.AddHook(forgetful{other})
		everyVerb(b)
	})
}

// everyVerb runs each of the store's scripts, with every kind of content.
func everyVerb(b *bed) {
	b.t.Helper()
	t := b.t
	for name, kind := range map[string]queue.Kind{"q": queue.KindList, "s": queue.KindStream} {
		if _, err := b.s.Declare(b.ctx(), name, queue.Layout{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	lost := b.worker("lost", lapses)
	lost.claim(1)
	delayed, high := msg(), msg()
	delayed.Delay, high.Priority, high.Expire = time.Millisecond, queue.High, time.Hour
	b.submit(msg())
	lost.hear()
	b.submit(msg(), delayed, high, keyed(), msg(), msg(), msg())
	b.submitBatch(queue.KindList, keyed())
	b.pass(lapses)
	w := b.worker("w", long)
	w.beat()
	w.turn.Resync, w.turn.Empty = true, true
	ids := w.claim(10)
	if len(ids) != 8 {
		t.Fatalf("%d of 8 tasks were claimed", len(ids))
	}
	b.open(ids[0], "watcher")
	r := w.take(0, done(ids[0]))
	wantIDs(t, "put off", r.Watched, ids[0])
	value := ended(queue.VerdictDone, ids[0], queue.StateSucceeded)
	value.ReplyTo, value.Keep, value.Part = "addr", time.Hour, true
	_, value.Next = next(queue.High, 0)
	if err := b.s.Record(b.ctx(), line, "w", ids[0], 0, []byte{7}); err != nil {
		t.Fatal(err)
	}
	retry := ended(queue.VerdictRetry, ids[1], queue.StateDead)
	retry.Note = store.Note{Level: 1, Attempts: 1}
	w.take(1, value, retry, ended(queue.VerdictDead, ids[2], queue.StateDead), done(ids[3]),
		store.End{ID: ids[4], Verdict: queue.VerdictGiveBack}, store.End{ID: ids[5], Verdict: queue.VerdictPark, Delay: time.Hour})
	wants(t, "told", len(b.logged("watcher")), 1)
	b.look(line, ids[2])
	b.counts()
	b.pass(5 * time.Millisecond)
	off, on := msg(), msg()
	off.ReplyTo, off.Keep = "addr", time.Hour
	b.submit(off, on)
	wants(t, "cancelled", b.cancel("watcher.1", off.ID, ids[6])[0], store.AnswerBefore)
	if _, err := b.s.Answer(b.ctx(), line, "w", []store.Reply{{Wish: store.Wish{ID: ids[6], Token: "watcher.1"}, Answer: store.AnswerStopped}}); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Say(b.ctx(), line, []store.Said{{ID: ids[6], ReplyTo: "addr", Events: []queue.Event{{Text: "a word"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Forget(b.ctx(), "q", off.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Beat(b.ctx(), line, "w", long, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Leave(b.ctx(), line, "w"); err != nil {
		t.Fatal(err)
	}

	ws := b.join(billing)
	later, key := event(), event()
	later.Delay, key.Key = time.Millisecond, "k"
	b.publish(event(), later, key)
	b.pass(5 * time.Millisecond)
	events := ws[0].claim(5)
	wants(t, "events claimed", len(events), 3)
	ws[0].take(1, done(events[0]))
	if _, err := b.s.Trim(b.ctx(), billing, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Count(b.ctx(), billing); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Open(b.ctx(), billing, events[1], "addr"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Leave(b.ctx(), billing, "w-billing"); err != nil {
		t.Fatal(err)
	}
	if err := b.s.TrimLog(b.ctx(), store.ReplyKey("q", 0, "addr"), "1-0"); err != nil {
		t.Fatal(err)
	}
	if err := b.s.DropLog(b.ctx(), store.ReplyKey("q", 0, "addr")); err != nil {
		t.Fatal(fmt.Errorf("drop log: %w", err))
	}
	everyVerbOfArrivals(b)
}

func everyVerbOfArrivals(b *bed) {
	b.t.Helper()
	l := &loner{b: b, from: "loner"}
	arrived := append(l.submit(msgs(102)...)[101:], l.together(msgs(3)...)...)
	wants(b.t, "an arrival", b.state(arrived[0]), queue.StateReady)
	b.open(arrived[1], "watcher")
	wants(b.t, "cancelled", b.cancel("watcher.2", arrived[2])[0], store.AnswerBefore)
	w := b.worker("last", long)
	for n := 1; n > 0; {
		ids := w.claim(60)
		n = len(ids)
		var ends []store.End
		for _, id := range ids {
			ends = append(ends, ended(queue.VerdictDone, id, queue.StateSucceeded))
		}
		w.take(0, ends...)
	}
	if _, err := b.s.Leave(b.ctx(), line, "last"); err != nil {
		b.t.Fatal(err)
	}
}
