package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// loner submits as a producer does that knows of arrivals.
type loner struct {
	b        *bed
	from     string
	number   uint64
	arrivals store.Arrivals
}

func (l *loner) batch(ms ...*queue.Message) *store.Batch {
	l.number++
	batch := newBatch(queue.KindList, l.number, ms...)
	batch.From, batch.Arrivals = l.from, &l.arrivals
	return batch
}

// submit submits one task after the other.
func (l *loner) submit(ms ...*queue.Message) (ids []queue.TaskID) {
	l.b.t.Helper()
	for _, m := range ms {
		ids = append(ids, l.together(m)...)
	}
	return ids
}

// together submits them in one batch.
func (l *loner) together(ms ...*queue.Message) []queue.TaskID {
	l.b.t.Helper()
	batch := l.batch(ms...)
	if _, err := l.b.s.Submit(l.b.ctx(), batch); err != nil {
		l.b.t.Fatal(err)
	}
	return batchIDs(batch)
}

func batchIDs(b *store.Batch) (ids []queue.TaskID) {
	for i := range b.Items {
		ids = append(ids, b.Items[i].Msg.ID)
	}
	return ids
}

func msgs(n int) []*queue.Message {
	ms := make([]*queue.Message, n)
	for i := range ms {
		ms[i] = msg()
	}
	return ms
}

// piled returns a producer and the ids of its tasks: so many that those after the
// hundredth have begun the arrivals, and bare of them came without a script.
func (b *bed) piled(bare int) (*loner, []queue.TaskID) {
	b.t.Helper()
	l := &loner{b: b, from: "loner"}
	ids := l.submit(msgs(101 + bare)...)
	wants(b.t, "messages that came by a script", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 101)
	wants(b.t, "arrivals", b.rdb.LLen(b.ctx(), root+"arrivals").Val(), int64(1+bare))
	return l, ids
}

// gone fails if something of arrivals is left, but for what expires.
func (b *bed) gone() {
	b.t.Helper()
	b.clean()
	wants(b.t, "arrivals that are left", b.rdb.Exists(b.ctx(), root+"arrivals").Val(), 0)
	for _, k := range []string{"came", "settled"} {
		if ttl := b.rdb.PTTL(b.ctx(), root+k).Val(); ttl == -1 {
			b.t.Errorf("%s never expires", k)
		}
	}
}

func TestWhatComesWithoutAScriptIsClaimedInItsTurn(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l, ids := b.piled(10)
		keyed, high, late := msg(), msg(), msg()
		keyed.Key, high.Priority, late.Payload = "k", queue.High, append([]byte{0xc4, 0}, make([]byte, 2000)...)
		ids = append(ids, b.submit(msgs(3)...)...)
		ids = append(ids, l.submit(late, msg())...)
		ids = append(ids, b.submit(keyed)...)
		ids = append(ids, l.submit(msgs(3)...)...)
		first := b.submit(high)
		wants(t, "ready", b.counts().Ready, len(ids)+1)

		w := b.worker("w", long)
		wantIDs(t, "what goes first", w.claim(1), first...)
		var got []queue.TaskID
		for n := 1; len(got) < len(ids); n = n%17 + 3 {
			claimed := w.claim(n)
			if len(claimed) == 0 {
				t.Fatalf("%d of %d are claimed, and there is nothing to claim", len(got), len(ids))
			}
			got = append(got, claimed...)
		}
		wantIDs(t, "claimed", got, ids...)
		w.take(0, append(dones(got), done(first[0]))...)
		b.gone()
	})
}

