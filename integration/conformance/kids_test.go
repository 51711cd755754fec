package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// kidRows are about processes that tasks run in, and take along.
var kidRows = []row{
	{"C65", "P", "a task that ends its child is retried or lost, and harms no other", func(b *bed) {
		p := processPool(b.T, kids)
		b.x = p
		d := newDoor(b)
		others := d.submitN(workers - 1)
		d.await(workers - 1)
		for _, how := range []string{"exit", "kill", "abort", "panic"} {
			once := death{How: how, Dir: b.TempDir(), Runs: 1}
			if attempt := value(b, submit(b, dies, once)); attempt != 1 {
				b.Errorf("%s once: the task was retried as attempt %d, but it had not failed", how, attempt)
			}
			_, err := dies.Call(b.ctx, p, death{How: how, Dir: b.TempDir(), Runs: 100})
			if is(b, err, queue.ErrWorkerLost); !queue.IsTaskError(err) {
				b.Errorf("%s: error %#v", how, err)
			}
		}
		d.open()
		for _, f := range others {
			if got := value(b, f); got != 7 {
				b.Errorf("another task's value %d", got)
			}
		}
		if n := d.runs(); n != workers-1 {
			b.Errorf("the %d other tasks began %d times", workers-1, n)
		}
		b.until("all children to be replaced", func() bool { return len(p.PIDs()) == workers })
		b.fine()
	}},
	{"C67", "PD", "a task that keeps killing its workers is given up, with what it did", by{
		"P": func(b *bed) {
			d := death{How: "exit", Dir: b.TempDir(), Runs: 100}
			_, err := dies.Call(b.ctx, b.x, d, queue.Retries(5))
			is(b, err, queue.ErrWorkerLost)
			for _, word := range []string{"exited with status 3", "last words", "earlier crash 1", "earlier crash 2"} {
				if !strings.Contains(err.Error(), word) {
					b.Errorf("the error does not say %q: %v", word, err)
				}
			}
			if n := (&door{b, d.Dir}).runs(); n != 3 {
				b.Errorf("it ran %d times", n)
			}
			cfg := kids
			cfg.MaxCrashes = 1
			is(b, second(dies.Call(b.ctx, processPool(b.T, cfg), death{How: "kill", Dir: b.TempDir(), Runs: 1})), queue.ErrWorkerLost)
			b.fine()
		},
		"D": func(b *bed) {
			s := newSite(b.T)
			b.x = s.client()
			d := death{How: "kill", Dir: b.TempDir(), Runs: 100}
			f := submit(b, dies, d)
			for range 3 {
				wait(b, s.worker(workersEach, time.Second).Exited())
			}
			s.worker(workersEach, time.Second)
			_, err := f.Get(b.ctx)
			if is(b, err, queue.ErrWorkerLost); !strings.Contains(err.Error(), "3 deliveries") {
				b.Errorf("the error does not say how many: %v", err)
			}
			if n := (&door{b, d.Dir}).runs(); n != 3 {
				b.Errorf("it ran %d times", n)
			}
			b.fine()
		},
	}.test},
	{"C68", "P", "a child that dies while it writes or reads something large", func(b *bed) {
		const large = 16 << 20 // far more than a pipe holds
		fails(b, submit(b, dying, large), queue.ErrWorkerLost)
		var all sync.WaitGroup
		for range 2 * workers {
			all.Go(func() {
				_, err := dies.Call(b.ctx, b.x, death{How: "kill", Dir: b.TempDir(), Runs: 100, Data: make([]byte, large/16)})
				is(b, err, queue.ErrWorkerLost)
			})
		}
		all.Wait()
		b.fine()
	}},
	{"C74", "P", "MaxTasks: as many tasks in one child, the next in another", func(b *bed) {
		p := processPool(b.T, pool.ProcessConfig{Workers: 1, MaxTasks: 3})
		var pids []int
		for range 7 {
			pids = append(pids, must[int](b)(pid.Call(b.ctx, p, 0)))
		}
		if got := slices.Compact(slices.Clone(pids)); len(got) != 3 || pids[0] != pids[2] || pids[3] != pids[5] {
			b.Errorf("the tasks ran in %v", pids)
		}
		is(b, second(pool.NewProcesses(pool.ProcessConfig{MaxTasks: -1}, kidRoutes()...)), queue.ErrOption)
	}},
	{"C75", "P", "MaxTasks, and an early Close: all that waits runs", func(b *bed) {
		p := processPool(b.T, pool.ProcessConfig{Workers: 2, MaxTasks: 1})
		fs := must[[]*queue.Future[int]](b)(pid.SubmitAll(b.ctx, p, make([]int, 8)))
		p.Close()
		pids := must[[]int](b)(queue.Gather(b.ctx, fs...))
		slices.Sort(pids)
		if len(slices.Compact(pids)) != 8 {
			b.Errorf("the tasks ran in %v", pids)
		}
		if err := p.Join(b.ctx); err != nil || len(p.PIDs()) > 0 {
			b.Errorf("Join: %v; children %v are left", err, p.PIDs())
		}
	}},
	{"C78", "P", "a start that fails, or is called off, leaves no process behind", func(b *bed) {
		dir := b.TempDir()
		p := processPool(b.T, pool.ProcessConfig{Workers: 2, Env: []string{initEnv + "=litter " + dir}})
		fails(b, submit2(b, p, double, 1), queue.ErrPoolBroken)
		b.until("the pool to have no children", func() bool { return len(p.PIDs()) == 0 })
		allGone(b, noted(b, dir))

		dir = b.TempDir()
		p = processPool(b.T, pool.ProcessConfig{Workers: 2, Spare: -1, Env: []string{initEnv + "=hang " + dir}})
		b.until("two children to hang", func() bool { return len(noted(b, dir)) == 4 }) // with what they have started
		p.Terminate()
		if err := p.Join(b.ctx); err != nil {
			b.Error(err)
		}
		allGone(b, noted(b, dir))
	}},
	{"C79", "P", "the children of a program that is killed die", func(b *bed) {
		parent, _, kids := family(b, false)
		parent.Kill()
		allGone(b, kids)
	}},
	{"C80", "P", "a stop signal at the group: children die or finish, none is left", func(b *bed) {
		for _, polite := range []bool{false, true} {
			parent, d, kids := family(b, polite)
			if err := syscall.Kill(-parent.PID(), syscall.SIGINT); err != nil {
				b.Fatal(err)
			}
			if polite {
				b.until("the program to begin to stop", func() bool { return d.has("stopping") })
				d.open() // its task goes on until now
			}
			wait(b, parent.Exited())
			if state := parent.State(); polite != state.Success() {
				b.Errorf("polite is %v, and the program ended with %v; it said:\n%s", polite, state, parent.said())
			}
			allGone(b, kids)
			if n := d.runs(); n != 1 {
				b.Errorf("the task ran %d times", n)
			}
		}
	}},
}

