package conformance

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
)

// workerEnv makes the test binary a worker of the Redis at that address.
const workerEnv = "CENOTE_CONFORMANCE_REDIS"

func TestMain(m *testing.M) {
	if addr := os.Getenv(workerEnv); addr != "" {
		if err := work(addr); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	report.print(os.Stdout)
	os.Exit(code)
}

// work is a worker process, until its standard input is closed: that is so when
// the test binary is gone, however that ends.
func work(addr string) error {
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	w, err := consumer.New(rdb, consumer.Config{Concurrency: workersEach, Queues: []consumer.Queue{{Name: "default"}}}, routes()...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return w.Run(ctx)
}

// board is what came of the rows in this run.
type board struct {
	mu    sync.Mutex
	cells map[string]map[string]bool // by row and executor: passed
}

var report = &board{cells: map[string]map[string]bool{}}

func (b *board) note(row, on string, passed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cells[row] == nil {
		b.cells[row] = map[string]bool{}
	}
	b.cells[row][on] = passed
}

// print prints the table of rows and executors, if any row was run.
func (b *board) print(w io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.cells) == 0 {
		return
	}
	passed, total := 0, 0
	fmt.Fprintf(w, "%-5s %-3s %-3s behaviour\n", "row", "L", "D")
	for _, r := range rows {
		cells, ran := b.cells[r.name]
		if !ran {
			continue
		}
		line := []string{}
		for _, on := range []string{"L", "D"} {
			mark := "-"
			if ok, ran := cells[on]; ran {
				total++
				mark = "FAIL"
				if ok {
					passed++
					mark = "ok"
				}
			}
			line = append(line, fmt.Sprintf("%-3s", mark))
		}
		fmt.Fprintf(w, "%-5s %s %s\n", r.name, strings.Join(line, " "), r.about)
	}
	fmt.Fprintf(w, "%d of %d rows x executors pass\n", passed, total)
}

func TestConformance(t *testing.T) {
	if !slices.IsSortedFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) }) {
		t.Error("the rows are not in order")
	}
	t.Run("L", func(t *testing.T) { runRows(t, "L", local(t)) })
	t.Run("D", func(t *testing.T) { runRows(t, "D", distributed(t)) })
}

func runRows(t *testing.T, on string, e executor) {
	for _, r := range rows {
		if !strings.Contains(r.on, on) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			t.Cleanup(func() { report.note(r.name, on, !t.Failed()) })
			r.test(newBed(t, e))
		})
	}
}