func TestWhatArrivesTogetherIsClaimedInItsTurn(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l := &loner{b: b, from: "loner"}
		ids := append(l.together(msgs(60)...), l.together(msgs(60)...)...) // so many begin the arrivals
		wants(t, "messages that came by a script", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 120)
		for _, n := range []int{2, 33, 1, 70, 31, 65} {
			ids = append(ids, l.together(msgs(n)...)...)
			ids = append(ids, b.submit(msg())...) // another's, by a script
		}
		wants(t, "messages that came by a script", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 126)
		wants(t, "ready", b.counts().Ready, len(ids))
		w := b.worker("w", long)
		var got []queue.TaskID
		for n := 1; len(got) < len(ids); n = n*7%41 + 1 {
			got = append(got, w.claim(n)...)
			wants(t, "ready", b.counts().Ready, len(ids)-len(got))
		}
		wantIDs(t, "claimed", got, ids...)
		w.take(0, dones(got)...)
		b.gone()
	})
}

// TestATaskThatArrivedWithOthers: what is done to it is not done to them.
func TestATaskThatArrivedWithOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l, ids := b.piled(1)
		ids = append(ids, l.together(msgs(40)...)...)
		seen, awaited, off := ids[105], ids[110], ids[130]
		copies := b.rdb.LRange(b.ctx(), root+"arrivals", 2, -1).Val()
		k := b.look(line, seen)
		if k.State != queue.StateReady || k.Message == nil || k.Message.Type != "t" {
			t.Errorf("it looks like %+v", k)
		}
		wants(t, "messages that are stored", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 101)
		if st, err := b.s.Open(b.ctx(), line, awaited, "addr"); err != nil || !st.Waits {
			t.Fatalf("to wait for it: %+v, %v", st, err)
		}
		wants(t, "messages that are stored, with those of an entry", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 133)
		wants(t, "cancelled", b.cancel("watcher.1", off)[0], store.AnswerBefore)
		wants(t, "the cancelled one", b.state(off), queue.StateUnknown)
		wants(t, "ready", b.counts().Ready, len(ids)-1)
		b.rdb.RPush(b.ctx(), root+"arrivals", copies) // as if they had been sent twice

		w := b.worker("w", long)
		wantIDs(t, "claimed", w.claim(200), slices.Concat(ids[:130], ids[131:])...)
	})
}

// TestWhatIsNoEntry was put among the arrivals by somebody else's mistake: it stops nobody.
func TestWhatIsNoEntry(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l, ids := b.piled(1)
		cut := l.together(msgs(3)...)
		entry := b.rdb.LIndex(b.ctx(), root+"arrivals", 2).Val()
		b.rdb.LSet(b.ctx(), root+"arrivals", 2, entry[:len(entry)-1]) // the last message's end is missing
		b.rdb.RPush(b.ctx(), root+"arrivals", strings.Repeat("x", 17), strings.Repeat("9", 40), "1000000000009999ff ", "short")
		ids = append(append(ids, cut[:2]...), l.together(msgs(2)...)...)
		wants(t, "one that never was", b.state(queue.NewTaskID(0)), queue.StateUnknown)
		wants(t, "cancelling that", b.cancel("watcher.1", queue.NewTaskID(0))[0], store.AnswerLate)
		w := b.worker("w", long)
		wantIDs(t, "claimed", w.claim(200), ids...)
	})
}

// TestACopyOfWhatArrivalsHaveRefused comes late, by a connection that was given up, when
// there are arrivals again: a script has stored those tasks by then.
func TestACopyOfWhatArrivalsHaveRefused(t *testing.T) {
	for what, n := range map[string]int{"one": 1, "several": 40} {
		t.Run(what, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				l, _ := b.piled(1)
				late, w := l.batch(msgs(n)...), b.worker("w", long)
				copied := *late
				copied.Arrivals = store.OpenArrivals(root)
				w.take(0, dones(w.claim(200))...)
				b.gone()
				if _, err := b.s.Submit(b.ctx(), late); err != nil { // its entry is refused
					t.Fatal(err)
				}
				w.take(0, dones(w.claim(200))...)
				other := &loner{b: b, from: "other"}
				ids := other.submit(msgs(105)...)
				before := b.rdb.LLen(b.ctx(), root+"arrivals").Val()
				if _, err := b.s.Submit(b.ctx(), &copied); err != nil { // and so it arrives
					t.Fatal(err)
				}
				wants(t, "arrivals", b.rdb.LLen(b.ctx(), root+"arrivals").Val(), before+int64(n))
				wantIDs(t, "claimed", w.claim(200), ids...)
			})
		})
	}
}