// family starts a program that has children, with a task at a door and, unless it is
// polite, another that spins.
func family(b *bed, polite bool) (parent *process, d *door, kids []int) {
	b.Helper()
	d = newDoor(b)
	parent = start(b.T, script{Part: "parent", Dir: d.dir, Polite: polite})
	b.until("the program to be at work", func() bool {
		if parent.Gone() {
			b.Fatalf("the program has ended: %s", parent.said())
		}
		return d.has("pids") && d.runs() == 1 && (polite || d.has("spins"))
	})
	text := must[[]byte](b)(os.ReadFile(filepath.Join(d.dir, "pids")))
	for _, s := range strings.Fields(string(text)) {
		kids = append(kids, must[int](b)(strconv.Atoi(s)))
	}
	b.Cleanup(func() {
		for _, pid := range kids {
			if b.Failed() && lives(pid) {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
	})
	if len(kids) != 3 || slices.ContainsFunc(kids, func(pid int) bool { return !lives(pid) }) {
		b.Fatalf("children %v", kids)
	}
	return parent, d, kids
}

// submit2 is submit on another executor.
func submit2[In, Out any](b *bed, x queue.Executor, task queue.Task[In, Out], in In) *queue.Future[Out] {
	b.Helper()
	return must[*queue.Future[Out]](b)(task.Submit(b.ctx, x, in))
}

func second[T any](_ T, err error) error { return err }

// The rows below are those of other themes, as they are on children.

// killKid is C48.
func killKid(b *bed) {
	cfg := kids
	cfg.KillAfter = time.Hour // nothing else ends a handler
	b.x = processPool(b.T, cfg)
	for _, grace := range []time.Duration{0, 10 * time.Millisecond} {
		d := newDoor(b)
		f := submit(b, spins, filepath.Join(d.dir, "spins"))
		b.until("it to spin", func() bool { return d.has("spins") })
		cancels(b, f, queue.CancelInterrupted, queue.Kill(grace))
		_, err := f.Get(b.ctx)
		if is(b, err, queue.ErrCancelled); errors.Is(err, queue.ErrWorkerLost) {
			b.Errorf("error %v", err)
		}
	}
	d := newDoor(b)
	never := b.occupyOnce(d)
	cancels(b, never, queue.CancelBeforeStart, queue.Kill(0))
	d.open()
	b.fine()
}

// reuseKid is C20.
func reuseKid(b *bed) {
	const all = workers + 1 // and a spare
	p := processPool(b.T, pool.ProcessConfig{Workers: workers})
	first := must[int](b)(pid.Call(b.ctx, p, 0))
	for range 20 { // while the others come to be
		if got := must[int](b)(pid.Call(b.ctx, p, 0)); got != first {
			b.Fatalf("a task ran in %d, when %d had nothing to do", got, first)
		}
	}
	b.until("the children to be there", func() bool { return len(p.PIDs()) == all })
	before := p.PIDs()
	for range 20 {
		if got := must[int](b)(pid.Call(b.ctx, p, 0)); got != first {
			b.Fatalf("a task ran in %d, when %d had nothing to do", got, first)
		}
	}
	after := p.PIDs()
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) || !slices.Contains(after, first) {
		b.Errorf("children %v, then %v", before, after)
	}
}

// initKids is C76.
func initKids(b *bed) {
	dir := b.TempDir()
	cfg := kids
	cfg.Env = []string{initEnv + "=note " + dir}
	p := processPool(b.T, cfg)
	b.x = p
	once := func() {
		b.Helper()
		for n := range submitted(b, begun, 3*workers) {
			if n != 1 {
				b.Errorf("it has run %d times in a child that works", n)
			}
		}
	}
	once()
	held := b.occupy()
	if got, want := noted(b, dir), p.PIDs(); len(got) != workers || len(want) != workers {
		b.Errorf("it ran in %v, the children are %v", got, want)
	}
	held.open()
	if attempt := value(b, submit(b, dies, death{How: "exit", Dir: b.TempDir(), Runs: 1})); attempt != 1 {
		b.Errorf("attempt %d", attempt)
	}
	b.occupy()
	if got := noted(b, dir); len(got) != workers+1 {
		b.Errorf("it ran in %v: %d children and one in the place of another", got, workers)
	}
}

// submitted yields the values of n tasks that run side by side.
func submitted(b *bed, task queue.Task[int, int], n int) func(yield func(int) bool) {
	fs := must[[]*queue.Future[int]](b)(task.SubmitAll(b.ctx, b.x, make([]int, n)))
	return slices.Values(must[[]int](b)(queue.Gather(b.ctx, fs...)))
}

// brokenKids is C77.
func brokenKids(b *bed) {
	dir := b.TempDir()
	p := processPool(b.T, pool.ProcessConfig{Workers: 1, Spare: -1, Env: []string{initEnv + "=litter " + dir}})
	b.x = p
	pending := submit(b, double, 1)
	fails(b, pending, queue.ErrPoolBroken)
	if err := pending.Err(); !strings.Contains(err.Error(), "no luck today") {
		b.Errorf("the error does not say why: %v", err)
	}
	is(b, second(double.Submit(b.ctx, p, 1)), queue.ErrPoolBroken)
	b.until("the children to be gone", func() bool { return len(p.PIDs()) == 0 })
	if n := len(noted(b, dir)) / 2; n != 3 { // each notes what it has started as well
		b.Errorf("it was tried %d times", n)
	}
}

// freeKids is C59: neither side keeps what has been passed.
func freeKids(b *bed) {
	p := processPool(b.T, pool.ProcessConfig{Workers: 1, Spare: -1})
	in, out := passOne(b, p)
	b.until("them to be collected", collected(in, out))
	b.until("the child to let go of its own", func() bool { return must[int](b)(held.Call(b.ctx, p, 0)) == 0 })
}

// oneKid is C18.
func oneKid(b *bed) {
	for _, n := range []int{0, -1} {
		is(b, second(pool.Processes(n, kidRoutes()...)), queue.ErrOption)
	}
	is(b, second(pool.NewProcesses(pool.ProcessConfig{Workers: -1}, kidRoutes()...)), queue.ErrOption)
}

// askKid is C100: a child has no way to its pool, and gets none of its own.
func askKid(b *bed) {
	p := processPool(b.T, kids)
	ownPool = p
	defer func() { ownPool = nil }()
	for _, how := range []string{"call", "map", "open", "another"} {
		_, err := selfs.Call(b.ctx, p, how)
		if is(b, err, queue.ErrWouldDeadlock); !queue.IsTaskError(err) {
			b.Errorf("%s: error %#v", how, err)
		}
	}
	if n := len(p.PIDs()); n > workers {
		b.Errorf("%d children", n)
	}
	b.x = p
	b.fine()
}
