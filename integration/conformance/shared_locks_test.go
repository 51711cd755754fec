package conformance

import (
	"slices"
	"time"
)

// sharedLockRows are about locks, semaphores, events and barriers of processes.
var sharedLockRows = []row{
	{"C91", "D", "a lock excludes; only who holds it releases it, once, and not when it is lost", func(b *bed) {
		s := newSite(b.T)
		one, two := s.sharer(b), s.sharer(b)
		h := one.do(order{Do: "acquire"}, "")
		for _, p := range []*sharer{one, two} {
			if p.do(order{Do: "try"}, "").OK {
				b.Error("two hold the lock")
			}
		}
		two.do(order{Do: "release", Token: h.Token}, "not owner")
		next := two.begin(order{Do: "acquire"})
		s.lined(b, "lock:{l}:line", 1)
		one.do(order{Do: "release", Token: h.Token}, "")
		g := two.came("the wait", next, "")
		if g.Token <= h.Token {
			b.Errorf("token %d after %d", g.Token, h.Token)
		}
		one.do(order{Do: "release", Token: h.Token}, "not owner")
		if err := two.Freeze(); err != nil {
			b.Fatal(err)
		}
		k := one.do(order{Do: "acquire"}, "") // when the lease has lapsed
		if err := two.Thaw(); err != nil {
			b.Fatal(err)
		}
		two.do(order{Do: "lost", Token: g.Token}, "lost")
		two.do(order{Do: "release", Token: g.Token}, "lost")
		one.do(order{Do: "release", Token: k.Token}, "")
	}},
	{"C92", "D", "a lock's holder is killed: the next has it with a larger token, the old one is fenced off", func(b *bed) {
		s := newSite(b.T)
		dies, sleeps, next := s.sharer(b), s.sharer(b), s.sharer(b)
		first := dies.do(order{Do: "acquire"}, "")
		dies.do(order{Do: "write", Token: first.Token, N: 1}, "")
		second := sleeps.begin(order{Do: "acquire"})
		s.lined(b, "lock:{l}:line", 1)
		third := next.begin(order{Do: "acquire"})
		s.lined(b, "lock:{l}:line", 2)

		dies.Kill()
		killed := time.Now()
		h := sleeps.came("the wait for the dead", second, "")
		if took := time.Since(killed); took > within/2 {
			b.Errorf("it took %v with leases of %v", took, sharedLease)
		}
		sleeps.do(order{Do: "write", Token: h.Token, N: 2}, "")
		sleeps.do(order{Do: "write", Token: first.Token, N: 99}, "stale")

		if err := sleeps.Freeze(); err != nil {
			b.Fatal(err)
		}
		k := next.came("the wait for the sleeping", third, "")
		next.do(order{Do: "write", Token: k.Token, N: 3}, "")
		if err := sleeps.Thaw(); err != nil {
			b.Fatal(err)
		}
		sleeps.do(order{Do: "write", Token: h.Token, N: 99}, "stale")
		sleeps.do(order{Do: "lost", Token: h.Token}, "lost")
		if got := next.do(order{Do: "read"}, ""); got.N != 3 || got.Token != k.Token || first.Token >= h.Token || h.Token >= k.Token {
			b.Errorf("value %d of token %d; the tokens were %d, %d, %d", got.N, got.Token, first.Token, h.Token, k.Token)
		}
		next.do(order{Do: "release", Token: k.Token}, "")
	}},
	{"C93", "D", "a semaphore of 2: the third waits, none is released twice, that of the dead returns", func(b *bed) {
		s := newSite(b.T)
		one, two := s.sharer(b), s.sharer(b)
		g, h := one.do(order{Do: "permit"}, ""), two.do(order{Do: "permit"}, "")
		third := two.begin(order{Do: "permit"})
		s.lined(b, "semaphore:{s}:line", 1)
		one.do(order{Do: "release", Token: g.Token}, "")
		one.do(order{Do: "release", Token: g.Token}, "not owner")
		k := two.came("the third", third, "")
		if one.do(order{Do: "try permit"}, "").OK {
			b.Error("three hold a permit of 2")
		}
		two.do(order{Do: "release", Token: h.Token}, "")
		one.do(order{Do: "permit"}, "")
		last := one.begin(order{Do: "permit"})
		s.lined(b, "semaphore:{s}:line", 1)
		two.Kill()
		if a := one.came("the wait for the dead", last, ""); a.Token <= k.Token {
			b.Errorf("token %d after %d", a.Token, k.Token)
		}
	}},
	{"C94", "D", "an event: set, cleared, waited for; set and cleared at once wakes those who wait", func(b *bed) {
		s := newSite(b.T)
		one, two, three := s.sharer(b), s.sharer(b), s.sharer(b)
		second, third := two.begin(order{Do: "wait"}), three.begin(order{Do: "wait"})
		s.listens(b, "cenote:shared:event:{e}", 2) // they have looked, and wait
		one.do(order{Do: "set"}, "")
		one.do(order{Do: "clear"}, "")
		two.came("the wait", second, "")
		three.came("the wait", third, "")
		if two.do(order{Do: "is set"}, "").OK {
			b.Error("it is set and was cleared")
		}
		two.do(order{Do: "wait", For: 50 * time.Millisecond}, "timeout")
		one.do(order{Do: "set"}, "")
		two.do(order{Do: "wait"}, "")
		if !two.do(order{Do: "is set"}, "").OK {
			b.Error("it is not set")
		}
	}},
	{"C95", "D", "a barrier in lockstep, one index 0 a round; abort, reset, a timeout and a death break it for all", func(b *bed) {
		s := newSite(b.T)
		ps := []*sharer{s.sharer(b), s.sharer(b), s.sharer(b)}
		meet := func(ps ...*sharer) (all []<-chan answer) {
			for _, p := range ps {
				all = append(all, p.begin(order{Do: "meet"}))
			}
			return all
		}
		lockstep := func(rounds int) {
			for range rounds {
				first := meet(ps[:2]...)
				s.arrived(b, 2)
				all := append(first, meet(ps[2])...)
				var got []int
				for i, c := range all {
					got = append(got, ps[i].came("a round", c, "").N)
				}
				if slices.Sort(got); !slices.Equal(got, []int{0, 1, 2}) {
					b.Errorf("indexes %v", got)
				}
			}
		}
		broken := func(breaks func()) {
			all := meet(ps[:2]...)
			s.arrived(b, 2)
			breaks()
			for i, c := range all {
				ps[i].came("a broken round", c, "broken")
			}
		}
		lockstep(10)
		broken(func() { ps[2].do(order{Do: "abort"}, "") })
		ps[2].do(order{Do: "meet"}, "broken")
		ps[2].do(order{Do: "reset"}, "")
		lockstep(1)
		broken(func() { ps[2].do(order{Do: "reset"}, "") })
		lockstep(1)
		all := meet(ps[0])
		s.arrived(b, 1)
		ps[1].do(order{Do: "meet", For: 50 * time.Millisecond}, "timeout")
		ps[0].came("a round that somebody gave up", all[0], "broken")
		ps[2].do(order{Do: "meet"}, "broken")
		ps[2].do(order{Do: "reset"}, "")
		lockstep(1)
		broken(func() { ps[2].Kill() })
		ps[2] = s.sharer(b)
		ps[2].do(order{Do: "reset"}, "")
		lockstep(1)
	}},
}

// lined waits until so many are in a line.
func (s *site) lined(b *bed, key string, n int64) {
	b.Helper()
	rdb := s.redis.Client()
	b.until("the line", func() bool { return rdb.ZCard(b.ctx, "cenote:shared:"+key).Val() == n })
}

// arrived waits until so many wait at the barrier.
func (s *site) arrived(b *bed, n int64) {
	b.Helper()
	rdb := s.redis.Client()
	b.until("those who arrive", func() bool { return rdb.HLen(b.ctx, "cenote:shared:barrier:{b}:in").Val() == n })
}

// listens waits until so many processes listen to a channel.
func (s *site) listens(b *bed, channel string, n int64) {
	b.Helper()
	rdb := s.redis.Client()
	b.until("those who listen", func() bool { return rdb.PubSubNumSub(b.ctx, channel).Val()[channel] == n })
}
