package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

func (p *program) taskCommand() *cobra.Command {
	var name, groupName string
	var asJSON bool
	var seals sealFlags
	get := &cobra.Command{
		Use:   "get ID",
		Short: "Show one task",
		Long: `get shows what is known about a task: its state, its attempts, its error, its
value. A task that has succeeded is there as long as its outcome is kept ("cenote
enqueue --keep"), a dead one as long as the workers keep dead tasks. Exit code 3
says that it is not there.

What is sealed is opened with --seal-keys. Without, and with other keys, it is shown as
it is stored: how it is sealed, with which key, and the bytes in base64.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.taskGet(c.Context(), args[0], name, groupName, asJSON, seals)
		},
	}
	get.Flags().StringVarP(&name, "queue", "q", queue.DefaultQueue, "the task's queue")
	get.Flags().StringVar(&groupName, "group", "", "the consumer group, if the queue is a stream")
	get.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	seals.register(get.Flags())
	_ = get.Flags().MarkHidden("sign-only") // nothing is sealed here
	return group("task", "Look at tasks", get)
}

// needsAddress makes a missing address a matter of usage, for verbs that have
// nothing to do on a store of their own.
func needsAddress(err error) error {
	if errors.Is(err, errNoAddress) {
		return usagef("%w; an embedded store begins empty, so there is nothing to see in one", err)
	}
	return err
}

// taskView is what is shown of a task.
type taskView struct {
	ID       string          `json:"id"`
	Queue    string          `json:"queue"`
	Group    string          `json:"group,omitempty"`
	State    string          `json:"state"`
	Type     string          `json:"type,omitempty"`
	Attempts int             `json:"attempts"` // that have ended
	Retries  int             `json:"retries,omitempty"`
	Crashes  int             `json:"crashes,omitempty"`
	Due      *time.Time      `json:"due,omitempty"`
	Consumer string          `json:"consumer,omitempty"`
	Argument json.RawMessage `json:"argument,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Error    string          `json:"error,omitempty"`
	Kind     string          `json:"error_kind,omitempty"`
}

func (p *program) taskGet(ctx context.Context, text, name, groupName string, asJSON bool, seals sealFlags) error {
	id, err := queue.ParseTaskID(text)
	if err != nil {
		return err
	}
	if err := queue.CheckName("queue", name); err != nil {
		return err
	}
	sealed, err := seals.seal()
	if err != nil {
		return err
	}
	l, err := p.connect(ctx)
	if err != nil {
		return needsAddress(err)
	}
	defer func() { _ = l.close() }()
	t, err := l.store.Look(ctx, store.NewLine(name, id.Partition(), groupName), id)
	if err != nil {
		return err
	}
	if t.State == queue.StateUnknown {
		return fmt.Errorf("%w: task %s is not in queue %q; it has another queue, or has finished and its outcome was not kept", errNotFound, id, name)
	}
	if err := unseal(sealed, name, id, &t); err != nil {
		fmt.Fprintln(os.Stderr, "cenote: what is sealed stays so:", err)
	}
	v := viewOf(id, name, groupName, t)
	if asJSON {
		return printJSON(os.Stdout, v)
	}
	return printTask(v)
}

// unseal opens what there is of the task, if with has keys. With an error it is as it was.
func unseal(with *seal.Seal, name string, id queue.TaskID, t *store.Task) error {
	if with == nil {
		return nil
	}
	if m := t.Message; m != nil {
		m.ID, m.Queue = id, name
		if err := with.OpenMessage(m); err != nil {
			return err
		}
	}
	if t.Outcome != nil {
		return with.OpenOutcome(name, t.Outcome)
	}
	return nil
}

func viewOf(id queue.TaskID, name, groupName string, t store.Task) taskView {
	v := taskView{
		ID: id.String(), Queue: name, Group: groupName, State: t.State.String(),
		Attempts: t.Note.Attempts, Crashes: t.Note.Crashes, Consumer: t.Consumer,
	}
	if m := t.Message; m != nil {
		v.Type, v.Retries, v.Argument = m.Type, m.Retries, contents(m.Codec, m.Payload, m.Sealed)
	}
	if !t.Due.IsZero() {
		due := t.Due.UTC()
		v.Due = &due
	}
	if o := t.Outcome; o != nil {
		v.Attempts = max(v.Attempts, o.Attempt)
		if o.Err != nil {
			v.Error, v.Kind = o.Err.Message, o.Err.Kind
		} else {
			v.Value = contents(o.Codec, o.Value, o.Sealed)
		}
	}
	return v
}

// contents are what can be shown of an argument or a value: of a sealed one how it is
// sealed and what is there instead.
func contents(codec string, data []byte, s *queue.Sealed) json.RawMessage {
	if s == nil {
		return toJSON(codec, data)
	}
	how, key := seal.Describe(s.Seal)
	out, _ := json.Marshal(struct {
		Sealed string `json:"sealed"`
		Key    string `json:"key,omitempty"`
		Bytes  []byte `json:"bytes"`
	}{how, key, data}) // of strings and bytes: cannot fail
	return out
}

func printTask(v taskView) error {
	for _, line := range []struct {
		name, value string
	}{
		{"id", v.ID},
		{"queue", v.Queue},
		{"group", v.Group},
		{"type", v.Type},
		{"state", v.State},
		{"attempts", fmt.Sprintf("%d ended, %d retries allowed", v.Attempts, v.Retries)},
		{"crashes", nonZero(v.Crashes)},
		{"due", dueText(v.Due)},
		{"consumer", v.Consumer},
		{"argument", string(v.Argument)},
		{"value", string(v.Value)},
		{"error", v.Error},
		{"kind", v.Kind},
	} {
		if line.value == "" {
			continue
		}
		if line.name == "attempts" && v.Type == "" { // the message is gone, and with it what it allowed
			line.value = fmt.Sprint(v.Attempts)
		}
		if _, err := fmt.Printf("%-9s %s\n", line.name, line.value); err != nil {
			return err
		}
	}
	return nil
}

func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func dueText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
