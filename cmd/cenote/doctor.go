package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/internal/store"
)

func (p *program) doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check the Redis and the fleet on it",
		Long: `doctor looks at the Redis that it is pointed to and at the queues and workers on
it, sends tasks of its own through, and says of each thing whether it is ok, a
warning or wrong, and what to do. It leaves nothing behind. Exit code 1 says that
something is wrong; warnings do not fail.

What a server does not tell, as managed ones deny CONFIG, is not judged. Without an
address it examines the embedded store.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.doctor(c.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// The levels of a check.
const (
	levelOK      = "ok"
	levelWarning = "warning"
	levelWrong   = "wrong"
)

// check is one thing that was looked at.
type check struct {
	Level string `json:"level"`
	Name  string `json:"check"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"`
}

func fine(name, format string, args ...any) check {
	return check{Level: levelOK, Name: name, Text: fmt.Sprintf(format, args...)}
}

func warning(name, fix, format string, args ...any) check {
	return check{levelWarning, name, fmt.Sprintf(format, args...), fix}
}

func wrong(name, fix, format string, args ...any) check {
	return check{levelWrong, name, fmt.Sprintf(format, args...), fix}
}

// diagnosis is all of them.
type diagnosis struct {
	Redis    string  `json:"redis"`
	Wrong    int     `json:"wrong"`
	Warnings int     `json:"warnings"`
	Checks   []check `json:"checks"`
}

func (d *diagnosis) add(cs ...check) {
	for _, c := range cs {
		switch c.Level {
		case levelWrong:
			d.Wrong++
		case levelWarning:
			d.Warnings++
		}
		d.Checks = append(d.Checks, c)
	}
}

func (p *program) doctor(ctx context.Context, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	l, err := p.connectOr(ctx, embedded.StartPrivate)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	d := diagnosis{Redis: l.said}
	if err := d.examine(ctx, l); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if asJSON {
		err = printJSON(os.Stdout, d)
	} else {
		err = d.print(os.Stdout)
	}
	if err == nil && d.Wrong > 0 {
		err = told{fmt.Errorf("%d checks say that something is wrong", d.Wrong)}
	}
	return err
}

// examine looks at everything. Its error says that the examination could not go on.
func (d *diagnosis) examine(ctx context.Context, l *link) error {
	const patience = 2 * time.Second
	nodes, err := l.store.Nodes(ctx, patience)
	if err != nil {
		return err
	}
	if l.inner != nil {
		d.add(fine("store", "embedded, in the memory of this process: it ends with it. Pass --redis for a real one"))
	}
	for i := range nodes {
		at := ""
		if len(nodes) > 1 {
			at = " " + nodes[i].Addr
		}
		for _, c := range serverChecks(&nodes[i], l.store.Cluster()) {
			c.Name += at
			d.add(c)
		}
	}
	trial, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := l.store.Try(trial); err != nil {
		d.add(wrong("trial tasks", "the text says what failed; docs/operations.md lists what the Redis user must be allowed", "%s", oneLine(err)))
	} else {
		d.add(fine("trial tasks", "submitted, claimed, finished and announced: scripts, lists, streams and channels are allowed"))
	}
	for _, look := range []struct {
		name string
		at   func(context.Context, *store.Store) error
	}{{"queues", d.queues}, {"keys", d.keys}} {
		err := look.at(ctx, l.store)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			d.add(wrong(look.name, "mend what is wrong above, then look again", "they cannot be looked at: %s", oneLine(err)))
		}
	}
	return nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// keys looks for keys that nobody owns, among as many as take little time.
func (d *diagnosis) keys(ctx context.Context, s *store.Store) error {
	const most = 20_000
	byDamage := map[store.Damage]int64{}
	a, err := s.Audit(ctx, store.AuditOptions{Keys: most, Found: func(f store.Finding) { byDamage[f.Damage]++ }})
	if err != nil {
		return err
	}
	looked := fmt.Sprintf("of %s", plural(a.Keys, "key"))
	if a.Keys >= most {
		looked = fmt.Sprintf("of the first %s", plural(a.Keys, "key"))
	}
	for _, k := range []struct {
		damage store.Damage
		text   string
	}{
		{store.DamageExpiry, "should expire and never will"},
		{store.DamageUnknown, "have no owner and never expire"},
		{store.DamageType, "hold something else than they should"},
		{store.DamageConsumer, "are of workers that are not there, and nobody will take their tasks over"},
	} {
		if n := byDamage[k.damage]; n > 0 {
			level := warning
			if k.damage == store.DamageConsumer || k.damage == store.DamageType {
				level = wrong
			}
			d.add(level("keys", "\"cenote fsck\" names them, \"cenote fsck --repair\" mends what can be", "%d %s %s", n, looked, k.text))
		}
	}
	switch {
	case a.Keys == 0:
		d.add(fine("keys", "none yet"))
	case a.Findings == 0:
		d.add(fine("keys", "all %s have an owner or expire; \"cenote fsck\" looks at the tasks as well", looked))
	}
	return nil
}

// print writes a line a check, and on a terminal what to do below it.
func (d *diagnosis) print(w io.Writer) error {
	if !isTerminal(w) {
		rows := make([][]string, len(d.Checks))
		for i, c := range d.Checks {
			rows[i] = []string{c.Level, c.Name, c.Text, c.Fix}
		}
		return table(w, nil, rows)
	}
	width := 0
	for _, c := range d.Checks {
		width = max(width, len(c.Name))
	}
	marks := map[string]string{levelOK: "✓", levelWarning: "!", levelWrong: "✗"}
	var b strings.Builder
	fmt.Fprintf(&b, "cenote doctor: %s\n\n", d.Redis)
	indent := strings.Repeat(" ", 2+2+len(levelWarning)+2+width+2)
	columns := terminalWidth(w) - len(indent)
	for _, c := range d.Checks {
		fmt.Fprintf(&b, "  %s %-*s  %-*s  %s\n", marks[c.Level], len(levelWarning), c.Level, width, c.Name, fold(c.Text, columns, indent))
		if c.Fix != "" {
			fmt.Fprintf(&b, "%s→ %s\n", indent, fold(c.Fix, columns-2, indent+"  "))
		}
	}
	fmt.Fprintf(&b, "\n  %d ok, %s, %d wrong\n", len(d.Checks)-d.Warnings-d.Wrong, plural(int64(d.Warnings), "warning"), d.Wrong)
	_, err := io.WriteString(w, b.String())
	return err
}
