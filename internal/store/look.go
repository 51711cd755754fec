package store

import (
	"context"
	"strconv"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Task is everything the store knows of one task.
type Task struct {
	State    queue.State
	Message  *queue.Message // nil if the task has finished, or its message does not parse
	Note     Note
	Outcome  *queue.Outcome // the final one, or that of the last failed attempt
	Consumer string         // who runs it
	Due      time.Time      // when it may start; zero if it is not scheduled
}

var stateOf = map[string]queue.State{
	"ready": queue.StateReady, "scheduled": queue.StateScheduled, "running": queue.StateRunning,
	"retry": queue.StateRetry, "dead": queue.StateDead,
}

// Look returns what is known about a task; its State is [queue.StateUnknown] if
// that is nothing.
func (s *Store) Look(ctx context.Context, l Line, id queue.TaskID) (Task, error) {
	look := func() ([]string, error) {
		return s.run(ctx, lookScript, append(lookScript.args(l.base, l.root), id[:]))
	}
	r, err := look()
	if err == nil && len(r) == 6 && r[0] == "maybe" {
		var found string
		switch found, err = s.find(ctx, l.root, id); {
		case found != "":
			r[0], r[1] = "ready", found
		case err == nil:
			r, err = look() // a worker may have claimed it before it was found
		}
	}
	if err != nil {
		return Task{}, err
	}
	t, err := parseLook(l.Queue, id, r)
	if err != nil || t.State != queue.StateReady || t.Message == nil || t.Message.RunAt.IsZero() {
		return t, err
	}
	now, err := s.rdb.Time(ctx).Result() // a script that only reads is not told everywhere
	if err == nil && t.Message.RunAt.After(now) {
		t.State, t.Due = queue.StateScheduled, t.Message.RunAt
	}
	return t, s.explain(err)
}

func parseLook(name string, id queue.TaskID, r []string) (t Task, err error) {
	if len(r) != 6 {
		return Task{}, badReply("look", r)
	}
	t = Task{State: stateOf[r[0]], Consumer: r[4]}
	if r[1] != "" {
		if m, err := queue.ParseMessage([]byte(r[1])); err == nil {
			m.ID, m.Queue = id, name
			t.Message = m
		}
	}
	if t.Note, err = parseNote(r[2]); err != nil {
		return Task{}, err
	}
	if r[3] != "" {
		if o, err := queue.ParseOutcome([]byte(r[3])); err == nil {
			t.Outcome = o
		}
	}
	if r[0] == "kept" && t.Outcome != nil {
		t.State = t.Outcome.State
	}
	if ms, err := strconv.ParseFloat(r[5], 64); err == nil {
		t.Due = time.UnixMilli(int64(ms))
	}
	return t, nil
}

// Counts is how many tasks of a line are in which state.
type Counts struct {
	Ready     int
	Scheduled int // with those that wait for their next attempt
	Running   int
	Dead      int
	Consumers int
}

// Add adds up the counts of several lines. The same consumers serve all
// partitions of a queue, so they are not added.
func (c Counts) Add(d Counts) Counts {
	return Counts{c.Ready + d.Ready, c.Scheduled + d.Scheduled, c.Running + d.Running, c.Dead + d.Dead, max(c.Consumers, d.Consumers)}
}

// Count counts the line's tasks.
func (s *Store) Count(ctx context.Context, l Line) (Counts, error) {
	r, err := s.run(ctx, countScript, append(countScript.args(l.base, l.root), l.Group))
	if err != nil {
		return Counts{}, err
	}
	var n [5]int
	if len(r) != len(n) {
		return Counts{}, badReply("count", r)
	}
	for i := range n {
		if n[i], err = strconv.Atoi(r[i]); err != nil {
			return Counts{}, badReply("count", r)
		}
	}
	return Counts{n[0], n[1], n[2], n[3], n[4]}, nil
}
