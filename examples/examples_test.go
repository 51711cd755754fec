// Package examples_test builds every example and runs it, with a store of its own
// and with a redis-server.
package examples_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
)

// patience bounds what hangs; nothing here takes nearly as long.
const patience = 2 * time.Minute

// build compiles an example and returns the path of its program.
func build(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(name))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("go build ./examples/%s: %v\n%s", name, err, out)
	}
	return bin
}

// run runs a program with REDIS_URL set to url, or unset if it is empty, and
// returns its standard output. The program must exit with 0.
func run(t *testing.T, url, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environ(url)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\nstandard output:\n%s\nstandard error:\n%s", filepath.Base(program), err, out, stderr.String())
	}
	return string(out)
}

func environ(url string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "REDIS_URL=") {
			env = append(env, e)
		}
	}
	if url != "" {
		env = append(env, "REDIS_URL="+url)
	}
	return env
}

// onBothStores runs f with the address of the embedded store, which is none, and
// with that of a redis-server.
func onBothStores(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("embedded", func(t *testing.T) { f(t, "") })
	t.Run("redis", func(t *testing.T) { f(t, "redis://"+redistest.Start(t).Addr()) })
}

func equal(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("the example printed\n%s\nwant\n%s", got, want)
	}
}

func TestHello(t *testing.T) {
	bin := build(t, "hello")
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, run(t, url, bin), "Hello, cenote!\n")
	})
}

func TestBatchFiles(t *testing.T) {
	bin := build(t, "batch-files")
	dir := t.TempDir()
	var want []string
	for i := range 300 { // more than a window
		path := filepath.Join(dir, fmt.Sprintf("file-%03d", i))
		data := []byte(strings.Repeat("x", i))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%s %d %x", path, i, sha256.Sum256(data)))
	}
	lines := func(out string) (got []string) {
		for line := range strings.Lines(out) {
			got = append(got, strings.Join(strings.Fields(line), " "))
		}
		return got
	}
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, strings.Join(lines(run(t, url, bin, dir)), "\n"), strings.Join(want, "\n"))
		byCallback := lines(run(t, url, bin, "-callback", dir))
		slices.Sort(byCallback)
		equal(t, strings.Join(byCallback, "\n"), strings.Join(want, "\n"))
	})
}

func TestFanOut(t *testing.T) {
	bin := build(t, "fan-out")
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, run(t, url, bin), `order 1: billing answered INV-0001 over 19.99
order 2: billing answered INV-0002 over 5.00
order 3: billing answered INV-0003 over 123.45
mailer: thank you for order 1
mailer: thank you for order 2
mailer: thank you for order 3
`)
	})
}

func TestTypedErrors(t *testing.T) {
	bin := build(t, "typed-errors")
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, run(t, url, bin), `ada 30: 70 left
bob 30: no account: look up "bob": no such account
ada 80: over the limit by 30
ada -1: a bug, seen at attempt 2: the handler panicked: negative amount
`)
	})
}

func TestCheckout(t *testing.T) {
	bin := build(t, "checkout")
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, run(t, url, bin), `order 1 is paid: R001
mail to ada@example.org: Thank you! Receipt: R001
order 2 failed: order 2: the card was declined
mail to bob@example.org: Your card was declined.
`)
	})
}

func TestPoolOfTwo(t *testing.T) {
	bin := build(t, "pool-of-two")
	tasks := func(out string) (numbers []string) {
		t.Helper()
		out, ok := strings.CutSuffix(out, "ending\n")
		if !ok {
			t.Errorf("the last line is not \"ending\":\n%s", out)
		}
		for line := range strings.Lines(out) {
			m := regexp.MustCompile(`^task (\d) at \d\d:\d\d:\d\d\.\d{3}\n$`).FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("unexpected line %q", line)
			}
			numbers = append(numbers, m[1])
		}
		slices.Sort(numbers)
		return numbers
	}
	if got := tasks(run(t, "", bin, "-task", "20ms")); strings.Join(got, "") != "0123456789" {
		t.Errorf("tasks %v ran, want all ten", got)
	}
	if got := tasks(run(t, "", bin, "-terminate", "-task", "500ms")); len(got) == 0 || len(got) >= 10 {
		t.Errorf("tasks %v ran before the pool was terminated, want some of the ten", got)
	}
}

