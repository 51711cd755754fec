package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// key names one figure.
type key struct{ caseName, system, metric string }

// results collects the figures of all rounds.
type results struct {
	samples map[key][]float64
	order   []key // as they came
	failed  []string
}

func newResults() *results { return &results{samples: make(map[key][]float64)} }

func (r *results) add(caseName, system string, m measures) {
	names := make([]string, 0, len(m))
	for metric := range m {
		names = append(names, metric)
	}
	slices.Sort(names)
	for _, metric := range names {
		k := key{caseName, system, metric}
		if _, ok := r.samples[k]; !ok {
			r.order = append(r.order, k)
		}
		r.samples[k] = append(r.samples[k], m[metric])
	}
}

func (r *results) fail(caseName, system string, err error) {
	r.failed = append(r.failed, fmt.Sprintf("%s, %s: %v", caseName, system, err))
}

// get returns the median of a figure over the rounds.
func (r *results) get(caseName, system, metric string) (float64, bool) {
	s, ok := r.samples[key{caseName, system, metric}]
	if !ok {
		return 0, false
	}
	return median(s), true
}

// ratio returns figure a divided by figure b, both of one metric of one case.
func (r *results) ratio(caseName, metric, a, b string) (float64, bool) {
	x, ok1 := r.get(caseName, a, metric)
	y, ok2 := r.get(caseName, b, metric)
	if !ok1 || !ok2 || y == 0 {
		return 0, false
	}
	return x / y, true
}

// record is one line of results.json.
type record struct {
	Case   string  `json:"case"`
	System string  `json:"system"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

// write writes the medians to a JSON file, one record a line.
func (r *results) write(path string) error {
	out := []byte("[")
	for i, k := range r.order {
		if i > 0 {
			out = append(out, ',')
		}
		v, _ := r.get(k.caseName, k.system, k.metric)
		line, err := json.Marshal(record{k.caseName, k.system, k.metric, v})
		if err != nil {
			return fmt.Errorf("%s of %s in %s: %w", k.metric, k.system, k.caseName, err)
		}
		out = append(append(out, "\n  "...), line...)
	}
	return os.WriteFile(path, append(out, "\n]\n"...), 0o644)
}
