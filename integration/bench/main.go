// Command bench runs Cenote, asynq, BullMQ and bare Redis side by side on a
// redis-server of its own, and Cenote's pool beside Python's and pond's, prints one table with ratios and targets, and writes
// results.json. It is a module of its own, so that the peers' dependencies stay
// out of the product. Run it in its own directory; README.md says what each case
// measures and how fairness is kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/cenote-go/cenote/pool"
)

func main() {
	pool.Child(incrementRoute()) // this program is its own children, too
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	did, err := child(ctx)
	if !did {
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	quick   bool
	only    string
	systems string
	rounds  int
	out     string
	profile string
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.BoolVar(&o.quick, "quick", os.Getenv("BENCH_QUICK") == "1", "one round with smaller sizes, under 3 minutes; BENCH_QUICK=1 does the same")
	fs.StringVar(&o.only, "only", "", "run the cases whose name matches this `regexp`")
	fs.StringVar(&o.systems, "systems", "cenote,asynq,bullmq,raw,python,pond", "comma-separated `names` of the systems to run")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds to take medians of (default 3, with -quick 1)")
	fs.StringVar(&o.out, "out", "results.json", "`file` for the figures")
	fs.StringVar(&o.profile, "cpuprofile", "", "`file` for a CPU profile of this process; choose one case and system with it")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", fs.Arg(0))
	}
	if o.rounds <= 0 {
		o.rounds = 3
		if o.quick {
			o.rounds = 1
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	p := plan{rounds: o.rounds, mode: mode{quick: o.quick}, log: os.Stderr, begin: time.Now()}
	if o.only != "" {
		if p.only, err = regexp.Compile(o.only); err != nil {
			return fmt.Errorf("-only: %w", err)
		}
	}
	var notes []string
	p.systems, notes, err = contestants(ctx, strings.Split(o.systems, ","))
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(os.Stderr, note)
	}
	defer func() {
		for _, s := range p.systems {
			_ = s.Close()
		}
	}()
	srv, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer srv.Close()
	version := srv.Version(ctx)

	if o.profile != "" {
		stop, err := profile(o.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	r, err := p.run(ctx, srv)
	if err != nil {
		return err
	}
	fmt.Printf("redis-server %s without persistence, %s, %d cores shared by clients and server; medians of %d round(s), %s\n\n",
		version, runtime.Version(), runtime.NumCPU(), o.rounds, time.Since(p.begin).Round(time.Second))
	printTable(os.Stdout, r)
	for _, line := range append(notes, r.failed...) {
		fmt.Println("note:", line)
	}
	fmt.Println()
	if err := r.write(o.out); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	printTargets(os.Stdout, r)
	return nil
}

// profile starts a CPU profile and returns what ends it.
func profile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// contestants makes the named systems, in that order. A note says what is missing and why.
func contestants(ctx context.Context, names []string) (systems []system, notes []string, err error) {
	for _, name := range names {
		switch strings.TrimSpace(name) {
		case "cenote":
			systems = append(systems, cenoteSystem{})
		case "asynq":
			systems = append(systems, asynqSystem{})
		case "bullmq":
			b, err := startBullMQ(ctx, "bullmq")
			if err != nil {
				notes = append(notes, fmt.Sprintf("BullMQ is left out: %v", err))
				continue
			}
			systems = append(systems, b)
		case "raw":
			systems = append(systems, rawStream{}, rawList{})
		case "python":
			p, err := findPython()
			if err != nil {
				notes = append(notes, fmt.Sprintf("Python's Pool is left out: %v", err))
				continue
			}
			systems = append(systems, p)
		case "pond":
			systems = append(systems, pondSystem{})
		default:
			return nil, nil, fmt.Errorf("-systems: no system %q: choose from cenote, asynq, bullmq, raw, python, pond", name)
		}
	}
	return systems, notes, nil
}
