//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cenote-go/cenote/queue"
)

func newDigester(t *testing.T) (d *digester, dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return &digester{root: root}, dir
}

func TestDigest(t *testing.T) {
	d, dir := newDigester(t)
	long := bytes.Repeat([]byte("a line that crosses the buffer's end somewhere\n"), 10_000)
	for _, c := range []struct {
		name, mediaType string
		data            []byte
		lines           int64
	}{
		{"empty", "text/plain", nil, 0},
		{"open.txt", "text/plain", []byte("no line end"), 0},
		{"long.txt", "text/plain", long, 10_000},
		{"page.html", "text/html", []byte("<!DOCTYPE html>\n"), 1},
		{"picture.txt", "image/png", []byte("\x89PNG\r\n\x1a\n...."), 2},
		{"data.json", "application/json", []byte("{}\n"), 1},
	} {
		if err := os.WriteFile(filepath.Join(dir, c.name), c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.handle(t.Context(), fileRef{Path: c.name})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		sum := sha256.Sum256(c.data)
		if got.SHA256 != hex.EncodeToString(sum[:]) || got.Size != int64(len(c.data)) || got.Lines != c.lines || got.Type != c.mediaType {
			t.Errorf("%s: %+v; want %d bytes, %d lines, %s, %x", c.name, got, len(c.data), c.lines, c.mediaType, sum)
		}
		f := sampled{c.name, got}
		if same, changed := f.check(dir); !same || changed {
			t.Errorf("%s: the demo's check says same %v, changed %v", c.name, same, changed)
		}
		f.SHA256 = strings.Repeat("0", 64)
		if same, changed := f.check(dir); same || changed {
			t.Errorf("%s with a wrong sum: the demo's check says same %v, changed %v", c.name, same, changed)
		}
	}
}

func TestDigestRefuses(t *testing.T) {
	d, dir := newDigester(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(
		os.WriteFile(outside, []byte("x"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "folder"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{
		"missing": "no such file",
		"link":    "escapes",
		outside:   "escapes",
		"../x":    "escapes",
		"folder":  "not a regular file",
		"pipe":    "not a regular file",
	} {
		_, err := d.handle(t.Context(), fileRef{Path: path})
		fe, ok := errors.AsType[*fileError](err)
		if !ok || fe.Path != path || !strings.Contains(fe.Reason, why) {
			t.Errorf("%s: %#v; want a fileError that says %q", path, err, why)
		}
	}
}

func TestSummaryCounts(t *testing.T) {
	s := &summary{submitted: 6}
	s.begin(nil)
	failure := &queue.TaskError{Message: "no such file"}
	for _, it := range []queue.Item[fileRef, digest]{
		{Index: 0, Out: digest{Type: "a"}},
		{Index: 0, Out: digest{Type: "a"}},            // a second time
		{Index: 2, Out: digest{Type: "a", Size: 3}},   // before its turn
		{Index: 3, Err: failure},                      // the task failed
		{Index: 4, Err: errors.New("nobody answers")}, // lost
		{Index: 5, Out: digest{Type: "b"}},
	} {
		s.add(it)
	}
	if s.done != 3 || s.failed != 1 || s.duplicates != 1 || s.disordered != 1 || s.lost() != 2 {
		t.Errorf("done %d, failed %d, duplicates %d, disordered %d, lost %d; want 3, 1, 1, 1, 2",
			s.done, s.failed, s.duplicates, s.disordered, s.lost())
	}
	if a := s.types["a"]; a.files != 2 || a.bytes != 3 || len(s.sample) != 3 {
		t.Errorf("type a has %+v, the sample %d files", a, len(s.sample))
	}
}

func TestLedgerCountsWhatRanTwice(t *testing.T) {
	l := newLedger(2)
	l.follow(0, strings.NewReader("start t1 false\nheld t1\nstart t2 false\nend t2\nstart t3 fal"))
	if got := l.running(0); len(got) != 1 || got[0] != "t1" {
		t.Fatalf("worker 0 runs %v; want t1", got)
	}
	if l.busy([]int{1, 0}) != 0 || l.busy([]int{0, 1}) != 0 {
		t.Error("the busy worker is not the one that runs t1")
	}
	if !l.waitHeld(t.Context(), 1) {
		t.Error("t1 is not held")
	}
	l.follow(1, strings.NewReader("start t1 true\nend t1\nstart t2 true\nend t2\n"))
	if _, ok := l.waitRestarted(t.Context(), []string{"t1"}); !ok {
		t.Error("t1 was not restarted")
	}
	if again, twice := l.recovered(); again != 2 || twice != 1 {
		t.Errorf("%d tasks were recovered and %d ran twice; want 2 and 1", again, twice)
	}
}
