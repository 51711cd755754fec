package embedded_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
)

// expires fails the test unless a key with a short life goes away by itself.
func expires(t *testing.T, rdb *redis.Client) {
	t.Helper()
	if err := rdb.Set(t.Context(), "k", "v", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := rdb.Get(t.Context(), "k").Err()
		if errors.Is(err, redis.Nil) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("a key with a life of 20 ms is still there after 10 s: the store's clock stands still, so no lease would ever lapse")
		}
	}
}

func TestStartListensAndTicks(t *testing.T) {
	s, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") || s.URL() != "redis://"+s.Addr() {
		t.Fatalf("Addr is %q and URL %q; want a loopback port and its URL", s.Addr(), s.URL())
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = rdb.Close() }()
	expires(t, rdb)
}

func TestStartProtectedRefusesStrangers(t *testing.T) {
	s, err := embedded.StartProtected()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stranger := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = stranger.Close() }()
	if err := stranger.Set(t.Context(), "k", "v", 0).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Fatalf("a client without the password got %v; want NOAUTH", err)
	}
	opt, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	guest := redis.NewClient(opt)
	defer func() { _ = guest.Close() }()
	expires(t, guest)
	own := s.Client()
	defer func() { _ = own.Close() }()
	expires(t, own)
}

func TestStartPrivateListensNowhere(t *testing.T) {
	s, err := embedded.StartPrivate()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Addr() != "" || s.URL() != "" {
		t.Fatalf("Addr is %q and URL %q; a private store has neither", s.Addr(), s.URL())
	}
	if _, err := netip.ParseAddrPort(s.Options().Addr); err != nil {
		t.Errorf("go-redis asks the resolver about the address of a private store: %v", err)
	}
	a, b := s.Client(), s.Client()
	defer func() { _ = a.Close() }()
	defer func() { _ = b.Close() }()
	if err := a.Set(t.Context(), "shared", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Get(t.Context(), "shared").Result(); err != nil || v != "1" {
		t.Fatalf("another client of the same store read %q, %v; want what the first one wrote", v, err)
	}
	expires(t, a)
}

func TestCloseEndsConnections(t *testing.T) {
	s, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = rdb.Close() }()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err == nil {
		t.Fatal("the store answers after Close")
	}
}

// A script does not see the keys go that it works on, however long it takes.
func TestTimeStandsStillInAScript(t *testing.T) {
	s, err := embedded.StartPrivate()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rdb := s.Client()
	defer func() { _ = rdb.Close() }()
	left, err := redis.NewScript(`
		local function ms()
			local t = redis.call('TIME')
			return t[1] * 1000 + t[2] / 1000
		end
		redis.call('SET', KEYS[1], '', 'PX', 1)
		local from = ms()
		while ms() < from + 30 do end
		return redis.call('EXISTS', KEYS[1])`).Run(t.Context(), rdb, []string{"script"}).Int()
	if err != nil {
		t.Fatal(err)
	}
	if left != 1 {
		t.Error("a key went while a script ran")
	}
	expires(t, rdb)
}
