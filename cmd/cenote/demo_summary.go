package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/cenote-go/cenote/queue"
)

// summary is what came back in a demo.
type summary struct {
	submitted  int
	done       int
	failed     int
	duplicates int
	disordered int // results that came out of their turn
	lastError  error

	killed   int
	inFlight int // at the killed worker
	recovery time.Duration

	next   int // the index that comes next
	types  map[string]*typeSum
	rng    *mrand.Rand
	sample []sampled
}

type typeSum struct {
	files, bytes, lines int64
}

type sampled struct {
	path string
	digest
}

func (s *summary) begin(rng *mrand.Rand) {
	s.rng, s.types = rng, map[string]*typeSum{}
}

// add takes one result in.
func (s *summary) add(it queue.Item[fileRef, digest]) {
	switch {
	case it.Index < s.next:
		s.duplicates++
		return
	case it.Index > s.next:
		s.disordered++
	}
	s.next = it.Index + 1
	if it.Err != nil {
		s.lastError = it.Err
		if queue.IsTaskError(it.Err) {
			s.failed++
		}
		return
	}
	s.done++
	t := s.types[it.Out.Type]
	if t == nil {
		t = &typeSum{}
		s.types[it.Out.Type] = t
	}
	t.files++
	t.bytes += it.Out.Size
	t.lines += it.Out.Lines
	// Each result is as likely in the sample as any other.
	if len(s.sample) < demoSample {
		s.sample = append(s.sample, sampled{it.In.Path, it.Out})
	} else if k := s.rng.IntN(s.done); k < demoSample {
		s.sample[k] = sampled{it.In.Path, it.Out}
	}
}

func (s *summary) lost() int { return s.submitted - s.done - s.failed }

// verdict is what the demo reports as JSON.
type verdict struct {
	Store         string  `json:"store"`
	Dir           string  `json:"dir"`
	Files         int     `json:"files"`
	Seed          uint64  `json:"seed"`
	Submitted     int     `json:"submitted"`
	Done          int     `json:"done"`
	Failed        int     `json:"failed"`
	Lost          int     `json:"lost"`
	Duplicates    int     `json:"duplicates"`
	Disordered    int     `json:"disordered"`
	Recovered     int     `json:"recovered"`
	RanTwice      int     `json:"ran_twice"`
	Workers       int     `json:"workers"`
	WorkersKilled int     `json:"workers_killed"`
	InFlight      int     `json:"in_flight_at_kill"`
	RecoveryMs    int64   `json:"recovery_ms"`
	Checked       int     `json:"checked"`
	Changed       int     `json:"changed_meanwhile"`
	Mismatches    int     `json:"mismatches"`
	Bytes         int64   `json:"bytes"`
	Lines         int64   `json:"lines"`
	ElapsedMs     int64   `json:"elapsed_ms"`
	PerSecond     float64 `json:"tasks_per_second"`
}

var errDemo = errors.New("the demo did not hold what it promises")

// finish checks the sample, reports, and returns an error unless all is well.
func (d *demo) finish() error {
	s := &d.sum
	v := verdict{
		Store: "embedded", Dir: d.dir, Files: len(d.files), Seed: d.flags.seed,
		Submitted: s.submitted, Done: s.done, Failed: s.failed, Lost: s.lost(), Duplicates: s.duplicates, Disordered: s.disordered,
		Workers: demoWorkers, WorkersKilled: s.killed, InFlight: s.inFlight, RecoveryMs: s.recovery.Milliseconds(),
		ElapsedMs: d.elapsed.Milliseconds(), PerSecond: float64(s.done+s.failed) / max(d.elapsed.Seconds(), 1e-3),
	}
	if d.link.inner == nil {
		v.Store = "redis"
	}
	v.Recovered, v.RanTwice = d.ledger.recovered()
	for _, t := range s.types {
		v.Bytes += t.bytes
		v.Lines += t.lines
	}
	var wrong []string
	for _, f := range s.sample {
		same, changed := f.check(d.dir)
		switch {
		case changed:
			v.Changed++
		case same:
			v.Checked++
		default:
			v.Checked++
			v.Mismatches++
			wrong = append(wrong, f.path)
		}
	}
	d.tell(v, wrong)
	if d.flags.json {
		if err := printJSON(os.Stdout, v); err != nil {
			return err
		}
	}
	if v.Lost != 0 || v.Mismatches != 0 || v.Disordered != 0 || v.Duplicates != 0 {
		return told{errDemo}
	}
	return nil
}

