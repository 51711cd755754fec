package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// columns are the systems of the table, in its order.
var columns = []string{"cenote", "asynq", "bullmq", "raw", "rawlist", "python", "pond"}

// printTable prints one row a case and metric. The ratios say how many times
// better Cenote is, also where less is better.
func printTable(w io.Writer, r *results) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tmetric\tcenote\tasynq\tbullmq\traw stream\traw list\tpython\tpond\tx asynq\tx bullmq\tx raw\tx python\tx pond\t")
	for _, c := range cases() {
		label := c.name
		for _, m := range shown {
			row, any := tableRow(r, c.name, m)
			if !any {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t\n", label, m.unit, strings.Join(row, "\t"))
			label = ""
		}
	}
	t.Flush()
	fmt.Fprintln(w, `x: how many times better cenote is (a rate divided by the other's, or the other's cost divided by cenote's); "-": not measured, or the system has no such thing.`)
}

// tableRow returns the cells of one metric and whether any system has it.
func tableRow(r *results, caseName string, m metricKind) (row []string, any bool) {
	for _, sys := range columns {
		v, ok := r.get(caseName, sys, m.name)
		any = any || ok
		row = append(row, cell(v, ok))
	}
	for _, sys := range []string{"asynq", "bullmq", "raw", "python", "pond"} {
		x, ok := r.ratio(caseName, m.name, "cenote", sys)
		if m.lowerBetter {
			x, ok = r.ratio(caseName, m.name, sys, "cenote")
		}
		if !ok {
			row = append(row, "-")
			continue
		}
		row = append(row, fmt.Sprintf("%.2f", x))
	}
	return row, any
}

// cell prints a figure with as many digits as it deserves.
func cell(v float64, ok bool) string {
	switch {
	case !ok:
		return "-"
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 10_000:
		return fmt.Sprintf("%.1fk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// brief is one line of progress.
func brief(m measures) string {
	var parts []string
	for _, k := range shown {
		if v, ok := m[k.name]; ok {
			parts = append(parts, cell(v, true)+" "+k.unit)
		}
	}
	return strings.Join(parts, "; ")
}
