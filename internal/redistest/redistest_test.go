package redistest

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// impatient is a client that does not try a dead server again.
func impatient(s *Server) *redis.Client {
	o := s.Options()
	o.MaxRetries, o.DialerRetries = -1, 1
	return client(s.t, o)
}

func TestServerSurvivesRestartAtTheSamePlace(t *testing.T) {
	s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	c := impatient(s)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	s.Kill()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	if s.Addr() != addr {
		t.Fatalf("the server moved from %s to %s", addr, s.Addr())
	}
	if v, err := c.Get(t.Context(), "k").Result(); err != nil || v != "v" {
		t.Fatalf("after the restart the key is %q, %v: the directory or the arguments were lost", v, err)
	}
}

func TestServerStops(t *testing.T) {
	s := Start(t)
	c := impatient(s)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a stopped server answers")
	}
	s.Kill() // nothing is left to kill
}

func TestServerTakesArguments(t *testing.T) {
	s := Start(t, "--requirepass", "sesame", "--maxmemory", "64mb")
	m, err := s.Client().ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || m["maxmemory"] != "67108864" {
		t.Fatalf("maxmemory is %q, %v", m["maxmemory"], err)
	}
}

func TestServersAreApart(t *testing.T) {
	a, b := Start(t), Start(t)
	if a.Addr() == b.Addr() || a.Dir() == b.Dir() {
		t.Fatalf("two servers share an address or a directory: %s, %s", a.Addr(), a.Dir())
	}
}

func TestMiniClockTicks(t *testing.T) {
	m := Mini(t)
	c := m.Client()
	if err := c.Set(t.Context(), "k", "v", time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); c.Exists(t.Context(), "k").Val() == 1; {
		if time.Now().After(deadline) {
			t.Fatal("a key with a TTL of 1ms is there after 10s: the clock stands still")
		}
	}
}
