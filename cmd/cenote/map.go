package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

type mapFlags struct {
	null      bool
	unordered bool
	quiet     bool
	jobs      int
	chunk     int
	retries   int
	window    int
	timeout   time.Duration
	queue     string
	seals     sealFlags
}

func (p *program) mapCommand() *cobra.Command {
	var f mapFlags
	c := &cobra.Command{
		Use:   "map [flags] -- COMMAND [ARG|{}]...",
		Short: "Run a command for each line of stdin: xargs on many machines",
		Long: `map runs a command once for each line of stdin and prints the outputs in the
order of the lines. Each {} in the command is replaced by the line; without one
the line is the last argument. No shell is involved unless you name one.

Without a Redis address the commands run here, --jobs at a time. With one they
run on the workers of --queue that were started with --allow-exec:

  cenote worker --redis URL --queue exec --allow-exec

A command that exits with another code than 0, or takes longer than --timeout,
has failed; after --retries more tries the item is reported on stderr and map goes
on. Its exit code is 4 then. A command's output is kept until its turn to be
printed comes, at most 512 KiB of it. What a command leaves running in its process
group is ended with it. If a worker is lost, its items run again on another one.`,
		Example: `  ls *.png | cenote map -- convert {} {}.jpg
  find . -name '*.go' -print0 | cenote map -0 --chunk 50 -- wc -l
  cat hosts | cenote map --redis redis://queue:6379 --retries 2 --timeout 10s -- ping -c1 {}`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New(`the command is missing: cenote map -- COMMAND [ARG|{}]`)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return p.mapItems(c.Context(), args, f) },
	}
	fs := c.Flags()
	fs.SetInterspersed(false) // the command's flags are its own
	fs.BoolVarP(&f.null, "null", "0", false, "items end with a NUL instead of a line end")
	fs.BoolVarP(&f.unordered, "unordered", "u", false, "print outputs as they come")
	fs.BoolVar(&f.quiet, "quiet", false, "say on stderr only what went wrong")
	fs.IntVarP(&f.jobs, "jobs", "j", runtime.GOMAXPROCS(0), "how many commands run at once here; with a Redis, its workers decide")
	fs.IntVar(&f.chunk, "chunk", 1, "items a task, to save round trips for short commands")
	fs.IntVar(&f.retries, "retries", 0, "how often a failed item is tried again")
	fs.IntVar(&f.window, "window", 0, "tasks submitted and not yet printed, which bounds the memory (default 4 a job, at least 64; 256 with a Redis)")
	fs.DurationVar(&f.timeout, "timeout", 0, "the longest a command may take (default no limit)")
	fs.StringVarP(&f.queue, "queue", "q", "exec", "the queue")
	f.seals.register(fs)
	return c
}

func (f *mapFlags) check() error {
	for _, n := range []struct {
		name         string
		value, least int
	}{{"jobs", f.jobs, 1}, {"chunk", f.chunk, 1}, {"retries", f.retries, 0}, {"window", f.window, 0}} {
		if n.value < n.least {
			return usagef("--%s is %d; give it at least %d", n.name, n.value, n.least)
		}
	}
	if f.timeout < 0 {
		return usagef("--timeout is %v; give it at least 0", f.timeout)
	}
	return nil
}