func dones(ids []queue.TaskID) (ends []store.End) {
	for _, id := range ids {
		ends = append(ends, done(id))
	}
	return ends
}

// TestWhoListensHearsOfWhatComesAfterTheArrivals takes the last arrival, and no more than there
// are: what comes then must not wait for the one who took them.
func TestWhoListensHearsOfWhatComesAfterTheArrivals(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l, ids := b.piled(5)
		busy := b.worker("busy", long)
		wantIDs(t, "claimed", busy.claim(len(ids)), ids...)
		b.worker("idle", long)
		id := l.submit(msg())[0]
		bell := b.s.Bell()
		t.Cleanup(func() { _ = bell.Close() })
		r, ok, err := bell.Wait(b.ctx(), line, "idle", time.Second)
		if err != nil || !ok || r.Task == nil || r.Task.ID != id {
			t.Errorf("over the bell came %+v, %v, %v; want task %v", r, ok, err, id)
		}
	})
}

// TestSomebodyIsRungForArrivals: a worker with room finds arrivals by its heartbeat, and
// one that takes all it has room for passes the word on.
func TestSomebodyIsRungForArrivals(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.piled(20)
		w := b.worker("w", long)
		wants(t, "a claim finds something", w.beat().Claim, true)
		w.claim(110) // ready:1 is empty, and arrivals are left
		wants(t, "a claim finds something", w.beat().Claim, true)
		b.worker("idle", long)
		w.claim(1)
		wants(t, "entries on the bell", b.rdb.LLen(b.ctx(), root+"bell").Val(), 1)
	})
}

// flowing returns a worker that has claimed so many tasks at once that the arrivals stay
// open for it, and a producer that knows of them.
func (b *bed) flowing() (*worker, *loner) {
	b.t.Helper()
	w := b.worker("w", long)
	w.turn.Returns = true
	b.submit(msgs(40)...)
	r := w.take(100)
	wants(b.t, "open", r.Open, true)
	w.take(100, dones(idsOf(r))...)
	wants(b.t, "counts", b.counts(), store.Counts{Consumers: 1})
	l := &loner{b: b, from: "loner"}
	id := l.submit(msg()) // learns of them
	wantIDs(b.t, "claimed", w.claim(100), id...)
	w.take(100, dones(id)...)
	return w, l
}

// TestArrivalsStayOpenForWhoComesBack: what comes meanwhile takes no script, and nobody is
// rung for it.
func TestArrivalsStayOpenForWhoComesBack(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		w, l := b.flowing()
		b.worker("idle", long)
		for _, n := range []int{1, 7, 50, 3} {
			ids := l.together(msgs(n)...)
			wants(t, "messages that came by a script", b.rdb.HLen(b.ctx(), root+"tasks").Val(), 0)
			wants(t, "ready", b.counts().Ready, n)
			r := w.take(100)
			wantIDs(t, "claimed", idsOf(r), ids...)
			wants(t, "open", r.Open, true)
			r = w.again(100)
			wants(t, "claimed again", len(r.Tasks), n)
			wants(t, "open again", r.Open, true)
			w.take(100, dones(ids)...)
		}
		w.take(0)
		ids := append(b.submit(msgs(3)...), l.submit(msgs(2)...)...)
		wants(t, "entries on the bell", b.onBell(root), 0)
		w.turn.Returns = false
		r := w.take(100)
		wantIDs(t, "claimed", idsOf(r), ids...)
		wants(t, "open", r.Open, false)
		w.take(0, dones(ids)...)
		b.gone()
		l.submit(msg())
		wants(t, "entries on the bell", b.onBell(root), 1)
	})
}

func TestFewTasksDoNotKeepArrivalsOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.submit(msgs(31)...)
		w := b.worker("w", long)
		w.turn.Returns = true
		r := w.take(100)
		wants(t, "open", r.Open, false)
		w.take(0, dones(idsOf(r))...)
		b.gone()
	})
}

