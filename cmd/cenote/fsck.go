package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

type fsckFlags struct {
	repair, json bool
	queues       []string
}

func (p *program) fsckCommand() *cobra.Command {
	var f fsckFlags
	c := &cobra.Command{
		Use:   "fsck [QUEUE...]",
		Short: "Prove that every task is in exactly one state",
		Long: `fsck looks through the queues, all of them if none is named, while producers and
workers go on: every task must be in exactly one state, every message be referred
to and every reference have its message, every key be owned or expire, and counts
agree. What looks wrong is looked at again, alone and in one step, before it is
told:

  orphan    a message that nothing refers to: nobody would ever run the task
  twice     a task in two states, or twice in one
  dangling  a reference to a task whose message is gone
  leftover  something about a task that is not there
  consumer  tasks in flight at a consumer that is not there
  expiry    a key that should expire and does not
  bundled   a wrong count of tasks that are due together
  group     a consumer group that only half exists
  type      a key that holds something else than it should
  unknown   a key that nothing owns

With --repair each is mended by one script that looks again first, so that it is
safe while everything goes on, and to repeat. Of type and unknown, and of tasks
that run twice at this moment, fsck only tells.

A step takes Redis a millisecond or two, however long the queues are; going through
1,000,000 waiting tasks takes some ten seconds and 120 MB here.`,
		Example: `  cenote fsck --redis redis://localhost:6379
  cenote fsck mail --repair`,
		RunE: func(c *cobra.Command, args []string) error {
			f.queues = args
			return p.fsck(c.Context(), f)
		},
	}
	c.Flags().BoolVar(&f.repair, "repair", false, "mend what can be mended safely")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object a finding, and one of the sums at the end")
	return c
}

// findingView is what is shown of a finding.
type findingView struct {
	Damage    string `json:"damage"`
	Queue     string `json:"queue,omitempty"`
	Partition uint16 `json:"partition,omitempty"`
	Group     string `json:"group,omitempty"`
	Task      string `json:"task,omitempty"`
	Key       string `json:"key"`
	Text      string `json:"text"`
	Mended    string `json:"mended,omitempty"`
}

// fsckView is what it all came to.
type fsckView struct {
	Queues   int64 `json:"queues"`
	Keys     int64 `json:"keys"`
	Tasks    int64 `json:"tasks"`
	Findings int64 `json:"findings"`
	Mended   int64 `json:"mended"`
	Left     int64 `json:"left"`
	Stale    int64 `json:"stale"`
	Unsure   int64 `json:"unsure"`
}

var errDamage = errors.New("something is not as it should be")

func (p *program) fsck(ctx context.Context, f fsckFlags) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	l, err := p.connect(ctx)
	if err != nil {
		return needsAddress(err)
	}
	defer func() { _ = l.close() }()
	bar := newBar(-1, "")
	var broken error // stdout
	stage := ""
	done, err := l.store.Audit(ctx, store.AuditOptions{
		Queues: f.queues, Repair: f.repair,
		Found: func(found store.Finding) {
			_ = bar.Clear()
			if err := printFinding(viewOfFinding(found), f.json); err != nil && broken == nil {
				broken = err
				stop()
			}
		},
		Tell: func(what string, n int64) {
			if what != stage {
				stage = what
				bar.Reset()
				bar.Describe(what)
			}
			_ = bar.Set64(n)
		},
	})
	_ = bar.Finish()
	switch cause := context.Cause(ctx); {
	case broken != nil:
		return broken
	case errors.Is(cause, errInterrupted):
		return cause
	case errors.Is(err, store.ErrNoQueue):
		return fmt.Errorf("%w: %w", errNotFound, err)
	case err != nil:
		return err
	}
	if err := printAudited(done, f.json); err != nil {
		return err
	}
	if done.Left() > 0 {
		return told{errDamage}
	}
	return nil
}

func viewOfFinding(f store.Finding) findingView {
	v := findingView{
		Damage: string(f.Damage), Queue: f.Line.Queue, Partition: f.Line.Partition, Group: f.Line.Group,
		Key: readable(f.Key), Text: f.Text, Mended: f.Mended,
	}
	if f.ID != "" {
		v.Task = idText(f.ID)
	}
	return v
}

// idText is a task's id as people write it; what is no id is quoted.
func idText(s string) string {
	if len(s) == len(queue.TaskID{}) {
		return queue.TaskID([]byte(s)).String()
	}
	return fmt.Sprintf("%q", s)
}

// readable is a key with the id at its end, if it has one, as people write it.
func readable(key string) string {
	if head, tail := key[:max(len(key)-16, 0)], key[max(len(key)-16, 0):]; strings.HasSuffix(head, ":") && quoted(tail) != tail {
		return head + idText(tail)
	}
	return quoted(key)
}

// quoted quotes what a terminal should not get.
func quoted(s string) string {
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}

// printFinding writes a finding for people on a terminal, and a line with tabs into
// a pipe, where a program reads it.
func printFinding(v findingView, asJSON bool) error {
	if asJSON {
		return printJSON(os.Stdout, v)
	}
	where := v.Queue
	if v.Partition > 0 {
		where += fmt.Sprintf("/%d", v.Partition)
	}
	if v.Group != "" {
		where += "@" + v.Group
	}
	if !isTerminal(os.Stdout) {
		return table(os.Stdout, nil, [][]string{{v.Damage, where, v.Task, v.Key, v.Text, v.Mended}})
	}
	mark, subject := "✗", v.Key
	if v.Task != "" {
		subject = "task " + v.Task
	}
	if where != "" {
		subject = "queue " + where + ", " + subject
	}
	const indent = "             "
	columns := terminalWidth(os.Stdout) - len(indent)
	text := fold(v.Text, columns, indent)
	if v.Mended != "" {
		mark = "✓"
		text += "\n" + indent + fold("repaired: "+v.Mended, columns, indent)
	}
	_, err := fmt.Printf("%s %-9s  %s\n%s%s\n", mark, v.Damage, subject, indent, text)
	return err
}

// printAudited says what it all came to: on a terminal below the findings, and else on
// stderr, so that a pipe has the findings alone.
func printAudited(a store.Audited, asJSON bool) error {
	if asJSON {
		return printJSON(os.Stdout, fsckView{
			Queues: a.Queues, Keys: a.Keys, Tasks: a.Tasks, Findings: a.Findings, Mended: a.Mended, Left: a.Left(), Stale: a.Stale, Unsure: a.Unsure,
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s: ", plural(a.Queues, "queue"), plural(a.Keys, "key"), plural(a.Tasks, "task"))
	switch {
	case a.Findings == 0:
		b.WriteString("every task is in exactly one state\n")
	case a.Left() == 0:
		fmt.Fprintf(&b, "%s, all repaired\n", plural(a.Findings, "finding"))
	case a.Mended > 0:
		fmt.Fprintf(&b, "%s, %d repaired, %d left\n", plural(a.Findings, "finding"), a.Mended, a.Left())
	default:
		fmt.Fprintf(&b, "%s\n", plural(a.Findings, "finding"))
	}
	if a.Stale > 0 {
		fmt.Fprintf(&b, "%s of cancelled tasks still in lists, which is no damage: claims pass over them\n", plural(a.Stale, "id"))
	}
	if a.Unsure > 0 {
		fmt.Fprintf(&b, "%s could not be checked, as much changed meanwhile; try again\n", plural(a.Unsure, "thing"))
	}
	w := os.Stdout
	if !isTerminal(w) {
		w = os.Stderr
	}
	_, err := w.WriteString(b.String())
	return err
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
