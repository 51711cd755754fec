package queue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "image.resize": true, "A-Z_0.9:x": true, strings.Repeat("n", queue.MaxName): true, "-": true, ".": true,
		"": false, strings.Repeat("n", queue.MaxName+1): false, "a b": false, "a/b": false, "{a}": false, "a*": false, "a?": false,
		"[a]": false, "naïve": false, "a\n": false, "a\x00": false, "@a": false, "a\xff": false,
	} {
		err := queue.CheckName("queue", name)
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && !errors.Is(err, queue.ErrName) {
			t.Errorf("%q: %v is not ErrName", name, err)
		}
	}
}

func TestEveryByteOfANameIsChecked(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"
	for c := range 256 {
		for _, name := range []string{string([]byte{byte(c)}), "a" + string([]byte{byte(c)}) + "b"} {
			if got, want := queue.CheckName("x", name) == nil, strings.IndexByte(allowed, byte(c)) >= 0; got != want {
				t.Errorf("%q: taken is %v, want %v", name, got, want)
			}
		}
	}
}

func TestNameErrorsSayWhatAndHow(t *testing.T) {
	err := queue.CheckName("consumer group", "a/b")
	for _, part := range []string{"consumer group", `"a/b"`, "'/'", "position 1", "use only"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if long := queue.CheckName("queue", strings.Repeat("n", 1<<20)).Error(); len(long) > 200 {
		t.Errorf("the error repeats all of a long name: %d bytes", len(long))
	}
}
