package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// execRequest is a command to run once for each of some items.
type execRequest struct {
	Command []string      `msgpack:"command"` // "{}" stands for the item
	Items   []string      `msgpack:"items"`
	Timeout time.Duration `msgpack:"timeout,omitempty"` // of one run; 0 for none
	Retries int           `msgpack:"retries,omitempty"` // how often a failed run is tried again
}

// execRun is what came of one item.
type execRun struct {
	Stdout []byte `msgpack:"stdout,omitempty"`
	Stderr []byte `msgpack:"stderr,omitempty"`
	Failed string `msgpack:"failed,omitempty"` // why, if it did
}

// execTask runs a command. A command that fails is a value, not an error: a
// hundred thousand of them must not fill the store with dead tasks.
var execTask = queue.NewTask[execRequest, []execRun]("cenote.exec")

// maxOutput is how much a task's commands may print, in bytes: what they print
// travels in one message.
const maxOutput = 512 << 10

// runExec is the handler of execTask.
func runExec(ctx context.Context, req execRequest) ([]execRun, error) {
	if len(req.Command) == 0 {
		return nil, queue.NoRetry(errors.New("the command is empty"))
	}
	if len(req.Items) == 1 {
		run, err := runItem(ctx, req, req.Items[0], maxOutput)
		if err == nil && run.Failed != "" && queue.FromContext(ctx).Attempt <= req.Retries {
			return nil, errors.New(run.Failed) // the queue spaces the attempts
		}
		return []execRun{run}, err
	}
	// The items that went well must not run again for the one that did not, so
	// within a chunk it is tried again on the spot.
	runs := make([]execRun, len(req.Items))
	room := maxOutput
	for i, item := range req.Items {
		for attempt := 0; ; attempt++ {
			var err error
			if runs[i], err = runItem(ctx, req, item, room); err != nil {
				return nil, err
			}
			if runs[i].Failed == "" || attempt >= req.Retries {
				break
			}
		}
		room -= len(runs[i].Stdout) + len(runs[i].Stderr)
	}
	return runs, nil
}

// runItem runs the command for one item. The error is why the task cannot go on;
// a command that fails is told in the run.
func runItem(ctx context.Context, req execRequest, item string, room int) (execRun, error) {
	args := substitute(req.Command, item)
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	if req.Timeout > 0 {
		runCtx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	out := &capture{room: room, full: cancel}
	cmd := exec.CommandContext(runCtx, args[0], args[1:]...) //nolint:gosec // this is what --allow-exec allows
	cmd.Env = withoutSecrets(os.Environ())
	cmd.Stdout, cmd.Stderr = stream{out, &out.stdout}, stream{out, &out.stderr}
	cmd.WaitDelay = time.Second
	// The parent-death signal is of the thread that starts the command.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
		_ = killGroup(cmd) // what the command has left behind
	}
	if ctx.Err() != nil {
		return execRun{}, context.Cause(ctx)
	}
	run := execRun{Stdout: out.stdout.Bytes(), Stderr: out.stderr.Bytes()}
	var exit *exec.ExitError
	switch {
	case out.over:
		run.Failed = fmt.Sprintf("printed more than %d bytes; let it write to a file", maxOutput)
		if len(req.Items) > 1 {
			run.Failed += ", or use a smaller --chunk"
		}
	case runCtx.Err() != nil:
		run.Failed = fmt.Sprintf("took longer than %v", req.Timeout)
	case errors.As(err, &exit):
		run.Failed = strings.Replace(exit.Error(), "exit status", "exit code", 1)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // it ended well and left something behind that holds its output
		run.Failed = err.Error()
	}
	return run, nil
}

// withoutSecrets is an environment without the Redis address, which has a password, and
// without keys: they are the worker's, not those of whoever's commands it runs.
func withoutSecrets(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "CENOTE_REDIS_URL" || name == "REDIS_URL" || name == "CENOTE_TLS_KEY" || name == sealKeysVariable
	})
}

// substitute puts the item in place of each {}, or at the end if there is none.
func substitute(command []string, item string) []string {
	args := make([]string, 0, len(command)+1)
	found := false
	for _, a := range command {
		found = found || strings.Contains(a, "{}")
		args = append(args, strings.ReplaceAll(a, "{}", item))
	}
	if !found {
		args = append(args, item)
	}
	return args
}

// capture keeps what a command prints, up to a bound for both streams together.
type capture struct {
	mu             sync.Mutex // the streams are copied by a goroutine each
	stdout, stderr bytes.Buffer
	room           int
	over           bool
	full           func() // called when the bound is passed
}

type stream struct {
	c   *capture
	buf *bytes.Buffer
}

func (s stream) Write(b []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(b) > s.c.room {
		s.c.over = true
		s.c.full()
		return 0, errOutput
	}
	s.c.room -= len(b)
	return s.buf.Write(b)
}

var errOutput = errors.New("too much output")