func (p *program) mapItems(ctx context.Context, command []string, f mapFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	sealed, err := f.seals.seal()
	if err != nil {
		return err
	}
	// A reader that has seen enough, as in "cenote map ... | head", must not end
	// this process before the commands it has started.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := interruptible(ctx)
	defer stop()
	l, err := p.connectOr(ctx, embedded.StartPrivate)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	say := func(format string, args ...any) {
		if !f.quiet {
			fmt.Fprintf(os.Stderr, "cenote map: "+format+"\n", args...)
		}
	}
	if l.inner != nil {
		say("no Redis address, running %d at a time on a store embedded in this process", f.jobs)
		end, err := execHere(l, f, sealed)
		if err != nil {
			return err
		}
		defer end()
		f.window = orDefault(f.window, max(4*f.jobs, 64))
	} else {
		say("running on the workers of queue %q at %s", f.queue, l.said)
		defer warnUnserved(ctx, l, f.queue, "cenote worker --redis URL --queue "+f.queue+" --allow-exec")()
		f.window = orDefault(f.window, 256)
	}
	c, err := producer.New(l.rdb, producer.Seal(sealed))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()

	bar := newBar(-1, "map")
	out := &printer{command: command, bar: bar, stdout: os.Stdout, stderr: os.Stderr}
	err = f.pipeline(ctx, c, command, newItems(os.Stdin, f.null), out.print)
	_ = bar.Finish()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		if l.inner == nil {
			say("interrupted after %d items; tasks that are submitted go on", out.done)
		}
		return told{errInterrupted}
	}
	if err != nil {
		return err
	}
	if out.failed > 0 {
		fmt.Fprintf(os.Stderr, "cenote map: %d of %d items failed\n", out.failed, out.done)
		return told{errTaskFailed}
	}
	return nil
}

func orDefault(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// execHere runs the commands in this process.
func execHere(l *link, f mapFlags, sealed *seal.Seal) (end func(), err error) {
	w, err := consumer.New(l.rdb, consumer.Config{Concurrency: f.jobs, Queues: []consumer.Queue{{Name: f.queue}}, Grace: -1, Seal: sealed}, execTask.Handler(runExec))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		<-done //nolint:errcheck // commands that still run are killed by now
	}, nil
}

// options are those of one task of n items.
func (f mapFlags) options(n int) []queue.Option {
	opts := []queue.Option{queue.On(f.queue)}
	if n == 1 { // as the handler has it: a single item is tried again by the queue
		opts = append(opts, queue.Retries(f.retries))
	}
	if f.timeout > 0 {
		// The handler ends a command that takes too long; this is for a handler that
		// hangs all the same.
		opts = append(opts, queue.Timeout(time.Duration(n*(f.retries+1))*f.timeout+10*time.Second))
	}
	return opts
}

// printer prints what came of the items.
type printer struct {
	command        []string
	bar            *progressbar.ProgressBar
	stdout, stderr io.Writer
	done, failed   int
}

// print prints the outcome of one task, or why it has none.
func (p *printer) print(b batch, runs []execRun, err error) error {
	if err == nil && len(runs) != len(b.items) {
		err = fmt.Errorf("the worker answered %d items with %d outcomes; is it another version?", len(b.items), len(runs))
	}
	for i, item := range b.items {
		run := execRun{}
		if err != nil {
			run.Failed = err.Error()
		} else {
			run = runs[i]
		}
		p.done++
		if len(run.Stdout)+len(run.Stderr) > 0 || run.Failed != "" {
			_ = p.bar.Clear()
		}
		if _, werr := p.stdout.Write(run.Stdout); werr != nil {
			return fmt.Errorf("write to stdout: %w", werr)
		}
		if run.Failed == "" {
			_, _ = p.stderr.Write(run.Stderr)
		} else {
			p.failed++
			p.complain(b.first+i, item, run)
		}
		_ = p.bar.Add(1)
	}
	return nil
}

// complain reports a failed item: all that the command said on stderr, then the
// item and the last line of that again, so that one line tells it all.
func (p *printer) complain(index int, item string, run execRun) {
	said := bytes.TrimRight(run.Stderr, "\n")
	if i := bytes.LastIndexByte(said, '\n'); i >= 0 {
		_, _ = p.stderr.Write(said[:i+1])
		said = said[i+1:]
	}
	text := run.Failed
	if len(said) > 0 {
		text += ": " + strings.ToValidUTF8(string(said), "?")
	}
	fmt.Fprintf(p.stderr, "item %d %s: %s\n", index+1, quoteItem(item), text)
}

func quoteItem(item string) string {
	const most = 80
	if len(item) > most {
		return fmt.Sprintf("%q...", item[:most])
	}
	return fmt.Sprintf("%q", item)
}
