package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// configEnv carries a configuration to a process that plays a part.
const configEnv = "CENOTE_FAULT_CONFIG"

// workerConfig is what a worker process has to know.
type workerConfig struct {
	Addr        string   // of Redis
	Addrs       []string // instead of it, of Sentinels or of a cluster
	Master      string   // what the Sentinels call the master
	Cluster     bool
	User        string // of Redis; "" for its default one
	Replicas    int    // consumer.Config.Replicas
	Dir         string // where the history goes
	Proc        string // the worker's name in the histories
	Queues      []consumer.Queue
	Concurrency int
	Lease       time.Duration
	Sweep       time.Duration
	Grace       time.Duration
	MaxCrashes  int
	LookAhead   int
	Children    *childConfig // of a worker that runs its tasks in such
}

// playing runs a part and returns the process's exit code.
func playing(part string, run func() error) int {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, part+":", err)
		return 1
	}
	return 0
}

// runWorker is a worker process. The first SIGTERM makes it drain, the second ends
// its grace.
func runWorker() error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &cfg); err != nil {
		return fmt.Errorf("%s: %w", configEnv, err)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	rec, err := newRecorder(cfg.Dir, cfg.Proc)
	if err != nil {
		return err
	}
	base := used()
	rec.add(record{Op: opBase, Use: &base})
	if err := workAs(cfg, rec, signals); err != nil {
		return err
	}
	// What was let go of needs a moment to be gone.
	rest := used()
	for i := 0; i < 2000 && (rest.Goroutines > base.Goroutines || rest.Files > base.Files); i++ {
		time.Sleep(5 * time.Millisecond)
		rest = used()
	}
	rec.add(record{Op: opRest, Use: &rest})
	if rest.Goroutines > base.Goroutines {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "goroutines that are left:\n%s\n", buf[:runtime.Stack(buf, true)])
	}
	return nil
}

// workAs works until it is told to stop, and closes what it has opened.
func workAs(cfg workerConfig, rec *recorder, signals <-chan os.Signal) error {
	rdb := cfg.dial(partyName)
	defer func() { _ = rdb.Close() }()
	r := &runner{proc: cfg.Proc, rec: rec}
	processes, err := cfg.processes()
	if err != nil {
		return err
	}
	w, err := consumer.New(rdb, consumer.Config{
		Queues: cfg.Queues, Concurrency: cfg.Concurrency, Lease: cfg.Lease, Sweep: cfg.Sweep, Grace: cfg.Grace, MaxCrashes: cfg.MaxCrashes,
		LookAhead: cfg.LookAhead, Replicas: cfg.Replicas, Logger: stderrLog(),
		Processes: processes,
	}, r.routes()...)
	if err != nil {
		return err
	}
	ctx, drain := context.WithCancel(context.Background())
	defer drain()
	stop := make(chan struct{})
	go func() {
		for _, f := range []func(){drain, w.Abort} {
			select {
			case <-signals:
				f()
			case <-stop:
				return
			}
		}
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchStats(w, rec, stop)
	}()
	err = w.Run(ctx)
	close(stop)
	<-watched
	return err
}

// used is what this process uses just now.
func used() use {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		files = nil // no /proc here
	}
	return use{Goroutines: runtime.NumGoroutine(), Files: len(files)}
}

// dial makes a client under the given name.
func (c workerConfig) dial(name string) redis.UniversalClient {
	if len(c.Addrs) > 0 {
		return redis.NewUniversalClient(&redis.UniversalOptions{Addrs: c.Addrs, MasterName: c.Master, IsClusterMode: c.Cluster, ClientName: name})
	}
	o := &redis.Options{Addr: c.Addr, ClientName: name}
	if c.User != "" {
		o.Username, o.Password = c.User, password
	}
	return redis.NewClient(o)
}

// stderrLog logs to standard error, which the test keeps.
func stderrLog() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(os.Stderr), zap.InfoLevel))
}

// watchStats writes the worker's statistics down whenever they have changed.
func watchStats(w *consumer.Worker, rec *recorder, stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last stats
	for again := true; again; {
		select {
		case <-tick.C:
		case <-stop:
			again = false
		}
		s := w.Stats()
		now := stats{Succeeded: s.Succeeded, Refused: s.Refused, Recovered: s.Recovered, Lapsed: s.Lapsed, GivenBack: s.GivenBack, Crashed: s.Crashed, Dead: s.Dead}
		if now != last {
			last = now
			rec.add(record{Op: opStats, Stats: &now})
		}
	}
}

// runner runs the test's tasks and writes down what it does.
type runner struct {
	proc  string // what the names of its runs begin with
	ready string // the file by which a child says that it is ready
	rec   *recorder
	runs  atomic.Int64
}

// routes are all that a worker runs.
func (r *runner) routes() []queue.Route {
	return []queue.Route{work.Handler(r.run), after.Handler(r.runAfter), slowly.Handler(func(_ context.Context, n int) (int, error) {
		time.Sleep(70 * time.Millisecond)
		return n, nil
	})}
}

func (r *runner) run(ctx context.Context, j job) (answer, error) {
	task := queue.FromContext(ctx)
	run := fmt.Sprintf("%s.%d", r.proc, r.runs.Add(1))
	begun := record{Op: opStart, ID: task.ID.String(), N: j.N, Run: run, Attempt: task.Attempt, Token: task.Token}
	r.rec.add(begun)
	err := r.work(ctx, j, task)
	ended := begun
	ended.Op = opEnd
	if err != nil {
		ended.Op, ended.Error = opBroke, err.Error()
	}
	r.rec.add(ended)
	return answer{N: j.N, Run: run}, err
}

// runAfter runs the task that follows, whose argument is the value of the first.
func (r *runner) runAfter(ctx context.Context, a answer) (answer, error) {
	next := record{Op: opNext, ID: queue.FromContext(ctx).ID.String(), N: a.N, Run: a.Run}
	r.rec.add(next)
	next.Op = opNextEnd
	r.rec.add(next)
	return a, nil
}

func (r *runner) work(ctx context.Context, j job, task queue.Running) error {
	if j.Poison != "" {
		poisons[j.Poison]()
	}
	first := int(task.Token) == 1 //nolint:gosec // a count
	if j.Eats && first {
		_ = os.Remove(r.ready) // nobody else is to kill it
		poisons["memory"]()
	}
	if j.Spawns {
		if err := exec.Command("sleep", "1000").Start(); err != nil { // it is never waited for
			return err
		}
	}
	for n := 0; j.Spins; n++ {
		_ = n
	}
	if j.Says {
		queue.Logf(ctx, "task %d", j.N)
	}
	if j.Micros > 0 {
		var heeded <-chan struct{}
		if j.Heeding {
			heeded = ctx.Done()
		}
		select {
		case <-time.After(time.Duration(j.Micros) * time.Microsecond):
		case <-heeded:
			return ctx.Err()
		}
	}
	for j.Gate != "" && first {
		if _, err := os.Stat(j.Gate); err == nil {
			break
		}
		if j.Heeding && ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}
