package store

import (
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
