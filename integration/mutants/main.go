// Command mutants plants bugs in the protocol, one at a time, and runs the tests
// over each: a bug that no test sees is a test that is missing. It changes nothing
// in the source tree: what is planted goes to the compiler as an overlay. Run it
// with `make mutants`.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

func main() {
	only := flag.String("only", "", "plant only the mutants whose name matches this regular expression")
	limit := flag.Duration("timeout", 2*time.Minute, "how long the tests over one mutant may take; one that hangs them is caught")
	verbose := flag.Bool("v", false, "show what the tests say")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *limit, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to do
	}
}

func run(ctx context.Context, only string, limit time.Duration, verbose bool) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("where is the module? run this inside of it: %w", err)
	}
	r := runner{root: strings.TrimSpace(string(out)), limit: limit, verbose: verbose}

	var todo []mutant
	controls := map[string]bool{}
	for _, m := range mutants {
		if wanted.MatchString(m.name) {
			todo = append(todo, m)
			controls[m.tests] = true
		}
	}
	if len(todo) == 0 {
		return fmt.Errorf("no mutant is called anything like %q", only)
	}
	for tests := range controls {
		switch v, err := r.plant(ctx, mutant{tests: tests}); {
		case err != nil:
			return err
		case v.caught:
			return fmt.Errorf("%s fails by itself: %s; mend that first, or nothing can be said about mutants", tests, v.by)
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "mutant\tcaught by\ttime\t")
	caught := 0
	for i, m := range todo {
		progress("\r\x1b[K%d of %d, %d caught: %s", i+1, len(todo), caught, m.name)
		v, err := r.plant(ctx, m)
		progress("\r\x1b[K")
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		by := "NOBODY"
		if v.caught {
			caught++
			by = v.by
		}
		fmt.Fprintf(table, "%s\t%s\t%.1fs\t\n", m.name, by, v.took.Seconds())
		if verbose {
			_ = table.Flush()
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%d of %d mutants caught\n", caught, len(todo))
	if caught < len(todo) {
		return errors.New("a mutant lives: write the test that sees it")
	}
	return nil
}

// progress tells a person what goes on.
func progress(format string, args ...any) {
	if term.IsTerminal(int(os.Stderr.Fd())) { //nolint:gosec // a descriptor
		fmt.Fprintf(os.Stderr, format, args...)
	}
}

// runner runs tests over mutants.
type runner struct {
	root    string
	limit   time.Duration
	verbose bool
}

type verdict struct {
	caught bool
	by     string // the first test that failed
	took   time.Duration
}

// plant runs the mutant's tests with its edits. A test that fails over it must fail
// once more by itself: on a busy machine a test may fail for another reason. The
// error is about the mutant itself: an edit that fits nowhere, code that does not
// compile.
func (r runner) plant(ctx context.Context, m mutant) (v verdict, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return v, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := r.overlay(dir, m)
	if err != nil {
		return v, err
	}
	args := append([]string{"-overlay", overlay}, strings.Fields(m.tests)...)
	began := time.Now()
	for innocent := []string{}; ; {
		blamed, err := r.test(ctx, append(args, "-skip", "^("+strings.Join(innocent, "|")+")$"))
		if err != nil || blamed == "" {
			return verdict{took: time.Since(began)}, err
		}
		again, err := r.test(ctx, append(args, "-run", "^"+blamed+"$"))
		if err != nil || again != "" {
			return verdict{caught: err == nil, by: blamed, took: time.Since(began)}, err
		}
		innocent = append(innocent, blamed)
	}
}

// test runs go test and returns the first test that failed, or nothing.
func (r runner) test(ctx context.Context, args []string) (blamed string, err error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-timeout", r.limit.String()}, args...)...)
	cmd.Dir = r.root
	// The first failure says all there is to know: the tests, and all that they have
	// started, end then.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	blamed, said := r.follow(pipe)
	if blamed != "" {
		_ = cmd.Cancel()
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case blamed != "" || err == nil:
		return blamed, nil
	}
	return "", fmt.Errorf("no test failed, but go test did: %w\n%s", err, said)
}

// hung is how go test names a test that was still running.
var hung = regexp.MustCompile(`^\t+(Test\w+)\S* \(\d`)

// follow reads what go test -json says until a test has failed, and returns that
// test and what was said besides events of tests.
func (r runner) follow(from io.Reader) (blamed string, said []byte) {
	timedOut := false
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e.Output = lines.Text() + "\n"
		}
		if r.verbose {
			_, _ = os.Stdout.WriteString(e.Output)
		}
		if e.Test == "" {
			said = append(said, e.Output...)
		}
		// Of a test that hangs until go test ends it, go test only says which it was.
		if m := hung.FindStringSubmatch(e.Output); m != nil && timedOut {
			return m[1], said
		}
		timedOut = timedOut || strings.HasPrefix(e.Output, "panic: test timed out")
		if e.Action == "fail" && e.Test != "" {
			blamed, _, _ = strings.Cut(e.Test, "/")
			return blamed, said
		}
	}
	return "", said
}

// overlay writes the mutant's files into dir, and the file that tells go of them.
func (r runner) overlay(dir string, m mutant) (string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(r.root, e.file)
		if files[path] == "" {
			data, err := os.ReadFile(path) //nolint:gosec // a file of this module
			if err != nil {
				return "", err
			}
			files[path] = string(data)
		}
		if n := strings.Count(files[path], e.old); n != 1 {
			return "", fmt.Errorf("%s has %d places that read %q, want one: adapt the mutant to the code", e.file, n, e.old)
		}
		files[path] = strings.Replace(files[path], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for path, text := range files {
		planted := filepath.Join(dir, fmt.Sprint(len(replace), filepath.Base(path)))
		if err := os.WriteFile(planted, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = planted
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, data, 0o600)
}
