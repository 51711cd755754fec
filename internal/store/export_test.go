package store

import "context"

// OpenArrivals is what a producer knows who takes the arrivals to be there.
func OpenArrivals(root string) *Arrivals { return &Arrivals{open: true, key: root + "arrivals"} }

// AuditIn is Audit with at most so many ids in memory and entries in a step.
func (s *Store) AuditIn(ctx context.Context, o AuditOptions, most, step int) (Audited, error) {
	o.most, o.step = most, step
	return s.Audit(ctx, o)
}
