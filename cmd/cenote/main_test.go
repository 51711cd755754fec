package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cenote-go/cenote/internal/redistest"
)

// TestMain lets the test binary be the program, too: by the name of cenote.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cenote": main})
}

// TestScripts runs testdata/script. $REDIS is the address of a database of a real
// redis-server that each script has for itself; the commands that are not of
// testscript itself are those below.
func TestScripts(t *testing.T) {
	server := redistest.Start(t)
	locked := redistest.Start(t, "--requirepass", "sesame")
	secure, certs := startTLS(t)
	var database atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("REDIS", fmt.Sprintf("redis://%s/%d", server.Addr(), database.Add(1)))
			e.Setenv("LOCKED", locked.Addr())
			e.Setenv("TLS", secure)
			e.Setenv("CERTS", certs)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":       scriptCode,
			"json":       scriptJSON,
			"eventually": scriptEventually,
			"seq":        scriptSeq,
			"redis":      scriptRedis,
		},
	})
}

// scriptCode runs a command that is to exit with a code: code 2 cenote ...
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("the exit code is %s; want %s", got, args[0])
	}
}

// scriptJSON compares fields of the last line of stdout: json lost=0 done=3
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var fields map[string]any
	d := json.NewDecoder(strings.NewReader(lines[len(lines)-1]))
	d.UseNumber()
	ts.Check(d.Decode(&fields))
	for _, a := range args {
		name, want, _ := strings.Cut(a, "=")
		if got, ok := fields[name]; !ok || (fmt.Sprint(got) == want) == neg {
			ts.Fatalf("%s is %v in %s", name, got, lines[len(lines)-1])
		}
	}
}

// scriptEventually runs a command until its stdout has a text: eventually TEXT command...
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually TEXT command...")
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && strings.Contains(out, args[0]) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("%q did not come in 30 s: %v\n%s", args[0], err, out)
		}
	}
}

// scriptSeq writes the numbers from 1 to N into a file: seq N file
func scriptSeq(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[0], &n); neg || err != nil {
		ts.Fatalf("usage: seq N file")
	}
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	for i := range n {
		_, err := io.WriteString(f, fmt.Sprintln(i+1))
		ts.Check(err)
	}
	ts.Check(f.Close())
}

// scriptRedis sends a command to the script's Redis: redis SET key value
func scriptRedis(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: redis COMMAND...")
	}
	o, err := redis.ParseURL(ts.Getenv("REDIS"))
	ts.Check(err)
	rdb := redis.NewClient(o)
	defer func() { _ = rdb.Close() }()
	words := make([]any, len(args))
	for i, a := range args {
		words[i] = a
	}
	if err := rdb.Do(context.Background(), words...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		ts.Fatalf("%v: %v", args, err)
	}
}
