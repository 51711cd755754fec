//go:build unix

package child_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

func errand(what ...any) *child.Errand {
	m := message(what...)
	return &child.Errand{ID: m.ID, Type: m.Type, Queue: m.Queue, Message: m, Attempt: 1}
}

// laneOf is a lane that has a child, whose process it returns as well.
func laneOf(t *testing.T, c *child.Crew) (l *child.Lane, pid string) {
	t.Helper()
	l = c.Lane()
	t.Cleanup(l.Release)
	v, err := l.Run(soon(t), errand("pid"))
	if err != nil {
		t.Fatal(err)
	}
	return l, string(v)
}

// numbered is the errands, numbered, the first one to be run.
func numbered(t *testing.T, l *child.Lane, all ...*child.Errand) {
	t.Helper()
	if l.Room(0) < len(all)-1 {
		t.Fatalf("there is room for %d", l.Room(0))
	}
	for _, e := range all {
		l.Number(e)
	}
}

func TestWhatWasSentAheadRunsInItsTurn(t *testing.T) {
	l, _ := laneOf(t, newCrew(t, config(1)))
	var all []*child.Errand
	for i := range child.Ahead {
		all = append(all, errand("echo", i))
	}
	numbered(t, l, all...)
	for i, e := range all {
		if !l.Follows(e) {
			t.Fatalf("%d does not follow", i)
		}
		if v, err := l.Run(soon(t), e); err != nil || string(v) != fmt.Sprint(i) {
			t.Errorf("got %q, %v; want %d", v, err, i)
		}
	}
}

func TestWhatIsTakenBackNeverBegins(t *testing.T) {
	l, _ := laneOf(t, newCrew(t, config(1)))
	held, noted := file(t), file(t)
	first, back, stays := errand("hold", held), errand("note", noted), errand("echo", "stays")
	numbered(t, l, first, back, stays)
	go func() {
		begun(t, held)
		if first.TakeBack() {
			t.Error("what runs was taken back")
		}
		for range 2 {
			if !back.TakeBack() {
				t.Error("what waits was not taken back")
			}
		}
		appendTo(held, "x")
	}()
	if v, err := l.Run(soon(t), first); err != nil || string(v) != "held" {
		t.Fatalf("got %q, %v", v, err)
	}
	if l.Follows(back) || !l.Follows(stays) {
		t.Error("what was taken back follows, or the other does not")
	}
	if v, err := l.Run(soon(t), stays); err != nil || string(v) != "stays" {
		t.Errorf("got %q, %v", v, err)
	}
	if _, err := os.Stat(noted); err == nil {
		t.Error("what was taken back has run")
	}
}

func TestWhatDiesTakesNothingAlongThatWasSentAhead(t *testing.T) {
	for _, how := range []string{"exit", "half"} {
		l, pid := laneOf(t, newCrew(t, config(1)))
		first, next := errand(how), errand("pid")
		numbered(t, l, first, next)
		_, err := l.Run(soon(t), first)
		if _, ok := errors.AsType[*queue.CrashError](err); !ok {
			t.Errorf("got %v", err)
		}
		if l.Follows(next) || !next.TakeBack() {
			t.Error("what the child had not begun is lost")
		}
		if v, err := l.Run(soon(t), errand("pid")); err != nil || string(v) == pid {
			t.Errorf("then got %q, %v", v, err)
		}
	}
}

// TestBlame stops the child so that it cannot begin what it is sent, and kills it then.
func TestBlame(t *testing.T) {
	c := newCrew(t, config(1))
	pid := pidOf(t, c)
	kill(t, pid, syscall.SIGSTOP)
	until(t, "the child has stopped", func() bool { return stateOf(pid) == 'T' })
	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := c.Handle(soon(t), message("pid"))
		done <- result{v, err}
	}()
	until(t, "the task was sent", c.Sent)
	kill(t, pid, syscall.SIGKILL)
	if r := <-done; r.err != nil || string(r.value) == fmt.Sprint(pid) {
		t.Errorf("a task that had not begun got %q, %v", r.value, r.err)
	}

	held := file(t)
	pid = pidOf(t, c)
	go func() {
		_, err := c.Handle(soon(t), message("hold", held))
		done <- result{nil, err}
	}()
	begun(t, held)
	kill(t, pid, syscall.SIGKILL)
	r := <-done
	if crash, ok := errors.AsType[*queue.CrashError](r.err); !ok || crash.Signal != "killed" || crash.PID != pid {
		t.Errorf("a task that had begun got %v, its child was %d", r.err, pid)
	}
}

func TestATaskThatIsKilledTakesNothingAlong(t *testing.T) {
	cfg := config(1)
	cfg.KillAfter = time.Millisecond
	l, pid := laneOf(t, newCrew(t, cfg))
	held, noted := file(t), file(t)
	first, next := errand("hold", held), errand("note", noted)
	numbered(t, l, first, next)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		begun(t, held)
		cancel(queue.ErrCancelled)
	}()
	if _, err := l.Run(ctx, first); !errors.Is(err, queue.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if l.Follows(next) || !next.TakeBack() {
		t.Error("what waited behind it is lost")
	}
	if v, err := l.Run(soon(t), errand("pid")); err != nil || string(v) == pid {
		t.Errorf("then got %q, %v", v, err)
	}
}

func TestACancellationReachesATaskThatWasSentAhead(t *testing.T) {
	l, _ := laneOf(t, newCrew(t, config(1)))
	first, next := errand("echo"), errand("wait", file(t))
	numbered(t, l, first, next)
	if _, err := l.Run(soon(t), first); err != nil {
		t.Fatal(err)
	}
	begun(t, string(next.Message.Payload[len("wait "):]))
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(queue.ErrCancelled) // before Run, and after it has begun
	if _, err := l.Run(ctx, next); !errors.Is(err, queue.ErrCancelled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsPrintedByTasksThatWereSentAheadIsTheirOwn(t *testing.T) {
	l, _ := laneOf(t, newCrew(t, config(1)))
	for range 20 {
		var all []*child.Errand
		for i := range child.Ahead {
			if i%3 == 2 {
				all = append(all, errand("echo", i))
			} else {
				all = append(all, errand("print", i))
			}
		}
		numbered(t, l, all...)
		for i, e := range all {
			h := &host{}
			if _, err := l.Run(hosted(soon(t), h), e); err != nil {
				t.Fatal(err)
			}
			want := []string{fmt.Sprint(i, " begins"), fmt.Sprint(i, " ends")}
			if i%3 == 2 {
				want = nil
			}
			h.mu.Lock()
			slices.Sort(h.lines)
			if !slices.Equal(h.lines, want) {
				t.Fatalf("task %d has said %q, want %q", i, h.lines, want)
			}
			h.mu.Unlock()
		}
	}
}

func TestALineThatIsPutAsideWhileItsTaskBeginsIsNotLost(t *testing.T) {
	for _, unread := range []bool{false, true} {
		h := &host{}
		child.Overtaken(t, h, "begins", unread)
		if !slices.Equal(h.lines, []string{"begins"}) {
			t.Errorf("unread %v: the task has said %q", unread, h.lines)
		}
	}
}