func TestNothingOfOpenArrivalsIsLeftOfWhoLeaves(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.flowing()
		if _, err := b.s.Leave(b.ctx(), line, "w"); err != nil {
			t.Fatal(err)
		}
		wants(t, "entries on the bell", b.onBell(root), 0)
		b.gone()
	})
}

// TestOthersHearWhenNobodyComesBack: what has come to open arrivals is rung for if who
// would have found it cannot claim it.
func TestOthersHearWhenNobodyComesBack(t *testing.T) {
	for what, leave := range map[string]func(*bed, *worker, *worker){
		"it signs off": func(b *bed, _, _ *worker) {
			if _, err := b.s.Leave(b.ctx(), line, "w"); err != nil {
				b.t.Fatal(err)
			}
		},
		"its lease lapses": func(b *bed, _, idle *worker) {
			b.rdb.ZAdd(b.ctx(), root+"alive", redis.Z{Score: 1, Member: "w"})
			idle.beat()
		},
		"it has no room": func(_ *bed, w, _ *worker) { w.take(0) },
		"it has room for some": func(b *bed, w, _ *worker) {
			wants(b.t, "claimed", len(w.claim(1)), 1)
		},
		"it is to become empty": func(b *bed, w, _ *worker) {
			lone := b.submit(msg())[0]
			b.rdb.LRem(b.ctx(), root+"arrivals", 1, lone[:])
			b.rdb.RPush(b.ctx(), root+"alone", lone[:])
			wants(b.t, "to become empty", w.take(10).Drain, true)
		},
	} {
		t.Run(what, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				w, l := b.flowing()
				idle := b.worker("idle", long)
				l.together(msgs(5)...)
				wants(t, "entries on the bell", b.onBell(root), 0)
				leave(b, w, idle)
				wants(t, "entries on the bell", b.onBell(root), 1)
			})
		})
	}
}

func TestAnArrivalThatIsSentTwiceRunsOnce(t *testing.T) {
	for what, claimed := range map[string]int{"in one claim": 0, "claimed already": 104, "and what came after it": 106} {
		t.Run(what, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				_, ids := b.piled(5)
				entry := b.rdb.LRange(b.ctx(), root+"arrivals", 3, 3).Val()
				w := b.worker("w", long)
				w.take(0, dones(w.claim(claimed))...)
				b.rdb.RPush(b.ctx(), root+"arrivals", entry)
				wantIDs(t, "claimed", w.claim(200), ids[claimed:]...)
				w.take(0, dones(ids[claimed:])...)
				b.gone()
			})
		})
	}
}

// TestAnArrivalWhoseReplyIsLost: it is claimed and done by the time at which it is sent
// again, and there are no arrivals any more.
func TestAnArrivalWhoseReplyIsLost(t *testing.T) {
	for what, n := range map[string]int{"one": 1, "several": 70} {
		t.Run(what, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				l, ids := b.piled(4)
				batch := l.batch(msgs(n)...)
				again := *batch
				again.Arrivals = store.OpenArrivals(root)
				if _, err := b.s.Submit(b.ctx(), batch); err != nil {
					t.Fatal(err)
				}
				w := b.worker("w", long)
				claimed := w.claim(200)
				wantIDs(t, "claimed", claimed, append(ids, batchIDs(batch)...)...)
				w.take(0, dones(claimed)...)
				if _, err := b.s.Submit(b.ctx(), &again); err != nil {
					t.Fatal(err)
				}
				wants(t, "tasks that are left", len(w.claim(10)), 0)
				b.gone()
			})
		})
	}
}

