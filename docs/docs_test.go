// Package docs_test keeps the documentation true: what it quotes is compared
// with the code.
package docs_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// golden returns the hex of the vectors in one of package queue's files, by name.
func golden(t *testing.T, file string) map[string]string {
	t.Helper()
	var vs []struct{ Name, Hex string }
	if err := json.Unmarshal([]byte(read(t, "../queue/testdata/wire/"+file)), &vs); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	byName := map[string]string{}
	for _, v := range vs {
		byName[v.Name] = v.Hex
	}
	return byName
}

// tooLong is the length in hex digits from which a vector is left out of the
// page: it would be nothing but a long line.
const tooLong = 400

func TestWireVectorsAreTrue(t *testing.T) {
	_, vectors, ok := strings.Cut(read(t, "wire.md"), "## Golden vectors")
	if !ok {
		t.Fatal("docs/wire.md has no golden vectors")
	}
	messages, outcomes, ok := strings.Cut(vectors, "### Outcomes")
	if !ok {
		t.Fatal("docs/wire.md has no outcomes")
	}
	check := func(section, file string, again func([]byte) ([]byte, error)) {
		want := golden(t, file)
		for _, row := range regexp.MustCompile("(?m)^\\| (.+) \\| `([0-9a-f]+)` \\|$").FindAllStringSubmatch(section, -1) {
			name, digits := row[1], row[2]
			if want[name] != digits {
				t.Errorf("docs/wire.md gives %q as %s, queue/testdata/wire/%s as %q", name, digits, file, want[name])
			}
			delete(want, name)
			wire, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := again(wire); err != nil || hex.EncodeToString(got) != digits {
				t.Errorf("%q: read and written again it is %x (error %v), docs/wire.md says %s", name, got, err, digits)
			}
		}
		for name, digits := range want {
			if len(digits) <= tooLong {
				t.Errorf("docs/wire.md lacks the vector %q: add | %s | `%s` |", name, name, digits)
			}
		}
	}
	check(messages, "messages.json", func(wire []byte) ([]byte, error) {
		m, err := queue.ParseMessage(wire)
		if err != nil {
			return nil, err
		}
		return m.AppendWire(nil), nil
	})
	check(outcomes, "outcomes.json", func(wire []byte) ([]byte, error) {
		o, err := queue.ParseOutcome(wire)
		if err != nil {
			return nil, err
		}
		return o.AppendWire(nil), nil
	})
}

// The kinds of errors that package queue writes are those of the page.
func TestWireNamesEveryKind(t *testing.T) {
	_, page, _ := strings.Cut(read(t, "wire.md"), "\nThe kinds: ")
	page, _, ok := strings.Cut(page, "\n\n")
	_, code, there := strings.Cut(read(t, "../queue/errors.go"), "kindNames = map[string]error{")
	code, _, _ = strings.Cut(code, "\n}")
	if !ok || !there {
		t.Fatal("docs/wire.md does not list the kinds, or package queue has them elsewhere")
	}
	for _, m := range regexp.MustCompile(`"(\w+)": +Err`).FindAllStringSubmatch(code, -1) {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("docs/wire.md does not say what the kind %q is", m[1])
		}
	}
}

func TestWireIDIsTrue(t *testing.T) {
	m := regexp.MustCompile("`([0-9a-f]{32})` is `([0-9a-z]{26})`").FindStringSubmatch(read(t, "wire.md"))
	if m == nil {
		t.Fatal("docs/wire.md shows no id in both forms")
	}
	id, err := queue.ParseTaskID(m[2])
	if err != nil || hex.EncodeToString(id[:]) != m[1] {
		t.Errorf("docs/wire.md says that %s is %s; it is %x (error %v)", m[2], m[1], id[:], err)
	}
}

// The script that the page gives is the one that the example runs.
func TestWireScriptIsTheExamples(t *testing.T) {
	script := block(t, "wire.md", "lua")
	_, script, _ = strings.Cut(script, "\n") // the comment with the keys
	python := read(t, "../examples/python-producer/produce.py")
	if !strings.Contains(python, `SUBMIT = """`+"\n"+script+`"""`) {
		t.Errorf("the script in docs/wire.md is not the one in examples/python-producer/produce.py:\n%s", script)
	}
}

// The program in the README is the hello example, which the examples' tests run.
func TestReadmeProgramIsTheExample(t *testing.T) {
	if got, want := block(t, "../README.md", "go"), read(t, "../examples/hello/main.go"); got != want {
		t.Errorf("the first Go program in README.md is not examples/hello/main.go; it is\n%s\nwant\n%s", got, want)
	}
}

