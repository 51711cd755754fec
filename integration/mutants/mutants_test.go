package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMutantsFit keeps the table true: each edit has its place in the code as it
// is. Whether the tests see the bugs is for `make mutants` to find out.
func TestMutantsFit(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		if _, err := (runner{root: root}).overlay(t.TempDir(), m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func TestBlame(t *testing.T) {
	for out, want := range map[string]string{
		"=== RUN x\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/mini (0.00s)\nFAIL\n":      "TestA",
		"panic: test timed out after 1s\n\trunning tests:\n\t\tTestB (1s)\n\ngoroutine 1\n": "TestB (hangs)",
		"panic: oh\n\ngoroutine 1 [running]:\n":                                             "panic: oh",
		"FAIL\n":                                                                            "?",
	} {
		if got := blame(out); got != want {
			t.Errorf("%q is blamed on %q, want %q", out, got, want)
		}
	}
}
