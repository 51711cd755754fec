package store

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// An audit must know the keys that keys.go describes, and none else.
func TestAuditKnowsEveryKey(t *testing.T) {
	text, err := os.ReadFile("keys.go")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z:<>, ]+?)\s+(?:HASH|LIST|ZSET|SET|STR|STREAM)`).FindAllStringSubmatch(string(text), -1) {
		for key := range strings.SplitSeq(m[1], ", ") {
			name, _, each := strings.Cut(key, ":")
			described[name] = true
			if k, ok := keyKinds[name]; !ok || k.each != each {
				t.Errorf("keys.go describes %q; keyKinds has %+v", key, k)
			}
		}
	}
	for name := range keyKinds {
		if !described[name] {
			t.Errorf("keyKinds has %q, which keys.go does not describe", name)
		}
	}
}
