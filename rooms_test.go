// Package cenote_test checks what holds for the module as a whole.
package cenote_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module  = "github.com/cenote-go/cenote"
	goRedis = "github.com/redis/go-redis/v9"
	msgpack = "github.com/vmihailenco/msgpack/v5"
	zap     = "go.uber.org/zap"
	backoff = "github.com/cenkalti/backoff/v5"
)

// room is who a package may import, by itself: packages of this module, and
// others. The standard library is everybody's.
type room struct {
	inside  []string
	outside []string
}

// rooms is the plan of the house, floor by floor. A room that is not in it does
// not exist; see docs/internals.md before adding one.
var rooms = map[string]room{
	"queue": {outside: []string{msgpack}},
	"seal":  {inside: []string{"queue"}},

	"internal/store": {inside: []string{"queue", "seal"}, outside: []string{goRedis, goRedis + "/maintnotifications"}},
	"internal/run":   {inside: []string{"queue"}},
	"internal/child": {inside: []string{"queue"}},

	"producer": {inside: []string{"queue", "seal", "internal/store"}, outside: []string{goRedis}},
	"consumer": {
		inside:  []string{"queue", "seal", "internal/store", "internal/run", "internal/child"},
		outside: []string{goRedis, zap, zap + "/zapcore", backoff},
	},
	"shared": {inside: []string{"queue", "internal/store"}, outside: []string{goRedis}},

	"producer/flow": {inside: []string{"queue", "producer", "internal/store"}, outside: []string{goRedis}},
	"producer/cron": {inside: []string{"queue", "producer", "internal/store"}, outside: []string{goRedis}},
	"pool":          {inside: []string{"queue", "internal/run", "internal/child", "producer"}},
	"admin":         {inside: []string{"queue", "internal/store"}, outside: []string{goRedis}},

	"admin/dashboard": {inside: []string{"queue", "internal/store", "admin"}},

	// For the tests of those who use all this: nothing else imports it.
	"queue/queuetest": {
		inside:  []string{"queue", "internal/run", "internal/embedded", "producer", "consumer", "pool"},
		outside: []string{goRedis},
	},

	"internal/bubble":    {inside: []string{"internal/embedded"}, outside: []string{goRedis}},
	"internal/embedded":  {outside: []string{"github.com/alicebob/miniredis/v2", "github.com/alicebob/miniredis/v2/server", goRedis}},
	"internal/fuzztest":  {},
	"internal/proctest":  {},
	"internal/redistest": {inside: []string{"internal/proctest", "internal/embedded"}, outside: []string{"github.com/alicebob/miniredis/v2", goRedis}},
}

// attic holds what may import anything, and what nothing below may import.
var attic = []string{"cmd", "examples", "integration", "docs", "tools"}

type pkg struct {
	ImportPath string
	Name       string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Imports,Deps", "./...")
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 4 {
		t.Fatalf("go list knows %d packages of this module", len(all))
	}
	return all
}

// name is the package's room, or false for a package of somebody else.
func name(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func inAttic(room string) bool {
	first, _, _ := strings.Cut(room, "/")
	return room == "" || slices.Contains(attic, first)
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		here, _ := name(p.ImportPath)
		if inAttic(here) {
			continue
		}
		r, known := rooms[here]
		if !known {
			t.Errorf("%s is not in the plan of the rooms; give it a place there, or move it to one that has", here)
			continue
		}
		for _, imp := range p.Imports {
			if standard(imp) {
				continue
			}
			if other, ours := name(imp); ours {
				if !slices.Contains(r.inside, other) {
					t.Errorf("%s imports %s; it may import %v of this module", here, other, r.inside)
				}
				continue
			}
			if !slices.Contains(r.outside, imp) {
				t.Errorf("%s imports %s; it may import %v from outside", here, imp, r.outside)
			}
		}
	}
}

// TestRoomsDoNotReachWhatTheyMustNot looks at what is imported by way of others.
func TestRoomsDoNotReachWhatTheyMustNot(t *testing.T) {
	never := map[string][]string{
		"queue":          {goRedis, zap, module + "/internal", "github.com/alicebob/miniredis"},
		"seal":           {goRedis, zap, module + "/internal", "github.com/alicebob/miniredis"},
		"internal/store": {zap, module + "/producer", module + "/consumer"},
		"internal/run":   {goRedis, zap},
		"internal/child": {goRedis, zap},
		"producer":       {zap, module + "/consumer", module + "/internal/run", "github.com/alicebob/miniredis"},
		"consumer":       {module + "/producer", "github.com/alicebob/miniredis"},
		"pool":           {module + "/consumer", zap},
		"cmd/cenote":     {"testing"},
		"admin":          {module + "/producer", module + "/consumer"},
	}
	// What only tests may reach, with all that it brings.
	nowhere := []string{"github.com/Shopify/toxiproxy"}
	checked := 0
	for _, p := range packages(t) {
		here, _ := name(p.ImportPath)
		for _, no := range append(nowhere, never[here]...) {
			checked++
			for _, dep := range p.Deps {
				if dep == no || strings.HasPrefix(dep, no+"/") {
					t.Errorf("%s reaches %s", here, dep)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("nothing was checked: no room has the name that this test knows")
	}
}

func TestThePlanIsOneDirection(t *testing.T) {
	var visit func(at string, path []string)
	visit = func(at string, path []string) {
		if slices.Contains(path, at) {
			t.Fatalf("the plan has a circle: %v -> %s", path, at)
		}
		for _, next := range rooms[at].inside {
			visit(next, append(path, at))
		}
	}
	for r := range rooms {
		visit(r, nil)
	}
}
