package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

type workerFlags struct {
	queues    []string
	group     string
	files     string
	allowExec bool
	logLevel  string
	logFormat string
	demo      bool
	isolate   bool
	maxMemory byteSize
	cgroup    string
	maxTasks  int
	config    consumer.Config
	seals     sealFlags
}

func (p *program) workerCommand() *cobra.Command {
	var f workerFlags
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run the built-in task types",
		Long: `worker takes tasks from queues and runs those of the built-in types:

  cenote.digest  {"path": "dir/file"}: SHA-256, size, lines and media type of a
                 file below --files
  cenote.exec    the commands of "cenote map", only with --allow-exec: whoever
                 can write to the Redis may then run any command as this user

Tasks of other types are left to workers that know them. SIGTERM or SIGINT stops
the worker when its tasks have ended, or after --grace; a second one at once,
with its tasks handed back.

With --isolate each task runs in a child process, which can be killed: a task that
crashes or takes too much memory takes no other one along, and after three crashes
it is dead.`,
		Example: `  cenote worker --redis redis://localhost:6379 --queue mail=3 --queue default
  cenote worker --redis redis://localhost:6379 --queue exec --allow-exec -c 16
  cenote worker --redis redis://localhost:6379 --isolate --max-memory 512MiB`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.worker(c.Context(), f) },
	}
	fs := c.Flags()
	fs.StringArrayVarP(&f.queues, "queue", "q", []string{queue.DefaultQueue}, "take tasks from this queue, with `NAME[=WEIGHT]` its share; may be repeated")
	fs.StringVar(&f.group, "group", "", "the consumer group, if the queues are streams")
	fs.IntVarP(&f.config.Concurrency, "concurrency", "c", runtime.GOMAXPROCS(0), "how many tasks run at once")
	fs.BoolVar(&f.config.Strict, "strict", false, "take from a queue only while those named before it are empty")
	fs.DurationVar(&f.config.Lease, "lease", 30*time.Second, "how long the worker may be silent before others take over its tasks")
	fs.DurationVar(&f.config.Sweep, "sweep", 0, "how often it looks for workers that are lost (default 5s, or a third of the lease)")
	fs.DurationVar(&f.config.Grace, "grace", 25*time.Second, "how long running tasks may finish when it is told to stop")
	fs.StringVar(&f.files, "files", ".", "the `directory` below which files may be read")
	fs.BoolVar(&f.allowExec, "allow-exec", false, "run the commands of \"cenote map\"")
	fs.BoolVar(&f.isolate, "isolate", false, "run each task in a child process")
	fs.Var(&f.maxMemory, "max-memory", "with --isolate: replace a child that has more memory than this `SIZE` after a task, as in 512MiB, and kill one that has twice as much")
	fs.StringVar(&f.cgroup, "cgroup", "", "with --max-memory: a `directory` of the cgroup v2 hierarchy that is the worker's to use; the kernel then kills a child before it has more, with what it has started counted in")
	fs.IntVar(&f.maxTasks, "max-tasks-per-child", 0, "with --isolate: replace a child after so many tasks (default: never)")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fs.BoolVar(&f.demo, "demo", false, "serve a demo: speak to it by stdin and stdout")
	_ = fs.MarkHidden("demo")
	f.seals.register(fs)
	return c
}

func (p *program) worker(ctx context.Context, f workerFlags) error {
	cfg := f.config
	var err error
	if cfg.Queues, err = parseQueues(f.queues, f.group); err != nil {
		return err
	}
	if cfg.Logger, err = newLogger(f.logLevel, f.logFormat); err != nil {
		return err
	}
	if cfg.Processes, err = f.processes(); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.files)
	if err != nil {
		return fmt.Errorf("--files: %w", err)
	}
	defer func() { _ = root.Close() }()
	d := &digester{root: root}
	routes := []queue.Route{digestTask.Handler(d.handle)}
	if f.allowExec {
		routes = append(routes, execTask.Handler(runExec))
	}
	consumer.Child(routes...) // a child has the flags of its worker, and no Redis
	if cfg.Seal, err = f.seals.seal(); err != nil {
		return err
	}

	l, err := p.connect(ctx)
	if errors.Is(err, errNoAddress) {
		return usagef("%w; a worker on a store of its own would never get a task. "+
			`Start one with "redis-server" and pass --redis redis://localhost:6379, or see "cenote demo", which brings its own`, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	abort := make(chan struct{})
	if f.demo {
		d.show = newShowcase(os.Stdin, os.Stdout, func() {
			stop()
			close(abort)
			// A demo that was killed takes its store along: do not outlive it by
			// trying to tell that store.
			time.AfterFunc(3*time.Second, func() { os.Exit(exitError) })
		})
		cfg.Middleware = append(cfg.Middleware, d.show.middleware)
		cfg.LookAhead = -1 // what a worker has claimed it runs: the demo counts on it
	}
	w, err := consumer.New(l.rdb, cfg, routes...)
	if err != nil {
		return err
	}
	cfg.Logger.Info("cenote worker", zap.String("redis", l.said), zap.Strings("queues", f.queues), zap.Bool("exec", f.allowExec), zap.Bool("isolated", f.isolate), zap.Bool("sealed", cfg.Seal != nil))

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			stop()
		case <-ctx.Done():
		}
		select {
		case <-signals:
			cfg.Logger.Warn("told to stop a second time: running tasks are cancelled and handed back")
		case <-abort:
		}
		w.Abort()
	}()
	return w.Run(ctx)
}

// processes is what the flags say of child processes.
func (f *workerFlags) processes() (*consumer.Processes, error) {
	switch {
	case !f.isolate && (f.maxMemory != 0 || f.maxTasks != 0 || f.cgroup != ""):
		return nil, usagef("--max-memory, --cgroup and --max-tasks-per-child are of child processes, which --isolate makes")
	case f.cgroup != "" && f.maxMemory == 0:
		return nil, usagef("--cgroup holds child processes to --max-memory, which is missing")
	case !f.isolate:
		return nil, nil //nolint:nilnil // handlers run in this process
	}
	p := &consumer.Processes{MaxMemory: int64(f.maxMemory), Cgroup: f.cgroup, MaxTasks: f.maxTasks}
	if f.allowExec {
		p.Env = withoutSecrets(os.Environ()) // commands find what they find without --isolate
	}
	return p, nil
}

// parseQueues reads "name" and "name=weight".
func parseQueues(args []string, group string) ([]consumer.Queue, error) {
	var qs []consumer.Queue
	for _, a := range args {
		name, weight, has := strings.Cut(a, "=")
		q := consumer.Queue{Name: name, Group: group}
		if has {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 {
				return nil, usagef("--queue %s: the weight %q is not a number of at least 1", a, weight)
			}
			q.Weight = n
		}
		qs = append(qs, q)
	}
	return qs, nil
}

func newLogger(level, format string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, usagef("--log-level %q is none of debug, info, warn, error", level)
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	ec.EncodeDuration = zapcore.StringDurationEncoder
	var enc zapcore.Encoder
	switch format {
	case "json":
		enc = zapcore.NewJSONEncoder(ec)
	case "text":
		ec.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		ec.EncodeLevel = zapcore.CapitalLevelEncoder
		ec.ConsoleSeparator = " "
		enc = zapcore.NewConsoleEncoder(ec)
	default:
		return nil, usagef("--log-format %q is none of text, json", format)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(os.Stderr), l)), nil
}
