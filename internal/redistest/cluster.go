package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster whose masters have a replica each.
type Cluster struct {
	t       testing.TB
	Servers []*Server // the first half are the masters until a failover
}

// clusterSlots is how many slots there are.
const clusterSlots = 16384

// StartCluster starts a cluster of so many masters, which share the slots evenly,
// and as many replicas, with args as [Start] takes them. A master that is gone for
// two seconds is replaced.
func StartCluster(t testing.TB, masters int, args ...string) *Cluster {
	t.Helper()
	g := &Cluster{t: t}
	for range 2 * masters {
		g.Servers = append(g.Servers, Start(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", fmt.Sprint(freePort(t)),
		}, args...)...))
	}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("redistest: make a cluster: %v", err)
		}
	}
	ids := make([]string, len(g.Servers))
	for i, s := range g.Servers {
		c := s.Client()
		must(c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i < masters {
			must(c.ClusterAddSlotsRange(ctx, i*clusterSlots/masters, (i+1)*clusterSlots/masters-1).Err())
		}
		var err error
		ids[i], err = c.ClusterMyID(ctx).Result()
		must(err)
		if i > 0 {
			must(c.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", g.Servers[0].port, g.Servers[0].busPort()).Err())
		}
	}
	known := func(s *Server, f func(nodes string) bool) {
		t.Helper()
		c := s.Client()
		settled(t, "the nodes to know each other", func() (bool, error) {
			nodes, err := c.ClusterNodes(ctx).Result()
			return f(nodes), err
		})
	}
	for _, s := range g.Servers {
		known(s, func(nodes string) bool {
			return strings.Count(nodes, "\n") == len(g.Servers) && !strings.Contains(nodes, "handshake")
		})
	}
	for i, s := range g.Servers[masters:] {
		must(s.Client().ClusterReplicate(ctx, ids[i]).Err())
	}
	for _, s := range g.Servers {
		known(s, func(nodes string) bool { return strings.Count(nodes, "slave") == masters })
		c := s.Client()
		settled(t, "the cluster to be whole", func() (bool, error) {
			info, err := c.ClusterInfo(ctx).Result()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384"), err
		})
	}
	for i, s := range g.Servers[masters:] {
		s.inStep(g.Servers[i])
	}
	return g
}

func (s *Server) busPort() string {
	for i, a := range s.args {
		if a == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

// Options are what a client of the cluster needs. They are the caller's to change.
func (g *Cluster) Options() *redis.UniversalOptions {
	o := &redis.UniversalOptions{IsClusterMode: true}
	for _, s := range g.Servers {
		o.Addrs = append(o.Addrs, s.Addr())
	}
	return o
}

// Client makes a client of the cluster, which is closed when the test is over.
func (g *Cluster) Client() *redis.ClusterClient {
	return universal(g.t, g.Options()).(*redis.ClusterClient)
}

// Slot is the slot of a key.
func (g *Cluster) Slot(key string) int {
	g.t.Helper()
	for _, s := range g.Servers {
		if s.Running() {
			n, err := s.Client().ClusterKeySlot(g.t.Context(), key).Result()
			if err != nil {
				g.t.Fatalf("redistest: the slot of %q: %v", key, err)
			}
			return int(n)
		}
	}
	g.t.Fatal("redistest: no node runs")
	return 0
}

// MasterOf is the server that has the slot, as the nodes that run see it. It is nil
// while they do not agree.
func (g *Cluster) MasterOf(slot int) *Server {
	g.t.Helper()
	var owner *Server
	for _, s := range g.Servers {
		if !s.Running() {
			continue
		}
		c := redis.NewClient(s.Options())
		ranges, err := c.ClusterSlots(g.t.Context()).Result() //nolint:staticcheck // it names the owner first, as clients take it
		_ = c.Close()
		if err != nil {
			return nil
		}
		for _, r := range ranges {
			if slot < r.Start || slot > r.End || len(r.Nodes) == 0 {
				continue
			}
			at := g.at(r.Nodes[0].Addr)
			if at == nil || owner != nil && owner != at {
				return nil
			}
			owner = at
		}
	}
	return owner
}

func (g *Cluster) at(addr string) *Server {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	for _, s := range g.Servers {
		if fmt.Sprint(s.port) == port {
			return s
		}
	}
	return nil
}

// Move moves a slot with its keys, one after the other, from one master to another,
// while both serve. between is called before each key.
func (g *Cluster) Move(slot int, from, to *Server, between func()) {
	g.t.Helper()
	ctx := g.t.Context()
	must := func(err error) {
		g.t.Helper()
		if err != nil {
			g.t.Fatalf("redistest: move slot %d from %s to %s: %v", slot, from.Addr(), to.Addr(), err)
		}
	}
	source, target := from.Client(), to.Client()
	fromID, err := source.ClusterMyID(ctx).Result()
	must(err)
	toID, err := target.ClusterMyID(ctx).Result()
	must(err)
	must(target.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID).Err())
	must(source.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID).Err())
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 1).Result()
		must(err)
		if len(keys) == 0 {
			break
		}
		between()
		must(source.Do(ctx, "MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", keys[0]).Err())
	}
	must(target.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err())
	must(source.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err())
}
