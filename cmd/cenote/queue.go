package main

import (
	"context"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func (p *program) queueCommand() *cobra.Command {
	var asJSON bool
	ls := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List queues and how many tasks are in which state",
		Long: `ls lists the queues, and of a stream queue each consumer group. Tasks that wait
for their time or their next attempt are scheduled.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.queueLs(c.Context(), asJSON) },
	}
	ls.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return group("queue", "Look into queues", ls)
}

// queueRow is a queue, or a consumer group's share of a stream queue.
type queueRow struct {
	Queue      string `json:"queue"`
	Group      string `json:"group,omitempty"`
	Kind       string `json:"kind"`
	Partitions int    `json:"partitions"`
	Ready      int    `json:"ready"`
	Scheduled  int    `json:"scheduled"`
	Running    int    `json:"running"`
	Dead       int    `json:"dead"`
	Consumers  int    `json:"consumers"`
}

func (p *program) queueLs(ctx context.Context, asJSON bool) error {
	l, err := p.connect(ctx)
	if err != nil {
		return needsAddress(err)
	}
	defer func() { _ = l.close() }()
	all, err := queueRows(ctx, l.store)
	if err != nil {
		return err
	}
	if asJSON {
		for _, r := range all {
			if err := printJSON(os.Stdout, r); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, len(all))
	for i, r := range all {
		name := r.Queue
		if r.Group != "" {
			name += "@" + r.Group
		}
		rows[i] = []string{name, r.Kind}
		for _, n := range []int{r.Partitions, r.Ready, r.Scheduled, r.Running, r.Dead, r.Consumers} {
			rows[i] = append(rows[i], strconv.Itoa(n))
		}
	}
	return table(os.Stdout, []string{"QUEUE", "KIND", "PARTITIONS", "READY", "SCHEDULED", "RUNNING", "DEAD", "CONSUMERS"}, rows)
}

func queueRows(ctx context.Context, s *store.Store) ([]queueRow, error) {
	names, err := s.Queues(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var rows []queueRow
	for _, name := range names {
		layout, ok, err := s.Lookup(ctx, name)
		if err != nil {
			return nil, err
		}
		if !ok { // deleted, and still on the list of names
			continue
		}
		groups := []string{""}
		if layout.Kind == queue.KindStream {
			if groups, err = s.Groups(ctx, name); err != nil {
				return nil, err
			}
			slices.Sort(groups)
		}
		for _, g := range groups {
			var sum store.Counts
			for part := range layout.Partitions {
				c, err := s.Count(ctx, store.NewLine(name, uint16(part), g)) //nolint:gosec // at most MaxPartitions
				if err != nil {
					return nil, err
				}
				sum = sum.Add(c)
			}
			rows = append(rows, queueRow{
				Queue: name, Group: g, Kind: string(layout.Kind), Partitions: layout.Partitions,
				Ready: sum.Ready, Scheduled: sum.Scheduled, Running: sum.Running, Dead: sum.Dead, Consumers: sum.Consumers,
			})
		}
		if len(groups) == 0 { // a stream that no service has joined yet
			rows = append(rows, queueRow{Queue: name, Kind: string(layout.Kind), Partitions: layout.Partitions})
		}
	}
	return rows, nil
}