func TestAnArrivalCanBeLookedAtAwaitedAndCancelled(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		_, ids := b.piled(30)
		seen, awaited, off := ids[110], ids[115], ids[130] // the last one's number is passed by none
		// Whatever becomes of it, a copy must not run.
		copies := b.rdb.LRange(b.ctx(), root+"arrivals", 15, 30).Val()
		b.rdb.RPush(b.ctx(), root+"arrivals", copies)
		k := b.look(line, seen)
		if k.State != queue.StateReady || k.Message == nil || k.Message.Type != "t" {
			t.Errorf("an arrival looks like %+v", k)
		}
		wants(t, "one that never was", b.state(queue.NewTaskID(0)), queue.StateUnknown)

		st, err := b.s.Open(b.ctx(), line, awaited, "addr")
		if err != nil || !st.Waits {
			t.Fatalf("to wait for an arrival: %+v, %v", st, err)
		}
		a, err := b.s.Cancel(b.ctx(), "q", 0, "token", queue.Cancellation{}, []queue.TaskID{off, queue.NewTaskID(0)})
		if err != nil || a[0] != store.AnswerBefore || a[1] != store.AnswerLate {
			t.Fatalf("cancelling an arrival and what never was: %q, %v", a, err)
		}
		wants(t, "the cancelled one", b.state(off), queue.StateUnknown)
		b.rdb.RPush(b.ctx(), root+"arrivals", copies)

		w := b.worker("w", long)
		var want []queue.TaskID
		for _, id := range ids {
			if id != off && id != awaited {
				want = append(want, id)
			}
		}
		want = append(want, awaited) // of two copies the later one counts
		wantIDs(t, "claimed", w.claim(200), want...)
		var ends []store.End
		for _, id := range want {
			if id == awaited {
				ends = append(ends, ended(queue.VerdictDone, id, queue.StateSucceeded))
			} else {
				ends = append(ends, done(id))
			}
		}
		w.take(0, ends...)
		log, err := b.s.ReadLog(b.ctx(), store.ReplyKey("q", 0, "addr"), "", 10)
		if err != nil || len(log) != 1 {
			t.Errorf("%d outcomes were sent to who waits, want 1: %v", len(log), err)
		}
		b.gone()
	})
}

// secondly does something before the second script is sent.
type secondly struct {
	scripts int
	do      func()
}

func (s *secondly) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *secondly) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *secondly) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "evalsha") {
			if s.scripts++; s.scripts == 2 {
				s.do()
			}
		}
		return next(ctx, cmd)
	}
}

// TestAnArrivalThatIsClaimedWhileItIsLookedFor is in none of the places at the time at which
// each is looked at.
func TestAnArrivalThatIsClaimedWhileItIsLookedFor(t *testing.T) {
	for what, look := range map[string]func(b *bed, s *store.Store, id queue.TaskID){
		"look": func(b *bed, s *store.Store, id queue.TaskID) {
			k, err := s.Look(b.ctx(), line, id)
			if err != nil || k.State != queue.StateRunning {
				b.t.Errorf("it is %v, %v; want it to run", k.State, err)
			}
		},
		"open": func(b *bed, s *store.Store, id queue.TaskID) {
			st, err := s.Open(b.ctx(), line, id, "addr")
			if err != nil || !st.Waits {
				b.t.Errorf("to wait for it: %+v, %v", st, err)
			}
		},
		"cancel": func(b *bed, s *store.Store, id queue.TaskID) {
			a, err := s.Cancel(b.ctx(), "q", 0, "token", queue.Cancellation{}, []queue.TaskID{id})
			if err != nil || a[0] != store.AnswerWait {
				b.t.Errorf("cancelling it: %q, %v", a, err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			everywhere(t, func(t *testing.T, b *bed) {
				_, ids := b.piled(9)
				w := b.worker("w", long)
				watched := redis.NewClient(b.rdb.Options())
				t.Cleanup(func() { _ = watched.Close() })
				s, err := store.New(watched)
				if err != nil {
					t.Fatal(err)
				}
				hook := &secondly{do: func() { w.claim(200) }}
				if what == "cancel" { // the first script comes after the messages were asked for
					hook.scripts = 1
				}
				watched.AddHook(hook)
				look(b, s, ids[105])
			})
		})
	}
}

// TestNothingOfArrivalsIsLeftOfAQueueThatIsDropped: what tells copies apart would never
// expire, since no claim comes.
func TestNothingOfArrivalsIsLeftOfAQueueThatIsDropped(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		if _, err := b.s.Declare(b.ctx(), "q", queue.Layout{Kind: queue.KindList, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		_, ids := b.piled(5)
		b.open(ids[104], "watcher")
		b.worker("w", long).claim(103)
		wants(t, "keys that tell copies apart", b.rdb.Exists(b.ctx(), root+"came", root+"settled").Val(), 2)
		if err := b.s.Drop(b.ctx(), "q"); err != nil {
			t.Fatal(err)
		}
		b.gone()
	})
}

// TestAForgottenTaskIsNotTwiceAmongTheArrivals: a cancelled one's id may stand there yet.
func TestAForgottenTaskIsNotTwiceAmongTheArrivals(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		b.piled(5)
		key := func() *queue.Message {
			m := msg()
			m.Key = "k"
			return m
		}
		id := b.submit(key())[0]
		wants(t, "cancelled", b.cancel("watcher.1", id)[0], store.AnswerBefore)
		b.rdb.LPush(b.ctx(), root+"arrivals", id[:]) // as in a list that is too long to take it out
		if err := b.s.Forget(b.ctx(), "q", id); err != nil {
			t.Fatal(err)
		}
		b.submit(key())
		n := 0
		for _, claimed := range b.worker("w", long).claim(200) {
			if claimed == id {
				n++
			}
		}
		wants(t, "times the task was claimed", n, 1)
	})
}

