package redistest

import (
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
)

// MiniServer is miniredis in this process.
type MiniServer struct {
	*miniredis.Miniredis
	t    testing.TB
	stop func() time.Time // stops the clock
	set  sync.Once
}

// Mini starts miniredis on a loopback port, with its clock ticking: keys expire
// as time passes, as they do on a server. It is gone when the test is over.
func Mini(t testing.TB) *MiniServer {
	t.Helper()
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		t.Fatalf("redistest: start miniredis: %v", err)
	}
	t.Cleanup(m.Close)
	return &MiniServer{Miniredis: m, t: t, stop: embedded.Tick(m)}
}

// SetTime stops the clock at a time. Keys expire as it is set forward.
func (m *MiniServer) SetTime(at time.Time) {
	m.set.Do(func() {
		m.Miniredis.SetTime(m.stop())
		m.ClockTTL(true)
	})
	m.Miniredis.SetTime(at)
}

// Options are what a client of the server needs. They are the caller's to change.
func (m *MiniServer) Options() *redis.Options { return &redis.Options{Addr: m.Addr()} }

// Client makes a client, which is closed when the test is over.
func (m *MiniServer) Client() *redis.Client { return client(m.t, m.Options()) }
