package conformance

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// row is one behaviour.
type row struct {
	name  string
	on    string // the executors it is run on
	about string
	test  func(b *bed)
}

// by is a row's test for each executor, where they differ.
type by map[string]func(b *bed)

func (m by) test(b *bed) { b.Helper(); m[b.e.name](b) }

// columns are the executors, as the table shows them.
var columns = []string{"L", "P", "D"}

// rows is the table.
var rows = sorted(callRows, lifeRows, mapRows, callbackRows, cancelRows, waitRows, errorRows, kidRows, farRows, valueRows, sharedLockRows, sharedQueueRows)

func (r row) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(r.name, "C"))
	if err != nil {
		panic(err)
	}
	return n
}

func sorted(themes ...[]row) []row {
	all := slices.Concat(themes...)
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.number(), b.number()) })
	return all
}

func TestConformance(t *testing.T) {
	for i, r := range rows[1:] {
		if r.name == rows[i].name {
			t.Errorf("there are two rows %s", r.name)
		}
	}
	t.Run("L", func(t *testing.T) { runRows(t, "L", local(t)) })
	t.Run("P", func(t *testing.T) { runRows(t, "P", processes(t)) })
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
	fmt.Fprintf(w, "%-5s %-4s %-4s %-4s behaviour\n", "row", columns[0], columns[1], columns[2])
	for _, r := range rows {
		cells, ran := b.cells[r.name]
		if !ran {
			continue
		}
		line := []string{}
		for _, on := range columns {
			mark := "-"
			if ok, ran := cells[on]; ran {
				total++
				mark = "FAIL"
				if ok {
					passed++
					mark = "ok"
				}
			}
			line = append(line, fmt.Sprintf("%-4s", mark))
		}
		fmt.Fprintf(w, "%-5s %s %s\n", r.name, strings.Join(line, " "), r.about)
	}
	fmt.Fprintf(w, "%d of %d rows x executors pass\n", passed, total)
}