// TestNothingOfArrivalsIsLeftWhenTheLastIsCancelled: no claim comes by then.
func TestNothingOfArrivalsIsLeftWhenTheLastIsCancelled(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		_, ids := b.piled(3)
		a, err := b.s.Cancel(b.ctx(), "q", 0, "token", queue.Cancellation{}, ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range a {
			if got != store.AnswerBefore {
				t.Errorf("task %d: %c", i, got)
			}
		}
		b.gone()
	})
}

func TestAFullRedisRefusesArrivalsAndGivesThemOut(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	b := newBed(t, r.Client(), nil, r)
	l, ids := b.piled(20)
	w := b.worker("w", long)
	if err := b.rdb.ConfigSet(b.ctx(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Submit(b.ctx(), l.batch(msg())); !errors.Is(err, queue.ErrStoreFull) {
		t.Errorf("a full Redis says %v, want ErrStoreFull", err)
	}
	a, err := b.s.Cancel(b.ctx(), "q", 0, "token", queue.Cancellation{}, ids[110:111])
	if err != nil || a[0] != store.AnswerBefore {
		t.Errorf("cancelling an arrival on a full Redis: %q, %v", a, err)
	}
	wants(t, "claimed", len(w.claim(200)), len(ids)-1)
}

func TestAnAuditKnowsArrivals(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		l, ids := b.piled(30)
		ids = append(ids, l.together(msgs(50)...)...)
		audit := func(repair bool) (kinds []string, n store.Audited) {
			n, err := b.s.AuditIn(context.Background(), store.AuditOptions{Repair: repair, Found: func(f store.Finding) {
				kinds = append(kinds, string(f.Damage)+" "+f.Key)
			}}, 1<<20, 7)
			if err != nil {
				t.Fatal(err)
			}
			wants(t, "tasks", n.Tasks, int64(len(ids)))
			return kinds, n
		}
		if kinds, n := audit(false); len(kinds) > 0 || n.Unsure > 0 {
			t.Errorf("where nothing is wrong an audit finds %v, and is unsure of %d", kinds, n.Unsure)
		}
		b.rdb.LPush(b.ctx(), root+"ready:1", ids[100][:]) // whose id is the first arrival
		if kinds, _ := audit(true); strings.Join(kinds, ",") != "twice "+root+"tasks" {
			t.Errorf("a task that is ready and has arrived: %v", kinds)
		}
		if kinds, _ := audit(false); len(kinds) > 0 {
			t.Errorf("after the repair: %v", kinds)
		}
		w := b.worker("w", long)
		wants(t, "claimed", len(w.claim(200)), len(ids))
	})
}
