package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// syncFor is how long the server waits for disks at a time. With appendfsync everysec
// they take up to a second.
const syncFor = 2 * time.Second

// noneFor is how long a master is not asked again for its disk that has none to
// speak of: it may be upgraded, or told to keep an append-only file.
const noneFor = time.Minute

// unable are the errors of masters that cannot say what is on disk: those that do not know
// WAITAOF, which came with Redis 7.2, those without an append-only file, and those whose
// users were given their rights when it did not know it yet, which must not stop them.
var unable = []string{"unknown command", "appendonly is disabled", "NOPERM"}

// disks remembers which masters cannot say what is on disk.
type disks struct {
	mu   sync.Mutex
	none map[string]time.Time // by address, when it said so
}

// asked reports whether the master at the address is to be asked.
func (d *disks) asked(addr string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	said, ok := d.none[addr]
	return !ok || time.Since(said) > noneFor
}

// cannot notes that it cannot say.
func (d *disks) cannot(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.none == nil {
		d.none = map[string]time.Time{}
	}
	d.none[addr] = time.Now()
}

// synced returns nil if the reply of WAITAOF says that the master and the replicas have
// it on disk, or if the master cannot say: then what they have in memory must do.
func (s *Store) synced(addr string, reply *redis.Cmd, patience time.Duration) error {
	n, err := reply.Int64Slice()
	switch {
	case err != nil && slices.ContainsFunc(unable, func(why string) bool { return strings.Contains(err.Error(), why) }):
		s.disks.cannot(addr)
		return nil
	case err != nil:
		return s.explain(err)
	case len(n) != 2:
		return fmt.Errorf("store: WAITAOF: a reply of %d elements makes no sense", len(n))
	case n[0] < 1:
		return fmt.Errorf("%w: it is not on the master's disk within %v; see aof_delayed_fsync and aof_last_write_status in its INFO persistence",
			queue.ErrUnreplicated, patience)
	case n[1] < int64(s.replicas):
		return fmt.Errorf("%w: %d of %d have it on disk within %v, all have it in memory; set appendonly yes on the replicas as on the master, or wait for fewer",
			queue.ErrUnreplicated, n[1], s.replicas, patience)
	}
	return nil
}
