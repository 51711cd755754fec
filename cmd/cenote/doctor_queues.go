package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// queues looks at every queue, and every group of a stream queue.
func (d *diagnosis) queues(ctx context.Context, s *store.Store) error {
	names, err := s.Queues(ctx)
	if err != nil {
		return err
	}
	slices.Sort(names)
	seen := 0
	for _, name := range names {
		layout, ok, err := s.Lookup(ctx, name)
		if err != nil {
			return err
		}
		if !ok { // deleted, and still on the list of names
			continue
		}
		seen++
		groups := []string{""}
		if layout.Kind == queue.KindStream {
			if groups, err = s.Groups(ctx, name); err != nil {
				return err
			}
			slices.Sort(groups)
		}
		for _, g := range groups {
			if err := d.queue(ctx, s, name, g, layout.Partitions); err != nil {
				return err
			}
		}
	}
	if seen == 0 {
		d.add(fine("queues", "none yet: nobody has submitted a task or started a worker here"))
	}
	return nil
}

func (d *diagnosis) queue(ctx context.Context, s *store.Store, name, group string, partitions int) error {
	var sum store.Counts
	var fleet store.Fleet
	unserved := 0 // tasks that wait in partitions without a worker
	for part := range partitions {
		l := store.NewLine(name, uint16(part), group) //nolint:gosec // at most MaxPartitions
		c, err := s.Count(ctx, l)
		if err != nil {
			return err
		}
		f, err := s.Fleet(ctx, l)
		if err != nil {
			return err
		}
		if f.Alive == 0 {
			unserved += c.Ready
		}
		sum = sum.Add(c)
		fleet.Alive = max(fleet.Alive, f.Alive)
		fleet.Lapsed += f.Lapsed
		fleet.Held += f.Held
		fleet.Since = max(fleet.Since, f.Since)
		fleet.Dead += f.Dead
		fleet.DeadLately += f.DeadLately
	}
	title := "queue " + name
	if group != "" {
		title += "@" + group
	}
	d.add(queueChecks(title, sum, fleet, unserved)...)
	return nil
}

// lateTakeover is how long after a lease has lapsed its tasks should have been taken
// over, if another worker is there.
const lateTakeover = time.Minute

// queueChecks judges one queue.
func queueChecks(title string, c store.Counts, f store.Fleet, unserved int) []check {
	var out []check
	lapsed := fmt.Sprintf("%s with a lease that lapsed up to %v ago, and %s in flight", plural(int64(f.Lapsed), "worker"), brief(f.Since), plural(int64(f.Held), "task"))
	switch {
	case f.Lapsed > 0 && f.Alive == 0:
		out = append(out, warning(title, "start a worker, which takes their tasks over", "%s; nobody is there to take over", lapsed))
	case f.Lapsed > 0 && f.Since > lateTakeover:
		out = append(out, wrong(title, "look at the logs of the workers that are there: their heartbeats should have taken over", "%s", lapsed))
	}
	if unserved > 0 {
		out = append(out, warning(title, "start a worker for it: cenote worker --queue, or your own program", "%s ready and no worker that listens", waiting(unserved)))
	}
	if f.DeadLately > 0 {
		out = append(out, warning(title, "look at the workers' log for what they ended with, and at one with \"cenote task get\"",
			"%s died within the last hour, %d in all", plural(f.DeadLately, "task"), f.Dead))
	}
	if len(out) == 0 {
		out = append(out, fine(title, "%d ready, %d scheduled, %d running, %d dead, %s", c.Ready, c.Scheduled, c.Running, c.Dead, plural(int64(f.Alive), "worker")))
	}
	return out
}

func waiting(n int) string {
	if n == 1 {
		return "1 task is"
	}
	return fmt.Sprintf("%d tasks are", n)
}
