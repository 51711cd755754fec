package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinels is a master with replicas, and the Sentinels that watch them and elect
// another master when it is gone for a second.
type Sentinels struct {
	t       testing.TB
	Servers []*Server // the first one is the master until a failover
	Watch   []*Server // the Sentinels
}

// masterName is what the Sentinels call the master.
const masterName = "main"

// StartReplica starts a redis-server like [Start], as a replica of the master, and
// returns when it has all that the master has.
func StartReplica(t testing.TB, master *Server, args ...string) *Server {
	t.Helper()
	s := startBin(t, master.bin, nil, append([]string{"--replicaof", "127.0.0.1 " + fmt.Sprint(master.port)}, args...))
	s.inStep(master)
	// The master sends a replica nothing before it has heard from it once more, which may
	// take a second.
	conn := master.Client().Conn()
	defer func() { _ = conn.Close() }()
	settled(t, "a replica to follow", func() (bool, error) {
		if err := conn.Publish(t.Context(), "anything", "").Err(); err != nil {
			return false, err
		}
		n, err := conn.Wait(t.Context(), 1, time.Second).Result()
		return n > 0, err
	})
	return s
}

// inStep waits until the server is a replica of the master for both of them, as the
// master counts only those that have said that they are.
func (s *Server) inStep(master *Server) {
	s.t.Helper()
	mine, its := s.Client(), master.Client()
	online := fmt.Sprintf("port=%d,state=online", s.port)
	settled(s.t, "a replica to be in step", func() (bool, error) {
		info, err := mine.Info(s.t.Context(), "replication").Result()
		if err != nil || !strings.Contains(info, "master_link_status:up") {
			return false, err
		}
		info, err = its.Info(s.t.Context(), "replication").Result()
		return strings.Contains(info, online), err
	})
}

// StartSentinels starts a master and so many replicas, with args as [Start] takes
// them, and three Sentinels that know all of them.
func StartSentinels(t testing.TB, replicas int, args ...string) *Sentinels {
	t.Helper()
	g := &Sentinels{t: t, Servers: []*Server{Start(t, args...)}}
	for range replicas {
		g.Servers = append(g.Servers, StartReplica(t, g.Servers[0], args...))
	}
	const watchers = 3
	for range watchers {
		w := &Server{t: t, bin: g.Servers[0].bin, dir: t.TempDir()}
		w.start(func() error {
			w.conf = filepath.Join(w.dir, "sentinel.conf")
			return os.WriteFile(w.conf, fmt.Appendf(nil, `bind 127.0.0.1
port %d
dir %s
sentinel monitor %[3]s 127.0.0.1 %d 2
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 4000
`, w.port, w.dir, masterName, g.Servers[0].port), 0o600)
		})
		g.Watch = append(g.Watch, w)
	}
	for _, w := range g.Watch {
		g.settle(w, replicas, watchers-1)
	}
	return g
}

// settle waits until the Sentinel knows all others.
func (g *Sentinels) settle(w *Server, replicas, others int) {
	g.t.Helper()
	c := redis.NewSentinelClient(&redis.Options{Addr: w.Addr()})
	defer func() { _ = c.Close() }()
	settled(g.t, "the Sentinels to know each other", func() (bool, error) {
		m, err := c.Master(g.t.Context(), masterName).Result()
		return m["num-slaves"] == fmt.Sprint(replicas) && m["num-other-sentinels"] == fmt.Sprint(others), err
	})
}

// Options are what a client of whoever is the master needs. They are the caller's to
// change.
func (g *Sentinels) Options() *redis.UniversalOptions {
	o := &redis.UniversalOptions{MasterName: masterName}
	for _, w := range g.Watch {
		o.Addrs = append(o.Addrs, w.Addr())
	}
	return o
}

// Client makes a client of whoever is the master, which is closed when the test is
// over.
func (g *Sentinels) Client() redis.UniversalClient { return universal(g.t, g.Options()) }

func universal(t testing.TB, o *redis.UniversalOptions) redis.UniversalClient {
	c := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Master is the server that most of the Sentinels take for the master.
func (g *Sentinels) Master() *Server {
	g.t.Helper()
	votes := map[string]int{}
	for _, w := range g.Watch {
		c := redis.NewSentinelClient(&redis.Options{Addr: w.Addr()})
		at, err := c.GetMasterAddrByName(g.t.Context(), masterName).Result()
		_ = c.Close()
		if err == nil && len(at) == 2 {
			votes[strings.Join(at, ":")]++
		}
	}
	for _, s := range g.Servers {
		if votes[s.Addr()] > len(g.Watch)/2 {
			return s
		}
	}
	g.t.Fatalf("redistest: the Sentinels do not agree on a master: %v", votes)
	return nil
}
