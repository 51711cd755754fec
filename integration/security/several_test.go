package security_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
)

// watched makes a town of a master with replicas, and of Sentinels that log in there as
// users of the operator. The clients log in at the Sentinels, too.
func watched(t *testing.T, queues ...string) (*town, *redistest.Sentinels) {
	t.Helper()
	w := newTown(t)
	g := redistest.StartSentinels(t, 2, w.args()...)
	w.root = g.Client()
	w.nodes = clients(g.Servers)
	w.at = func(user, _ string) *redis.Client { return w.plain(g.Master(), user) }
	w.dial = func(user string) redis.UniversalClient {
		o := g.Options()
		o.SentinelUsername, o.SentinelPassword = "cenote-sentinel", password
		return w.spread(o, user)
	}
	w.settle(queues)
	words, err := store.SentinelRights(w.version())
	w.ok(err)
	sentinels := clients(g.Watch)
	for _, c := range sentinels {
		w.setUser(c, "cenote-sentinel", append(words, ">"+password))
		for _, is := range [][]any{{"auth-user", "sentinel"}, {"auth-pass", password}} {
			w.ok(c.Do(w.ctx, append([]any{"SENTINEL", "SET", g.Options().MasterName}, is...)...).Err())
		}
	}
	// At servers as well as among each other they go on with connections that they made
	// before.
	for _, n := range w.nodes {
		w.ok(n.Do(w.ctx, "CLIENT", "KILL", "USER", "default", "SKIPME", "yes").Err())
	}
	return w, g
}

// loggedIn reports whether anybody is connected as the user.
func (w *town) loggedIn(c *redis.Client, user string) bool {
	w.t.Helper()
	list, err := c.ClientList(w.ctx).Result()
	w.ok(err)
	return strings.Contains(list, " user="+user+" ")
}

// TestUsersBehindSentinel has the users do their work behind Sentinels, which elect another
// master meanwhile, and try what they must not do.
func TestUsersBehindSentinel(t *testing.T) {
	t.Parallel()
	queues := []string{"default", "second", "events", "mine"}
	w, g := watched(t, queues...)
	w.work()
	w.share()
	w.nothingDenied() // what the master has to say goes with it
	old := g.Master()
	w.through(1, func(done func() int) {
		w.eventually("some work", func() bool { return done() > 20 })
		old.Kill()
		w.eventually("another master", func() bool { return g.Master() != old })
		old.Follow(g.Master())
	})
	w.work()
	w.share()
	w.replicated("default")
	w.allUsed(queues)
	master := g.Master().Client()
	for _, user := range []string{"sentinel", "replica"} {
		w.eventually("the "+user+" to log in at the new master", func() bool { return w.loggedIn(master, user) })
	}
	w.nothingDenied()
	if all := slices.DeleteFunc(w.denials(clients(g.Watch)), tolerated); len(all) > 0 {
		t.Errorf("denied by Sentinels:\n%s", strings.Join(all, "\n"))
	}
	w.nothingMore()
	w.nothingMoreThere(g)
}

// nothingMoreThere has them try what they must not do at the Sentinels.
func (w *town) nothingMoreThere(g *redistest.Sentinels) {
	w.t.Helper()
	name := g.Options().MasterName
	for _, text := range []string{
		"SENTINEL FAILOVER " + name, "SENTINEL SET " + name + " quorum 1", "SENTINEL REMOVE " + name, "SENTINEL MONITOR x 127.0.0.1 1 1",
		"SENTINEL MASTERS", "SENTINEL MASTER " + name, "SENTINEL RESET *", "SENTINEL FLUSHCONFIG", "SENTINEL CONFIG GET *", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 1 *",
		"ACL LIST", "ACL WHOAMI", "CLIENT LIST", "CLIENT KILL TYPE normal", "INFO", "ROLE", "SHUTDOWN",
		"PUBLISH __sentinel__:hello x", "SUBSCRIBE +sdown", "PSUBSCRIBE *",
	} {
		w.refused(w.plain(g.Watch[0], "cenote-sentinel"), "a client of a Sentinel", text)
	}
	if addr, err := w.plain(g.Watch[0], "cenote-sentinel").Do(w.ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name).StringSlice(); err != nil || len(addr) != 2 {
		w.t.Errorf("the master is at %v, %v", addr, err)
	}

	// And nothing of what they may is idle.
	words, err := store.SentinelRights(w.version())
	w.ok(err)
	for _, word := range words {
		if !strings.ContainsAny(word[:1], "+&") || word == "+ping" || word == "+client|setname" || word == "+client|setinfo" {
			continue // sent now and then, or by clients that have a name
		}
		c := g.Watch[0].Client()
		w.setUser(c, "less", append(slices.DeleteFunc(slices.Clone(words), func(other string) bool { return other == word }), ">"+password))
		w.denials([]*redis.Client{c})
		o := g.Options()
		o.Addrs = o.Addrs[:1]
		o.SentinelUsername, o.SentinelPassword = "less", password
		_ = w.spread(o, string(store.RoleDashboard)).Ping(w.ctx).Err()
		w.eventually("somebody without "+word+" to be refused", func() bool { return len(w.denials([]*redis.Client{c})) > 0 })
	}
}

// sharded makes a town of a cluster.
func sharded(t *testing.T, queues ...string) (*town, *redistest.Cluster) {
	t.Helper()
	w := newTown(t)
	g := redistest.StartCluster(t, 3, w.args()...)
	w.root = g.Client()
	w.nodes = clients(g.Servers)
	w.at = func(user, key string) *redis.Client { return w.plain(g.MasterOf(g.Slot(key)), user) }
	w.dial = func(user string) redis.UniversalClient { return w.spread(g.Options(), user) }
	w.settle(queues)
	return w, g
}

// TestUsersOfACluster has the users do their work on a cluster, where a slot moves from one
// node to another meanwhile, and try what they must not do there.
func TestUsersOfACluster(t *testing.T) {
	t.Parallel()
	queues := []string{"default", "second", "events", "mine"}
	w, g := sharded(t, queues...)
	w.work()
	w.share()
	slot := g.Slot(store.Root("default", 0))
	from := g.MasterOf(slot)
	to := g.Servers[(slices.Index(g.Servers[:3], from)+1)%3]
	w.through(1, func(done func() int) {
		keys := 0
		g.Move(slot, from, to, func() {
			if keys++; keys <= 3 { // for the load to meet the slot on its way
				asked := w.calls("asking")
				w.eventually("somebody to ask the other node", func() bool { return w.calls("asking") > asked })
			}
		})
		w.eventually("the cluster to agree", func() bool { return g.MasterOf(slot) == to })
	})
	w.work()
	w.share()
	w.replicated("default")
	w.allUsed(queues)
	for _, c := range []string{"cluster|slots", "command", "asking"} {
		if w.calls(c) == 0 {
			t.Errorf("nobody sends %s, which all may", c)
		}
	}
	w.nothingDenied()
	w.nothingMore()
	for _, r := range store.Roles {
		for _, text := range []string{"CLUSTER NODES", "CLUSTER RESET", "CLUSTER FAILOVER", "CLUSTER FORGET x", "CLUSTER SETSLOT 1 STABLE", "CLUSTER FLUSHSLOTS", "CLUSTER GETKEYSINSLOT 1 1", "READONLY"} {
			w.refused(w.at(string(r), store.Root("mine", 0)), string(r), text)
		}
	}
}
