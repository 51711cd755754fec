package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// What may have happened. A record's op is one of these.
const (
	opSubmit  = "submit"  // producer: about to submit task n
	opAccept  = "accept"  // producer: Submit returned nil for n, which is task id
	opRefuse  = "refuse"  // producer: the store is full; n was certainly not accepted
	opUnsure  = "unsure"  // producer: Submit failed otherwise; n may have been accepted
	opOutcome = "outcome" // producer: a future of task id said value, or error
	opTold    = "told"    // witness: Redis announced an outcome of task id
	opStart   = "start"   // worker: a run of task id begins
	opEnd     = "end"     // worker: that run is about to return its value
	opBroke   = "broke"   // worker: that run is about to return error instead
	opStats   = "stats"   // worker: its consumer.Stats have changed
	opNext    = "next"    // worker: a run begins of task id, which follows n's run
	opNextEnd = "nextend" // worker: that run is about to return its value
	opBase    = "base"    // worker: what it uses before it begins
	opRest    = "rest"    // worker: what it uses when it has ended
	opKey     = "key"     // bench: Redis has kept a key although all is done
	opConn    = "conn"    // bench: a connection to Redis is left although all is done
)

// record is one line of a history.
type record struct {
	T       int64  `json:"t"` // Unix nanoseconds; all processes are on one machine
	Proc    string `json:"proc"`
	Op      string `json:"op"`
	ID      string `json:"id,omitempty"`
	N       int    `json:"n,omitempty"` // the task's argument, which no other submission has
	Run     string `json:"run,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Token   uint64 `json:"token,omitempty"`
	Entry   string `json:"entry,omitempty"` // told: the reply log's entry
	NoReply bool   `json:"no_reply,omitempty"`
	Then    bool   `json:"then,omitempty"`   // accept: a task follows
	Poison  bool   `json:"poison,omitempty"` // submit: a run of it ends its process
	Batch   string `json:"batch,omitempty"`  // submit: what was submitted by one call
	Use     *use   `json:"use,omitempty"`
	Key     *kept  `json:"key,omitempty"`
	Error   string `json:"error,omitempty"`
	Stats   *stats `json:"stats,omitempty"`
}

// stats is the part of consumer.Stats that tests look at.
type stats struct {
	Succeeded, Refused, Recovered, Lapsed, GivenBack, Crashed, Dead int64
}

// use is what a process uses.
type use struct {
	Goroutines, Files int
}

// kept is a key of Redis.
type kept struct {
	Name    string        `json:"name"`
	Kind    string        `json:"kind"`
	Left    time.Duration `json:"left"` // until it expires; negative for never
	Content string        `json:"content,omitempty"`
}

func (r record) String() string {
	line, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(line)
}

// recorder writes one process's history. It may be used concurrently.
type recorder struct {
	proc string
	file *os.File
	mu   sync.Mutex
	buf  bytes.Buffer
}

// newRecorder makes the history of proc in dir.
func newRecorder(dir, proc string) (*recorder, error) {
	f, err := os.OpenFile(historyPath(dir, proc), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &recorder{proc: proc, file: f}, nil
}

func historyPath(dir, proc string) string { return filepath.Join(dir, proc+".jsonl") }

// separator begins a record, as in RFC 7464. A process that is killed may have written a
// part of one, and another process that writes to the same file goes on behind it.
const separator = 0x1e

// add appends r in one write.
func (h *recorder) add(r record) {
	r.T, r.Proc = time.Now().UnixNano(), h.proc
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	h.buf.WriteByte(separator)
	if err := json.NewEncoder(&h.buf).Encode(r); err != nil {
		panic(fmt.Sprintf("history: %v", err))
	}
	if _, err := h.file.Write(h.buf.Bytes()); err != nil && !errors.Is(err, os.ErrClosed) { // closed: the test has failed
		panic(fmt.Sprintf("history: %v", err))
	}
}

func (h *recorder) close() error { return h.file.Close() }

// readHistory reads one file. A record that its writer was killed in the middle of
// is left out.
func readHistory(path string) ([]record, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // its writer has not come that far
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []record
	lines := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var r record
		at := bytes.LastIndexByte(line, separator)
		if at < 0 {
			return nil, fmt.Errorf("%s line %d is no record: %q", path, n, line)
		}
		if err := json.Unmarshal(line[at+1:], &r); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, n, err)
		}
		out = append(out, r)
	}
}

// readHistories reads all histories of dir.
func readHistories(t testing.TB, dir string) []record {
	t.Helper()
	paths, err := filepath.Glob(historyPath(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	for _, p := range paths {
		rs, err := readHistory(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rs...)
	}
	return all
}
