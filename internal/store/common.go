package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// keepCommon is how long a common argument outlives the last time it was shared.
const keepCommon = 24 * time.Hour

// commonKey is where a queue's common argument is. It is not in the partition of a
// task: all of a queue's tasks share it.
func commonKey(name, ref string) string { return Root(name, 0) + "common:" + ref }

// CommonRef is what data is called when it is shared.
func CommonRef(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Share stores data for the tasks of a queue and returns what to call it. What is
// there already is not sent again, but kept for another day.
func (s *Store) Share(ctx context.Context, name string, data []byte) (ref string, err error) {
	ref = CommonRef(data)
	key := commonKey(name, ref)
	there, err := s.rdb.Expire(ctx, key, keepCommon).Result()
	if err == nil && !there {
		err = s.rdb.Set(ctx, key, data, keepCommon).Err()
	}
	return ref, s.explain(err)
}

// Common returns what Share stored. The error is [queue.ErrResultExpired] if it is
// not there any more.
func (s *Store) Common(ctx context.Context, name, ref string) ([]byte, error) {
	data, err := s.rdb.Get(ctx, commonKey(name, ref)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: the common argument %s of queue %q is gone, a day after it was last shared; submit the task again with queue.Sharing",
			queue.ErrResultExpired, ref, name)
	}
	return data, s.explain(err)
}
