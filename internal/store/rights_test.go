package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Rights reads in the scripts what they use: no script may hide that.
func TestEveryCallOfAScriptIsRead(t *testing.T) {
	files, err := luaFiles.ReadDir("lua")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, r := range Roles {
		n, err := r.needs()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range n.scripts {
			used[s.name] = true
		}
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".lua")
		if strings.HasPrefix(name, "_") {
			continue
		}
		if !used[name] {
			t.Errorf("no role runs the script %s", name)
		}
		s := loadScript(name)
		calls := s.calls()
		if n := strings.Count(s.src, "redis.call(") + strings.Count(s.src, "redis.pcall("); n != len(calls) || n == 0 {
			t.Errorf("%s: %d of %d calls name their command", name, len(calls), n)
		}
		if slices.ContainsFunc(calls, func(c string) bool { return strings.HasSuffix(c, "|") }) {
			t.Errorf("%s: a command lacks its second word: %v", name, calls)
		}
	}
}

// The scripts of shared objects are another room's; what they use stands in the selector of
// those who share, and nothing else does.
func TestWhoSharesMayRunTheScripts(t *testing.T) {
	files, err := filepath.Glob("../../shared/lua/*.lua")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	granted := map[string]bool{}
	for _, word := range strings.Fields(strings.Trim(sharing, "()")) {
		if name, ok := strings.CutPrefix(word, "+"); ok {
			granted[name] = false
		}
	}
	for _, name := range []string{"eval", "evalsha", "subscribe", "unsubscribe", "lpush", "rpush"} { // lists name the last two in a variable
		granted[name] = true
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range (&script{src: string(src)}).calls() {
			if _, ok := granted[name]; !ok {
				t.Errorf("%s uses %s, which nobody who shares may", filepath.Base(path), name)
			}
			granted[name] = true
		}
	}
	for name, used := range granted {
		if !used {
			t.Errorf("who shares may use %s, which no script does", name)
		}
	}
}
