package store_test

import (
	"bufio"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
)

// monitor returns what the server executes from now on, a line a command, until
// stop is called.
func monitor(t *testing.T, addr string) (stop func() []string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if ok, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(ok, "+OK") {
		t.Fatalf("MONITOR: %q, %v", ok, err)
	}
	lines := make(chan []string)
	go func() {
		var all []string
		for {
			l, err := r.ReadString('\n')
			if err != nil || strings.Contains(l, `"end of the test"`) {
				break
			}
			all = append(all, strings.TrimSpace(l))
		}
		lines <- all
	}()
	return func() []string {
		defer func() { _ = conn.Close() }()
		return <-lines
	}
}

// arguments splits a line of MONITOR: a stamp, then quoted arguments.
func arguments(t *testing.T, line string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(line, "] ")
	if !ok {
		t.Fatalf("not a line of MONITOR: %q", line)
	}
	var args []string
	for rest != "" {
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%q: %v", rest, err)
		}
		arg, err := strconv.Unquote(q)
		if err != nil {
			t.Fatalf("%q: %v", q, err)
		}
		args = append(args, arg)
		rest = strings.TrimSpace(rest[len(q):])
	}
	return args
}

func tagOf(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	tag, _, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return ""
	}
	return tag
}

// everyDamage does what an audit repairs by each of its ways.
func everyDamage(b *bed) {
	b.t.Helper()
	w := b.worker("slots", long)
	twice := b.submit(msg())[0]
	w.claim(1000)
	nobody := strings.Repeat("n", 16)
	for _, err := range []error{
		b.rdb.HSet(b.ctx(), key("tasks"), strings.Repeat("o", 16), "x").Err(),
		b.rdb.RPush(b.ctx(), key("ready:2"), twice[:]).Err(),
		b.rdb.ZAdd(b.ctx(), key("dead"), redis.Z{Member: nobody}).Err(),
		b.rdb.HSet(b.ctx(), key("notes"), nobody, "1 0 0 0").Err(),
		b.rdb.HSet(b.ctx(), key("run:gone"), "#", "1").Err(),
		b.rdb.Set(b.ctx(), key("result:")+nobody, "x", 0).Err(),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestEveryScriptStaysInOneSlot watches what the scripts do on a real server: each
// key that a script touches bears the hash tag of the keys it declared, or it
// would fail on a cluster.
func TestEveryScriptStaysInOneSlot(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := newBed(t, srv.Client(), nil, srv)
	stop := monitor(t, srv.Addr())
	everyVerb(b)
	everyDamage(b)
	if len(b.audit(true)) < 6 {
		t.Error("an audit does not find what was done")
	}
	if err := b.rdb.Echo(b.ctx(), "end of the test").Err(); err != nil {
		t.Fatal(err)
	}

	tag, scripts, commands := "", 0, 0
	verbs := map[string]bool{}
	for _, l := range stop() {
		args := arguments(t, l)
		name := strings.ToUpper(args[0])
		if !strings.Contains(strings.SplitN(l, "]", 2)[0], " lua") {
			if name != "EVALSHA" && name != "EVAL" {
				continue
			}
			scripts++
			verbs[args[1]] = true
			n, err := strconv.Atoi(args[2])
			if err != nil || n < 1 {
				t.Fatalf("a script declares no keys: %q", args)
			}
			tag = tagOf(args[3])
			for _, key := range args[3 : 3+n] {
				if tag == "" || tagOf(key) != tag {
					t.Errorf("the keys of one script are in several slots: %q", args[3:3+n])
				}
			}
			continue
		}
		commands++
		if slices.Contains([]string{"TIME"}, name) {
			continue
		}
		keys := 0
		for _, a := range args[1:] {
			if strings.HasPrefix(a, "cenote:") {
				keys++
				if tagOf(a) != tag {
					t.Errorf("a script of slot {%s} touches %q: %q", tag, a, args)
				}
			}
		}
		if keys == 0 {
			t.Errorf("a script touches a key outside of Cenote's: %q", args)
		}
	}
	if scripts < 20 || commands < 100 {
		t.Errorf("%d scripts and %d commands were watched: MONITOR was not read to the end", scripts, commands)
	}
}