func TestFutures(t *testing.T) {
	got := map[string][]string{} // by the way they came
	for line := range strings.Lines(run(t, "", build(t, "futures"))) {
		way, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		got[way] = append(got[way], value)
	}
	process := regexp.MustCompile(` by process \d+$`)
	for i, v := range got["one by one"] {
		got["one by one"][i] = process.ReplaceAllString(v, " by a process")
	}
	want := map[string][]string{}
	for n := range 20 {
		want["one by one"] = append(want["one by one"], fmt.Sprintf("%d by a process", n*n))
		want["at the end"] = append(want["at the end"], fmt.Sprintf("%d squared is %d", n, n*n))
		for _, way := range []string{"as it ends", "by callback"} {
			want[way] = append(want[way], fmt.Sprint(n*n))
		}
	}
	for _, way := range []string{"as it ends", "by callback"} { // in whatever order
		slices.Sort(got[way])
		slices.Sort(want[way])
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("the example printed\n%q\nwant\n%q", got, want)
	}
}

func TestProduceConsume(t *testing.T) {
	bin := build(t, "produce-consume")
	onBothStores(t, func(t *testing.T, url string) {
		lines := slices.Sorted(strings.Lines(run(t, url, bin)))
		equal(t, strings.Join(lines, ""), `consumed 0
consumed 1
consumed 2
consumed 3
consumed 4
produced 0
produced 1
produced 2
produced 3
produced 4
`)
	})
}

func TestLeader(t *testing.T) {
	bin := build(t, "leader")
	onBothStores(t, func(t *testing.T, url string) {
		equal(t, run(t, url, bin), "ada would lead\nada leads\nada wrote 1\nada wrote 2\nada wrote 3\nada steps down\n")
	})
	t.Run("killed", func(t *testing.T) {
		url := "redis://" + redistest.Start(t).Addr()
		ada := exec.CommandContext(t.Context(), bin, "-name", "ada", "-writes", "1000000")
		ada.Env = environ(url)
		out, err := ada.StdoutPipe()
		if err == nil {
			err = ada.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		wrote := 0 // by ada, last
		lines := bufio.NewScanner(out)
		for wrote < 2 && lines.Scan() {
			_, _ = fmt.Sscanf(lines.Text(), "ada wrote %d", &wrote)
		}
		time.AfterFunc(time.Second, func() { _ = ada.Process.Kill() }) // while bob waits, or before he comes
		said := run(t, url, bin, "-name", "bob", "-writes", "2")
		for lines.Scan() {
			_, _ = fmt.Sscanf(lines.Text(), "ada wrote %d", &wrote)
		}
		_ = ada.Wait() // it was killed
		var first, second int
		_, err = fmt.Sscanf(said, "bob would lead\nbob leads\nbob wrote %d\nbob wrote %d\nbob steps down\n", &first, &second)
		// What ada wrote last may be in Redis and not on her output.
		if err != nil || first <= wrote || first > wrote+2 || second != first+1 {
			t.Errorf("ada wrote up to %d and was killed; bob says (%v):\n%s", wrote, err, said)
		}
	})
}

// An image that takes more memory than a child may have costs that child, and nobody else.
func TestThumbnails(t *testing.T) {
	bin := build(t, "thumbnails")
	equal(t, run(t, "", bin), `bomb.png     needs too much memory: its process was killed
sample-1.png 200x150
sample-2.png 400x300
sample-3.png 600x450
sample-4.png 800x600
sample-5.png 1000x750
sample-6.png 1200x900
6 of 7 images have a thumbnail
`)
	from, to := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "none.png"), []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	equal(t, run(t, "", bin, from, to), "none.png     failed: png: invalid format: not a PNG file\n0 of 1 images have a thumbnail\n")
}