// check reads the file again, with nothing but the standard library, and compares.
func (f sampled) check(dir string) (same, changed bool) {
	path := filepath.Join(dir, f.path)
	st, err := os.Stat(path)
	if err != nil || st.ModTime().UnixNano() != f.ModTime || st.Size() != f.Size {
		return false, true // somebody works here; that is not the worker's fault
	}
	file, err := os.Open(path)
	if err != nil {
		return false, true
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	ends := &lineEnds{}
	n, err := io.Copy(io.MultiWriter(sum, ends), file)
	if err != nil {
		return false, true
	}
	return n == f.Size && ends.n == f.Lines && hex.EncodeToString(sum.Sum(nil)) == f.SHA256, false
}

type lineEnds struct{ n int64 }

func (l *lineEnds) Write(b []byte) (int, error) {
	l.n += int64(bytes.Count(b, []byte{'\n'}))
	return len(b), nil
}

// tell prints the table and the counts.
func (d *demo) tell(v verdict, wrong []string) {
	d.say("")
	const most = 8
	names := make([]string, 0, len(d.sum.types))
	for name := range d.sum.types {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(d.sum.types[b].files, d.sum.types[a].files), cmp.Compare(a, b))
	})
	var rows [][]string
	row := func(name string, t typeSum) {
		rows = append(rows, []string{name, humanize.Comma(t.files), humanize.Bytes(uint64(t.bytes)), humanize.Comma(t.lines)}) //nolint:gosec // sizes
	}
	var others typeSum
	for i, name := range names {
		t := d.sum.types[name]
		if i < most || len(names) == most+1 {
			row(name, *t)
			continue
		}
		others.files += t.files
		others.bytes += t.bytes
		others.lines += t.lines
	}
	if others.files > 0 {
		row(fmt.Sprintf("%d other types", len(names)-most), others)
	}
	row("all", typeSum{int64(v.Done), v.Bytes, v.Lines})
	_ = columns(d.out, []string{"MEDIA TYPE", "FILES", "SIZE", "LINES"}, rows, 2)
	d.say("")
	d.say("  submitted %d   done %d   failed %d   lost %d   duplicates %d   recovered %d", v.Submitted, v.Done, v.Failed, v.Lost, v.Duplicates, v.Recovered)
	if v.Failed > 0 || v.Lost > 0 {
		d.say("  the last error: %v", d.sum.lastError)
	}
	if v.RanTwice > 0 {
		d.say("  the lost worker had run %s to the end without having said so: done twice", count(v.RanTwice, "task"))
	}
	mark := "✓"
	text := count(v.Checked, "file") + " read again: all match"
	if v.Mismatches > 0 {
		mark, text = "✗", fmt.Sprintf("%d of %d files read again do not match: %v", v.Mismatches, v.Checked, wrong)
	}
	if v.Changed > 0 {
		text += ", " + strconv.Itoa(v.Changed) + " changed meanwhile"
	}
	d.say("  %s %s", mark, text)
	if v.Lost == 0 {
		d.say("  ✓ nothing was lost, in %.1f s", d.elapsed.Seconds())
	} else {
		d.say("  ✗ %s lost", count(v.Lost, "task"))
	}
}

// banner says what is about to happen.
func (d *demo) banner(skipped []string) {
	d.say("cenote demo: %s in %s", count(len(d.files), "file"), d.dir)
	if d.link.inner != nil {
		d.say("  store    miniredis, embedded in this process; its data ends with it (--redis takes a real one)")
	} else {
		d.say("  store    %s", d.link.said)
	}
	d.say("  workers  %d processes, %d tasks at a time each; a lease of %v says that they live", demoWorkers, demoSlots, demoLease)
	if d.link.raw != "" && !d.flags.json {
		d.say("  watch    cenote queue ls --redis %s", d.watchURL())
	}
	d.say("  A task takes at least %v here, to be watched. Half-way one worker is killed.", d.pace)
	if len(d.files) == d.flags.maxFiles {
		d.say("  There may be more files: --max-files is %d.", d.flags.maxFiles)
	}
	for i, path := range skipped {
		if i == 3 {
			d.say("  ... and %d more directories that cannot be read", len(skipped)-i)
			break
		}
		d.say("  left out, as it cannot be read: %s", path)
	}
	d.say("")
}

// watchURL is the address for another terminal: with the password of the embedded
// store, which was made up for this run, and without that of a real one.
func (d *demo) watchURL() string {
	if d.link.inner != nil {
		return d.link.raw
	}
	return redact(d.link.raw)
}
