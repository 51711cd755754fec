package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestPage keeps docs/faults.md true: the tests that it names are there.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, room := range []string{".", "../../internal/store", "../../internal/bubble", "../../consumer", "../../queue"} {
		files, err := filepath.Glob(filepath.Join(room, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(text, -1) {
				there[string(m[1])] = true
			}
		}
	}
	named := regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 15 {
		t.Errorf("docs/faults.md names only %d tests", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("docs/faults.md names %s, which does not exist", name)
		}
	}
}
