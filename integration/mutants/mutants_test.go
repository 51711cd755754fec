package main

import (
	"os"
	"path/filepath"
	"strings"
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

func TestTheFirstTestThatFailsIsBlamed(t *testing.T) {
	for out, want := range map[string]string{
		`{"Action":"output","Package":"p","Output":"hello\n"}` + "\n" +
			`{"Action":"pass","Test":"TestA"}` + "\n" + `{"Action":"fail","Test":"TestB/mini"}` + "\n" + `{"Action":"fail","Test":"TestC"}`: "TestB",
		`{"Action":"pass","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p"}`: "",
		`{"Action":"output","Test":"TestA","Output":"panic: test timed out after 2m0s\n"}` + "\n" +
			`{"Action":"output","Test":"TestA","Output":"\t\tTestHangs/mini (2m0s)\n"}` + "\n" + `{"Action":"fail","Package":"p"}`: "TestHangs",
		"what is no event\n" + `{"Action":"fail","Package":"p"}`: "",
	} {
		if got, _ := (runner{}).follow(strings.NewReader(out)); got != want {
			t.Errorf("%s is blamed on %q, want %q", out, got, want)
		}
	}
}
