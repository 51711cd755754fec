package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
)

// program is what all verbs share.
type program struct {
	addressFlag string
	tls         tlsFlags
	began       bool // a verb was found and its flags were understood
}

// run carries out a command line and returns the exit code.
func run(args []string) int {
	redis.SetLogger(silent{}) // what matters of it comes back as errors
	p := &program{}
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	if err != nil && !p.began {
		err = usage(err)
	}
	return report(cmd, err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cenote",
		Short: "A worker pool that spans machines",
		Long: `cenote queues typed tasks in Redis and runs them on any number of machines.

Without a Redis address a verb that can runs on an embedded store, in memory,
inside its own process. An address is taken from --redis, else from
CENOTE_REDIS_URL, else from REDIS_URL:
` + addressForms + `
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 a task failed, 5 timed out,
6 Redis cannot be reached or refuses the credentials, 130 interrupted.`,
		Example: `  cenote demo
  seq 100 | cenote map -- sh -c 'echo $(( {} * {} ))'
  cenote worker --redis redis://localhost:6379 --concurrency 8`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			p.began = true
		},
	}
	root.PersistentFlags().StringVar(&p.addressFlag, "redis", "", "Redis `URL` (default: $CENOTE_REDIS_URL, else $REDIS_URL, else embedded)")
	p.tls.register(root.PersistentFlags())
	root.AddCommand(p.demoCommand(), p.mapCommand(), p.workerCommand(), p.enqueueCommand(), p.taskCommand(), p.queueCommand(), p.doctorCommand(), p.fsckCommand(), p.aclCommand())
	return root
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// group makes a command that only holds others: without one of them it is a
// mistake, not a request for help.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath()))
			}
			return usage(fmt.Errorf("%q needs a command", c.CommandPath()))
		},
	}
	c.AddCommand(verbs...)
	return c
}

// interruptible returns a context that the first SIGINT or SIGTERM cancels with
// cause errInterrupted; a second one ends the process as usual.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-ctx.Done():
			signal.Stop(signals)
		}
	}()
	return ctx, func() { cancel(nil) }
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