// What the README gives for a call of Python's is a part of an example that
// package pool's tests run.
func TestReadmeCallsAreTheExamples(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../README.md"), "\n## Coming from multiprocessing and concurrent.futures\n")
	table, _, ok := strings.Cut(section, "\n### Differences\n")
	if !ok {
		t.Fatal("README.md has no section for those who come from Python, with a part on the differences")
	}
	code := read(t, "../pool/coming_from_test.go")
	rows := regexp.MustCompile(`(?m)^\| [^|-][^|]* \| ([^|]+) \|$`).FindAllStringSubmatch(table, -1)
	if len(rows) < 2 {
		t.Fatal("the table has no rows")
	}
	for _, row := range rows[1:] { // below the head
		for _, form := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !strings.Contains(code, form[1]) {
				t.Errorf("README.md gives `%s`, which is not in pool/coming_from_test.go", form[1])
			}
		}
	}
}

// The Go that the page on tests shows is a part of an example's tests.
func TestTestingShowsTheExamples(t *testing.T) {
	code := read(t, "../examples/checkout/shop_test.go")
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?)```\n").FindAllStringSubmatch(read(t, "testing.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/testing.md shows no Go")
	}
	for _, b := range blocks {
		if !strings.Contains(code, b[1]) {
			t.Errorf("docs/testing.md shows what is not in examples/checkout/shop_test.go:\n%s", b[1])
		}
	}
}

// block returns the first fenced block of a language in a page.
func block(t *testing.T, path, language string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)```\n").FindStringSubmatch(read(t, path))
	if m == nil {
		t.Fatalf("%s has no %s block", path, language)
	}
	return m[1]
}

// Every link between the project's own pages leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../README.md", "../examples/python-producer/README.md")
	code := regexp.MustCompile("(?s)\n```.*?\n```\n|`[^`\n]+`")
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`) // no colon: nothing outside
	links := 0
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), "\n"), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no links were found")
	}
}

// Every error that package queue names has its row in the operator's table.
func TestOperationsNamesEveryError(t *testing.T) {
	_, page, ok := strings.Cut(read(t, "operations.md"), "## What errors mean")
	if !ok {
		t.Fatal("docs/operations.md has no table of errors")
	}
	for _, m := range regexp.MustCompile(`(?m)^\s(Err[A-Z]\w+)\s+= errors\.New`).FindAllStringSubmatch(read(t, "../queue/errors.go"), -1) {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("docs/operations.md does not say what to do about queue.%s", m[1])
		}
	}
}

// The page of keys has what internal/store/keys.go has, and nothing else.
func TestInternalsKnowsTheKeys(t *testing.T) {
	inCode := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z:<>, ]+?)\s+(?:HASH|LIST|ZSET|SET|STR|STREAM)`).FindAllStringSubmatch(read(t, "../internal/store/keys.go"), -1) {
		for _, key := range strings.Split(m[1], ", ") {
			inCode[key] = true
		}
	}
	if len(inCode) < 10 {
		t.Fatalf("internal/store/keys.go describes %d keys; was its comment changed?", len(inCode))
	}
	inPage := map[string]bool{}
	_, page, _ := strings.Cut(read(t, "internals.md"), "## Keys")
	page, _, _ = strings.Cut(page, "## States")
	page, _, _ = strings.Cut(page, "What programs share") // those keys are of no queue
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\| [A-Z]").FindAllStringSubmatch(page, -1) {
		for _, key := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			inPage[regexp.MustCompile(`ready:\d`).ReplaceAllString(key[1], "ready:<p>")] = true
		}
	}
	for key := range inCode {
		if !inPage[key] {
			t.Errorf("docs/internals.md lacks the key %q", key)
		}
	}
	for key := range inPage {
		if !inCode[key] {
			t.Errorf("docs/internals.md has the key %q, which internal/store/keys.go does not describe", key)
		}
	}
}

// Every test that the page of guarantees names exists, with its part.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	code := ""
	for _, pattern := range []string{"../integration/faults/*_test.go", "../producer/*_test.go", "../internal/store/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			code += read(t, f)
		}
	}
	_, page, ok := strings.Cut(read(t, "guarantees.md"), "## By the Redis behind it")
	if !ok {
		t.Fatal("docs/guarantees.md has no tables by the Redis behind it")
	}
	tables, _, _ := strings.Cut(page, "### What Replicated means")
	for _, row := range regexp.MustCompile(`(?m)^\| .*\|$`).FindAllString(tables, -1) {
		if !strings.Contains(row, "`Test") && !strings.Contains(row, "no test: ") && !strings.HasSuffix(row, "| shown by |") {
			t.Errorf("docs/guarantees.md names no test for %s", row)
		}
	}
	names := regexp.MustCompile("`(Test\\w+)(?:/([a-z]+))?`").FindAllStringSubmatch(page, -1)
	if len(names) < 15 {
		t.Errorf("docs/guarantees.md names %d tests; was their form changed?", len(names))
	}
	for _, n := range names {
		_, body, ok := strings.Cut(code, "\nfunc "+n[1]+"(")
		body, _, _ = strings.Cut(body, "\n}\n")
		if !ok || n[2] != "" && !strings.Contains(body, `"`+n[2]+`"`) {
			t.Errorf("docs/guarantees.md names %s, which is no test", n[0])
		}
	}
}
