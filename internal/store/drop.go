package store

import (
	"context"
)

// Drop deletes a list queue with all its tasks, and takes its name off the list.
// It is for a queue that nobody uses any more: a worker or producer that does
// goes on as if it were new. Outcomes that are kept and what consumers leave
// behind go away when their time is over.
func (s *Store) Drop(ctx context.Context, name string) error {
	layout, ok, err := s.Lookup(ctx, name)
	if err != nil || !ok {
		return err
	}
	for part := range layout.Partitions {
		root := Root(name, uint16(part)) //nolint:gosec // at most MaxPartitions
		keys := make([]string, 0, 20)
		for _, k := range []string{"conf", "tasks", "notes", "faults", "ready:0", "ready:1", "ready:2", "arrivals", "came", "settled", "due", "bundled", "dead", "alone", "bell", "alive", "clock", "turn", "watch"} {
			keys = append(keys, root+k)
		}
		if err := s.rdb.Unlink(ctx, keys...).Err(); err != nil {
			return s.explain(err)
		}
	}
	if err := s.rdb.SRem(ctx, queuesKey, name).Err(); err != nil {
		return s.explain(err)
	}
	return nil
}
