package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
)

// configEnv carries a workerConfig to a worker process.
const configEnv = "CENOTE_FAULT_CONFIG"

// workerConfig is what a worker process has to know.
type workerConfig struct {
	Addr        string   // of Redis
	Addrs       []string // instead of it, of Sentinels or of a cluster
	Master      string   // what the Sentinels call the master
	Cluster     bool
	Replicas    int    // consumer.Config.Replicas
	Dir         string // where the history goes
	Proc        string // the worker's name in the histories
	Concurrency int
	Lease       time.Duration
	Sweep       time.Duration
	Grace       time.Duration
	MaxCrashes  int
}

// workerMain is a worker process. The first SIGTERM makes it drain, the second
// ends its grace.
func workerMain() int {
	if err := runWorker(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

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
	rdb := cfg.dial()
	w, err := consumer.New(rdb, consumer.Config{
		Concurrency: cfg.Concurrency, Lease: cfg.Lease, Sweep: cfg.Sweep, Grace: cfg.Grace, MaxCrashes: cfg.MaxCrashes, Replicas: cfg.Replicas,
		Logger: stderrLog(),
	}, work.Handler((&runner{cfg.Proc, rec, atomic.Int64{}}).run))
	if err != nil {
		return err
	}
	ctx, drain := context.WithCancel(context.Background())
	defer drain()
	go func() {
		<-signals
		drain()
		<-signals
		w.Abort()
	}()
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		watchStats(w, rec, stop)
	}()
	err = w.Run(ctx)
	close(stop)
	<-watched
	return err
}

func (c workerConfig) dial() redis.UniversalClient {
	if len(c.Addrs) == 0 {
		return redis.NewClient(&redis.Options{Addr: c.Addr})
	}
	return redis.NewUniversalClient(&redis.UniversalOptions{Addrs: c.Addrs, MasterName: c.Master, IsClusterMode: c.Cluster})
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
		now := stats{Succeeded: s.Succeeded, Refused: s.Refused, Recovered: s.Recovered, Lapsed: s.Lapsed, GivenBack: s.GivenBack}
		if now != last {
			last = now
			rec.add(record{Op: opStats, Stats: &now})
		}
	}
}

// runner runs the test's tasks and writes down what it does.
type runner struct {
	proc string
	rec  *recorder
	runs atomic.Int64
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

func (r *runner) work(ctx context.Context, j job, task queue.Running) error {
	if j.Micros > 0 {
		time.Sleep(time.Duration(j.Micros) * time.Microsecond)
	}
	first := int(task.Token) == 1 //nolint:gosec // a count
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
