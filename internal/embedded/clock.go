package embedded

import (
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Tick makes what has a time to live go as time passes, as on a server, until stop is
// called, which says up to when it went. It takes the one hook that miniredis, which must
// have been started, has for commands.
//
// ClockTTL would do so as well, but it sorts and visits all keys for each command, those
// of scripts included: a turn over some thousand kept results took it seconds. Here time
// stands still while a script runs, as it does on a server, and looking takes a sixth of
// the time at most. For that a key goes early, by no more than five times what a look takes:
// microseconds with a few keys, some milliseconds with thousands.
func Tick(m *miniredis.Miniredis) (stop func() time.Time) {
	var mu sync.Mutex
	last := time.Now()
	next := last
	look := func() {
		now := time.Now()
		m.FastForward(now.Sub(last))
		last, next = now, now.Add(6*time.Since(now))
	}
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		if !mu.TryLock() {
			return false // another command sees to it, and may be waiting for this one
		}
		defer mu.Unlock()
		if time.Now().Before(next) || !m.TryLock() { // locked: this may be a script's own command
			return false
		}
		m.Unlock()
		look()
		return false
	})
	return func() time.Time {
		m.Server().SetPreHook(nil)
		mu.Lock()
		defer mu.Unlock()
		look()
		return last
	}
}
