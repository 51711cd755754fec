package queuetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// list says what was submitted, for the text of a failure about task.
func list[In, Out any](r *Recorder, task queue.Task[In, Out]) string {
	tasks := r.submissions()
	if len(tasks) == 0 {
		return "; nothing was submitted at all"
	}
	const most = 20
	var b strings.Builder
	b.WriteString("; this was submitted:")
	for i, t := range tasks {
		if i == most {
			fmt.Fprintf(&b, "\n\t... and %d more", len(tasks)-most)
			break
		}
		in := generic(t.msg)
		if ins, err := arguments(task, t.msg); t.msg.Type == task.Name() && len(ins) == 1 && err == nil {
			in = ins[0]
		}
		fmt.Fprintf(&b, "\n\t%d. %s", t.nth, line(t.msg, in))
	}
	return b.String()
}

// line is one submission in a line.
func line(m *queue.Message, in any) string {
	arg := fmt.Sprintf("%+v", in)
	if s, ok := in.(string); ok {
		arg = fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%s(%s)%s", m.Type, clip(arg), manners(m))
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// generic is m's argument without knowledge of its type.
func generic(m *queue.Message) any {
	codec := map[string]queue.Codec{queue.Msgpack.Name(): queue.Msgpack, queue.JSON.Name(): queue.JSON}[m.Codec]
	var v any
	if m.Items > 0 || codec == nil || codec.Unmarshal(m.Payload, &v) != nil {
		return fmt.Sprintf("%d bytes", len(m.Payload))
	}
	return v
}

// manners says how m was submitted.
func manners(m *queue.Message) string {
	var b strings.Builder
	say := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&b, ", "+format, args...)
		}
	}
	kind := "queue"
	if m.Stream {
		kind = "stream"
	}
	fmt.Fprintf(&b, " on %s %s", kind, m.Queue)
	say(m.Group != "", "reply from %s", m.Group)
	say(m.Items > 0, "%d items", m.Items)
	say(m.Priority != queue.Normal, "priority %s", m.Priority)
	say(m.Key != "", "id %q", m.Key)
	say(m.Delay > 0, "delay %v", m.Delay)
	say(!m.RunAt.IsZero(), "at %s", m.RunAt.Format("2006-01-02T15:04:05.000Z07:00"))
	say(m.Expire > 0, "expire %v", m.Expire)
	say(m.Retries > 0, "retries %d", m.Retries)
	say(m.Backoff != queue.Backoff{}, "backoff %v to %v", cmp.Or(m.Backoff.Base, queue.DefaultBackoffBase), cmp.Or(m.Backoff.Max, queue.DefaultBackoffMax))
	say(m.Timeout > 0, "timeout %v", m.Timeout)
	say(m.Keep > 0, "keep %v", m.Keep)
	say(m.Codec != "", "encoded as %s", m.Codec)
	for _, k := range slices.Sorted(maps.Keys(m.Headers)) {
		say(true, "header %s=%q", k, m.Headers[k])
	}
	say(m.Common != "", "sharing %.8s", m.Common)
	if next, err := queue.ParseNext(m.Then); len(m.Then) > 0 && err == nil {
		say(true, "then %s%s", next.Type, manners(next))
	}
	say(m.Linked, "linked")
	say(m.NoReply, "no reply")
	return b.String()
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