func TestCrawler(t *testing.T) {
	bin := build(t, "crawler")
	onBothStores(t, func(t *testing.T, url string) {
		for range 2 { // nothing is left behind that would stop the second one
			equal(t, run(t, url, bin), `/ 2 links
/caves 3 links
/caves/dos-ojos 2 links
/caves/sac-actun 1 links
/rivers 2 links
/rivers/usumacinta 1 links
`)
		}
	})
}

func TestChunks(t *testing.T) {
	bin := build(t, "chunks")
	want := `  1000 numbers, their squares add up to 332833500
  2000 numbers, their squares add up to 2664667000
  3000 numbers, their squares add up to 8995500500
  4000 numbers, their squares add up to 21325334000
  5000 numbers, their squares add up to 41654167500
  6000 numbers, their squares add up to 71982001000
  7000 numbers, their squares add up to 114308834500
  8000 numbers, their squares add up to 170634668000
  9000 numbers, their squares add up to 242959501500
 10000 numbers, their squares add up to 333283335000
`
	equal(t, run(t, "", bin, "-local"), want)
	onBothStores(t, func(t *testing.T, url string) { equal(t, run(t, url, bin), want) })
}

func TestPoolOfFour(t *testing.T) {
	bin := build(t, "pool-of-four")
	const squares = "map: [0 1 4 9 16 25 36 49 64 81]\n"
	const finished = `task 0 is finished: 0
task 1 is finished: 1
task 2 is finished: 4
task 3 is finished: 9
task 4 is finished: 16
`
	equal(t, run(t, "", bin, "-task", "20ms", "-deadline", "1m"), squares+`task 0: 0
task 1: 1
task 2: 4
task 3: 9
task 4: 16
`+finished)
	// Nothing is ready when the wait is over before it begins; all of it is later.
	equal(t, run(t, "", bin, "-task", "500ms", "-deadline", "0s"), squares+`task 0: not ready after 0s
task 1: not ready after 0s
task 2: not ready after 0s
task 3: not ready after 0s
task 4: not ready after 0s
`+finished)
}

func TestPythonProducer(t *testing.T) {
	// Debian's own interpreter sees Debian's packages; another python3 may come
	// first on PATH.
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import redis, msgpack").CombinedOutput(); err != nil {
		t.Fatalf("%s cannot import redis and msgpack (%v): run `make deps`, or apt-get install python3-redis python3-msgpack\n%s", python, err, out)
	}
	bin := build(t, "python-producer/worker")
	url := "redis://" + redistest.Start(t).Addr()
	worker := exec.CommandContext(t.Context(), bin)
	worker.Env = environ(url)
	worker.Stderr = os.Stderr
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	// Twice: the second time the worker has been idle and is woken over the bell.
	for range 2 {
		got := run(t, url, python, "python-producer/produce.py")
		want := regexp.MustCompile(`^no numbers: dead at attempt 1 kind='' code='empty': no numbers
not a list: dead at attempt 1 kind='decode' code='': cannot decode: argument into \*main\.Numbers: .*
three numbers: count=3 sum=9 mean=3\.0
$`)
		if !want.MatchString(got) {
			t.Errorf("produce.py printed\n%s\nwant a match of\n%s", got, want)
		}
	}
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker did not end well after SIGTERM: %v", err)
	}
}

// The Redis user that docs/operations.md recommends may do all that Cenote does.
func TestRecommendedUserSuffices(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER cenote .*$`).FindString(string(page))
	if line == "" {
		t.Fatal("docs/operations.md recommends no user")
	}
	var acl []any
	for _, word := range strings.Fields(line) {
		acl = append(acl, word)
	}
	srv := redistest.Start(t)
	if err := srv.Client().Do(t.Context(), acl...).Err(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	url := "redis://cenote:secret@" + srv.Addr()
	for _, name := range []string{"hello", "fan-out", "typed-errors"} {
		run(t, url, build(t, name))
	}
	entries, err := srv.Client().Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if text := fmt.Sprint(e); !strings.Contains(text, "config|get") { // which Cenote does without
			t.Errorf("the user was denied something: %s", text)
		}
	}
}
