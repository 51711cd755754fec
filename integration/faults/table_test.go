package faults

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

// row is one line of the table that a run ends with: a test, what it does to
// Cenote, and how far it came.
type row struct {
	test, nemesis, figure string
	holds                 bool
}

// board is the table.
type board struct {
	mu   sync.Mutex
	rows []*row
}

var table = &board{}

// inTable enters t into the table, under the name of its fault test. The test says
// what it has reached with the function that is returned; it holds if t passes.
func inTable(t testing.TB, test, nemesis string) (reached func(format string, args ...any)) {
	r := &row{test: test, nemesis: nemesis}
	table.mu.Lock()
	table.rows = append(table.rows, r)
	table.mu.Unlock()
	t.Cleanup(func() {
		table.mu.Lock()
		defer table.mu.Unlock()
		r.holds = !t.Failed()
	})
	return func(format string, args ...any) {
		table.mu.Lock()
		defer table.mu.Unlock()
		r.figure = fmt.Sprintf(format, args...)
	}
}

// number is the row's place in the table.
func (r *row) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(r.test, "T"))
	if err != nil {
		panic(err)
	}
	return n
}

// print prints the table, if any of its tests was run.
func (b *board) print(w io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) == 0 {
		return
	}
	slices.SortStableFunc(b.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.number(), b.number()), strings.Compare(a.nemesis, b.nemesis))
	})
	wide := 0
	for _, r := range b.rows {
		wide = max(wide, len(r.nemesis))
	}
	hold := 0
	fmt.Fprintf(w, "%-4s  %-4s  %-*s  figure reached\n", "test", "", wide, "nemesis")
	for _, r := range b.rows {
		mark := "FAIL"
		if r.holds {
			mark = "ok"
			hold++
		}
		fmt.Fprintf(w, "%-4s  %-4s  %-*s  %s\n", r.test, mark, wide, r.nemesis, r.figure)
	}
	fmt.Fprintf(w, "%d of %d fault tests hold\n", hold, len(b.rows))
}

// size is n, or the figure of the long form.
func size(n, long int) int {
	if *chaos {
		return long
	}
	return n
}

func TestTable(t *testing.T) {
	b := &board{rows: []*row{
		{test: "T15", nemesis: "a bounce", figure: "5 flushes", holds: true},
		{test: "T4", nemesis: "a kill", figure: "2 kills"},
	}}
	var out strings.Builder
	b.print(&out)
	want := "test        nemesis   figure reached\n" +
		"T4    FAIL  a kill    2 kills\n" +
		"T15   ok    a bounce  5 flushes\n" +
		"1 of 2 fault tests hold\n"
	if out.String() != want {
		t.Errorf("the table is\n%s, want\n%s", &out, want)
	}
	out.Reset()
	(&board{}).print(&out)
	if out.Len() > 0 {
		t.Errorf("a run without fault tests prints\n%s", &out)
	}
}
