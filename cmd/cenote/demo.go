package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

type demoFlags struct {
	dir      string
	length   time.Duration
	seed     uint64
	maxFiles int
	json     bool
}

func (p *program) demoCommand() *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work on real files, with a worker that is killed",
		Long: `demo starts worker processes, walks a directory and submits a task a file, whose
worker computes the file's SHA-256, size, lines and media type. The results come
back in the order of the files. Half-way one worker is killed (SIGKILL) in the
middle of its tasks, and the others take them over when its lease has lapsed.

At the end it reads a sample of the files itself and compares. The numbers:

  submitted   tasks that Redis accepted
  done        results that came back
  failed      tasks that ended with an error, as for a file that cannot be read
  lost        submitted and neither done nor failed
  duplicates  results that came back more than once
  recovered   tasks that a worker ran because the one before it was lost
  ran twice   recovered tasks that the lost worker had run to their end without
              having said so: a lost worker's last words are work done twice

Exit code 0 says that nothing was lost and the sample matches.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.demo(c.Context(), f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.dir, "dir", ".", "the directory; .git is left out")
	fs.DurationVar(&f.length, "for", 0, "walk the directory again and again for this long (default once)")
	fs.Uint64Var(&f.seed, "seed", 0, "makes the choice of the killed worker and of the sample repeatable (default random)")
	fs.IntVar(&f.maxFiles, "max-files", 20000, "stop the walk after so many files")
	fs.BoolVar(&f.json, "json", false, "print one JSON object on stdout and the rest on stderr")
	return c
}

// The fleet of a demo.
const (
	demoWorkers = 3
	demoSlots   = 2 // of each worker
	demoLease   = time.Second
	demoSample  = 25
	// demoStall is how long nothing may happen before the demo calls what is
	// missing lost.
	demoStall = 30 * time.Second
)

func (p *program) demo(ctx context.Context, f demoFlags) error {
	if f.length < 0 || f.maxFiles < 1 {
		return usagef("--for is %v and --max-files %d; give a duration of at least 0 and at least one file", f.length, f.maxFiles)
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	files, skipped, err := walk(dir, f.maxFiles)
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no files in %s; choose another directory with --dir", dir)
	}
	for f.seed == 0 {
		f.seed = mrand.Uint64()
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	l, err := p.connectOr(ctx, embedded.StartProtected)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()

	name := "demo"
	if l.inner == nil {
		name = "demo-" + strings.ToLower(rand.Text()[:8])
		defer func() { _ = l.store.Drop(context.Background(), name) }()
	}
	d := &demo{
		flags: f, dir: dir, files: files, queue: name, link: l,
		out: os.Stdout, rng: mrand.New(mrand.NewPCG(f.seed, 0)), //nolint:gosec // a repeatable choice
		ledger: newLedger(demoWorkers),
		fail:   fail,
	}
	if f.json {
		d.out = os.Stderr
	}
	d.plan()
	d.banner(skipped)
	if err := d.play(ctx); err != nil {
		return err
	}
	return d.finish()
}

// walk lists the regular files below dir, in lexical order, at most so many.
func walk(dir string, most int) (files []string, skipped []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil:
			skipped = append(skipped, path)
			return nil
		case e.IsDir() && e.Name() == ".git" && path != dir:
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		case len(files) == most:
			return fs.SkipAll
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, rel)
		return err
	})
	return files, skipped, err
}

// demo is one run of the demonstration.
type demo struct {
	flags  demoFlags
	dir    string
	files  []string
	queue  string
	link   *link
	out    io.Writer
	rng    *mrand.Rand // of the main goroutine
	ledger *ledger
	fleet  *fleet
	bar    *progressbar.ProgressBar
	fail   context.CancelCauseFunc

	pace    time.Duration // what a task takes at least
	window  int
	held    int // how many tasks are held until the kill
	began   time.Time
	elapsed time.Duration
	sum     summary
}

// plan chooses a pace that makes one walk take a few seconds, however many files
// there are: time to watch, and to kill a worker in the middle of its tasks.
func (d *demo) plan() {
	const slots = demoWorkers * demoSlots
	d.pace = min(4*time.Second*slots/time.Duration(len(d.files)), 200*time.Millisecond).Round(100 * time.Microsecond)
	// What is in flight keeps the other workers busy while the lost one's tasks,
	// which hold up the results behind them, wait for its lease to lapse.
	d.window = int(min(max(2*time.Second*slots/max(d.pace, time.Millisecond), 4*slots), 2048))
	d.held = slots
	if d.flags.length == 0 {
		d.held = min(slots, len(d.files)-len(d.files)/2)
	}
}

// play submits the tasks and takes their results in.
func (d *demo) play(ctx context.Context) error {
	c, err := producer.New(d.link.rdb)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	d.began = time.Now()
	if d.fleet, err = startFleet(d.link.environ(), d.queue, d.dir, d.ledger, d.fail); err != nil {
		return err
	}
	defer d.fleet.stop()
	total := int64(len(d.files))
	if d.flags.length > 0 {
		total = -1
	}
	d.bar = newBar(total, "files")
	killed := make(chan struct{})
	killCtx, noKill := context.WithCancel(ctx)
	order := d.rng.Perm(demoWorkers)
	go func() {
		defer close(killed)
		d.killOne(killCtx, order)
	}()

	stalled := time.AfterFunc(demoStall, func() {
		d.fail(fmt.Errorf("nothing has happened for %v", demoStall))
	})
	defer stalled.Stop()
	d.sum.begin(d.rng)
	results := digestTask.Stream(ctx, c, d.source(ctx), queue.On(d.queue), queue.Window(d.window), queue.Chunk(1)) // a task a file: one that is held must hold no other
	for it := range results {
		stalled.Reset(demoStall)
		d.sum.add(it)
		_ = d.bar.Add(1)
	}
	if ctx.Err() == nil {
		<-killed // all tasks have ended, so those of the lost worker were recovered
	}
	noKill()
	<-killed
	d.elapsed = time.Since(d.began)
	_ = d.bar.Finish()
	d.bar = nil
	if cause := context.Cause(ctx); errors.Is(cause, errInterrupted) {
		return cause
	} else if cause != nil {
		d.say("  ! %v", cause)
	}
	return nil
}

// source yields the files, once or again and again, and marks those tasks that
// are held until a worker is killed.
func (d *demo) source(ctx context.Context) func(yield func(fileRef) bool) {
	return func(yield func(fileRef) bool) {
		held := 0
		for i := 0; ctx.Err() == nil; i++ {
			half := i >= len(d.files)/2
			if d.flags.length > 0 {
				// What is submitted by then takes its time, too.
				length := max(d.flags.length-d.pace*time.Duration(d.window/(demoWorkers*demoSlots)), d.flags.length/2)
				since := time.Since(d.began)
				half = since >= length/2
				if since >= length && held == d.held {
					return
				}
			} else if i == len(d.files) {
				return
			}
			ref := fileRef{Path: d.files[i%len(d.files)], Pace: d.pace}
			if half && held < d.held {
				held++
				ref.Hold = true
			}
			d.sum.submitted++
			if !yield(ref) {
				return
			}
		}
	}
}

// killOne kills a worker when all tasks that are to be held are in flight, and
// tells what becomes of those that it ran.
func (d *demo) killOne(ctx context.Context, order []int) {
	if !d.ledger.waitHeld(ctx, d.held) {
		return
	}
	victim := d.ledger.busy(order)
	pid, at := d.fleet.kill(victim)
	d.sum.killed = 1
	orphans := d.ledger.running(victim)
	d.sum.inFlight = len(orphans)
	d.say("  ✗ worker %d (pid %d) killed with %s in flight", victim+1, pid, count(len(orphans), "task"))
	d.fleet.release()
	last, ok := d.ledger.waitRestarted(ctx, orphans)
	if !ok || len(orphans) == 0 {
		return
	}
	d.sum.recovery = last.Sub(at)
	d.say("  ✓ the others recovered %s after %.1f s, when its lease had lapsed", them(len(orphans)), d.sum.recovery.Seconds())
}

func them(n int) string {
	if n == 1 {
		return "it"
	}
	return fmt.Sprintf("all %d", n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// say writes a line above the progress bar.
func (d *demo) say(format string, args ...any) {
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	fmt.Fprintf(d.out, format+"\n", args...)
	if d.bar != nil {
		_ = d.bar.RenderBlank() // the next result may be long in coming
	}
}
