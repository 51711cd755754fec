package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

type enqueueFlags struct {
	queue   string
	codec   string
	id      string
	delay   time.Duration
	retries int
	keep    time.Duration
	timeout time.Duration
	wait    bool
	within  time.Duration
	seals   sealFlags
}

func (p *program) enqueueCommand() *cobra.Command {
	var f enqueueFlags
	c := &cobra.Command{
		Use:   "enqueue TYPE [JSON | @FILE | -]",
		Short: "Submit one task",
		Long: `enqueue submits a task with an argument written as JSON, read from a file with
@FILE, or from stdin with -. It prints the task's id.

With --wait it prints the task's value as JSON instead. Exit code 4 says that the
task failed, 5 that it took longer than --within.`,
		Example: `  cenote enqueue cenote.digest '{"path": "go.mod"}' --wait
  cenote enqueue mail.send @mail.json --queue mail --delay 5m --retries 3
  cenote enqueue mail.send @mail.json --seal-keys /etc/cenote/keys`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			arg := "null"
			if len(args) == 2 {
				arg = args[1]
			}
			return p.enqueue(c.Context(), args[0], arg, f)
		},
	}
	fs := c.Flags()
	fs.StringVarP(&f.queue, "queue", "q", queue.DefaultQueue, "the queue")
	fs.StringVar(&f.codec, "codec", "msgpack", "how the task's type encodes its argument: msgpack or json")
	fs.StringVar(&f.id, "id", "", "submissions with the same `key` are one task")
	fs.DurationVar(&f.delay, "delay", 0, "start no sooner than after this time")
	fs.IntVar(&f.retries, "retries", 0, "how many failed attempts may be tried again")
	fs.DurationVar(&f.keep, "keep", 0, "how long the outcome is kept for \"cenote task get\"")
	fs.DurationVar(&f.timeout, "timeout", 0, "the longest an attempt may take (default no limit)")
	fs.BoolVar(&f.wait, "wait", false, "wait for the task and print its value")
	fs.DurationVar(&f.within, "within", 0, "the longest to wait (default no limit)")
	f.seals.register(fs)
	return c
}

func (p *program) enqueue(ctx context.Context, name, arg string, f enqueueFlags) error {
	task, err := f.task(name)
	if err != nil {
		return err
	}
	in, err := readArgument(arg)
	if err != nil {
		return err
	}
	sealed, err := f.seals.seal()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	l, err := p.connectOr(ctx, embedded.StartPrivate)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	if l.inner != nil {
		end, err := serveHere(l, name, f, sealed)
		if err != nil {
			return err
		}
		defer end()
	}
	c, err := producer.New(l.rdb, producer.Seal(sealed))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	fut, err := task.Submit(ctx, c, in)
	if err != nil {
		return err
	}
	if !f.wait {
		return printID(fut.ID(), f)
	}
	return awaitValue(ctx, l, fut, f)
}

// task is the definition that the flags describe. The value's and the argument's
// types are the submitter's and the worker's affair.
func (f enqueueFlags) task(name string) (queue.Task[any, any], error) {
	opts := []queue.Option{
		queue.On(f.queue), queue.Delay(f.delay), queue.Retries(f.retries),
		queue.Keep(f.keep), queue.Timeout(f.timeout),
	}
	if f.id != "" {
		opts = append(opts, queue.ID(f.id))
	}
	switch f.codec {
	case "msgpack":
	case "json":
		opts = append(opts, queue.Encoded(queue.JSON))
	default:
		return queue.Task[any, any]{}, usagef("--codec %q is none of msgpack, json", f.codec)
	}
	if !f.wait {
		if f.within > 0 {
			return queue.Task[any, any]{}, usagef("--within says how long to wait; it needs --wait")
		}
		opts = append(opts, queue.NoReply())
	}
	return queue.NewTask[any, any](name, opts...), nil
}

func readArgument(arg string) (any, error) {
	data := []byte(arg)
	var err error
	if arg == "-" {
		data, err = io.ReadAll(io.LimitReader(os.Stdin, queue.MaxMessage+1))
	} else if file, ok := strings.CutPrefix(arg, "@"); ok {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	if len(data) > queue.MaxMessage {
		return nil, fmt.Errorf("%w: the argument has more than %d bytes; pass a reference to the data", queue.ErrTooLarge, queue.MaxMessage)
	}
	v, err := fromJSON(data)
	if err != nil {
		return nil, usage(err)
	}
	return v, nil
}

func printID(id queue.TaskID, f enqueueFlags) error {
	if !isTerminal(os.Stdout) {
		_, err := fmt.Println(id)
		return err
	}
	_, err := fmt.Printf("%s submitted to queue %s\n", id, f.queue)
	return err
}

func awaitValue(ctx context.Context, l *link, fut *queue.Future[any], f enqueueFlags) error {
	wait, cancel := ctx, func() {}
	if f.within > 0 {
		wait, cancel = context.WithTimeout(ctx, f.within)
	}
	defer cancel()
	quiet := warnUnserved(wait, l, f.queue, "cenote worker --queue "+f.queue)
	v, err := fut.Get(wait)
	quiet()
	switch {
	case err == nil:
		out, err := valueJSON(v)
		if err != nil {
			return fmt.Errorf("the value of task %s has no form in JSON: %w", fut.ID(), err)
		}
		_, err = fmt.Printf("%s\n", out)
		return err
	case queue.IsTaskError(err):
		return fmt.Errorf("task %s failed: %w", fut.ID(), err)
	case ctx.Err() != nil:
		return fmt.Errorf("%w; task %s goes on without", context.Cause(ctx), fut.ID())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: task %s took longer than %v, and goes on", errTimedOut, fut.ID(), f.within)
	}
	return err
}

// serveHere runs a worker in this process, for a store that nobody else reaches.
func serveHere(l *link, name string, f enqueueFlags, sealed *seal.Seal) (end func(), err error) {
	if !f.wait {
		return nil, usagef("%w; on the embedded store, which ends with this process, a task makes sense only with --wait", errNoAddress)
	}
	if name != digestTask.Name() {
		return nil, usagef("%w; the embedded store's own worker runs only %s, not %s", errNoAddress, digestTask.Name(), name)
	}
	root, err := os.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	w, err := consumer.New(l.rdb, consumer.Config{Concurrency: runtime.GOMAXPROCS(0), Queues: []consumer.Queue{{Name: f.queue}}, Grace: -1, Seal: sealed},
		digestTask.Handler((&digester{root: root}).handle))
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "cenote: no Redis address, running the task on a store embedded in this process")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		<-done //nolint:errcheck // the store ends with it; there is nobody to tell
		_ = root.Close()
	}, nil
}

// unservedAfter is how long tasks may wait before a user is told that nobody is
// there to take them.
const unservedAfter = 3 * time.Second

// warnUnserved says so on stderr if after a while the queue has no workers, or
// none that takes what waits. stop ends the watch.
func warnUnserved(ctx context.Context, l *link, name, fix string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	t := time.AfterFunc(unservedAfter, func() {
		n, err := l.store.Count(ctx, store.NewLine(name, 0, ""))
		switch {
		case err != nil || ctx.Err() != nil:
		case n.Consumers == 0:
			fmt.Fprintf(os.Stderr, "cenote: no worker takes tasks from queue %q; start one with: %s\n", name, fix)
		case n.Scheduled > 0 && n.Running == 0 && n.Ready == 0:
			fmt.Fprintf(os.Stderr, "cenote: the workers of queue %q leave its tasks waiting: they do not know their type; start one that does, as with: %s\n", name, fix)
		}
	})
	return func() {
		t.Stop()
		cancel()
	}
}
