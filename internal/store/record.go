package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// keepPart is how long what a task has on record outlives the last addition.
const keepPart = time.Hour

// ErrRecord says that something else is on record than the caller thinks.
var ErrRecord = errors.New("store: another worker has put something on record")

// Record adds part to the had bytes that the task has on record. The error is
// [queue.ErrLeaseLost] if the task is not the consumer's (any more), and
// [ErrRecord] if not exactly had bytes were on record; nothing is added then.
// Recording the same once more changes nothing.
func (s *Store) Record(ctx context.Context, l Line, consumer string, id queue.TaskID, had int, part []byte) error {
	n, err := s.runInt(ctx, recordScript, append(recordScript.args(l.base), consumer, id[:], had, part, keepPart.Milliseconds()))
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("store: task %s: %w", id, queue.ErrLeaseLost)
	case n < 0:
		return ErrRecord
	}
	return nil
}

// Recall returns what the task has on record; nothing if that is nothing.
func (s *Store) Recall(ctx context.Context, l Line, id queue.TaskID) ([]byte, error) {
	data, err := s.rdb.Get(ctx, l.base+"part:"+string(id[:])).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, s.explain(err)
}
