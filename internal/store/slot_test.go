package store_test

import (
	"bufio"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
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

// slotOf is the slot of a key: CRC16 (XMODEM) of its hash tag.
func slotOf(key string) int {
	crc := uint16(0)
	if tag := tagOf(key); tag != "" {
		key = tag
	}
	for _, c := range []byte(key) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % 16384
}

func TestSlotOfIsRedisOwn(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 1).Servers[0].Client()
	for _, key := range []string{"cenote:queues", "cenote:link:abc", store.Root("q", 0) + "tasks", store.Root("a.b-c", 7) + "bell"} {
		if want := c.ClusterKeySlot(t.Context(), key).Val(); int64(slotOf(key)) != want {
			t.Errorf("slot of %q: %d, want %d", key, slotOf(key), want)
		}
	}
}

// everyOtherCommand has the store send what everyVerb does not.
func everyOtherCommand(b *bed) {
	b.t.Helper()
	ctx := b.ctx()
	ok := func(what string, err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
	}
	if _, err := b.s.Declare(ctx, "wide", queue.Layout{Kind: queue.KindList, Partitions: 5}); err != nil {
		b.t.Fatal(err)
	}
	for part := range uint16(5) {
		l := store.NewLine("wide", part, "")
		m := msg()
		m.Queue, m.ID = "wide", queue.NewTaskID(part)
		b.submit(m)
		w := b.workerOn(l, "w", long)
		bell := b.s.Bell()
		_, _, err := bell.Wait(ctx, l, "other", time.Second)
		ok("wait at the bell", err)
		ok("close the bell", bell.Close())
		w.claim(1)
		_, err = b.s.Recall(ctx, l, m.ID)
		ok("recall", err)
		ok("forget", b.s.Forget(ctx, "wide", m.ID))
		log := store.ReplyKey("wide", part, "addr")
		_, err = b.s.ReadLog(ctx, log, "", 10)
		ok("read a log", err)
		ok("trim a log", b.s.TrimLog(ctx, log, "1-0"))
		ok("drop a log", b.s.DropLog(ctx, log))
	}
	ref, err := b.s.Share(ctx, "wide", []byte("data"))
	ok("share", err)
	_, err = b.s.Common(ctx, "wide", ref)
	ok("common", err)
	ok("hold a link", b.s.HoldLink(ctx, "addr"))
	_, err = b.s.Link(ctx, "addr")
	ok("ask for a link", err)
	ok("cut a link", b.s.CutLink(ctx, "addr"))
	_, err = b.s.Queues(ctx)
	ok("queues", err)
	_, err = b.s.Groups(ctx, "s")
	ok("groups", err)
	_, _, err = b.s.Lookup(ctx, "wide")
	ok("look up", err)
	ok("drop", b.s.Drop(ctx, "wide"))
}

// TestEveryScriptStaysInOneSlot watches what the store does on a server that is a whole
// cluster by itself, which refuses what is in two slots. Besides, every key that a
// script touches, declared or not, and every key of a command that has several must be
// in one slot.
func TestEveryScriptStaysInOneSlot(t *testing.T) {
	t.Parallel()
	srv := redistest.StartCluster(t, 1).Servers[0]
	b := newBed(t, srv.Client(), nil, srv)
	stop := monitor(t, srv.Addr())
	everyVerb(b)
	everyDamage(b)
	if len(b.audit(true)) < 6 {
		t.Error("an audit does not find what was done")
	}
	everyOtherCommand(b)
	if err := b.rdb.Echo(b.ctx(), "end of the test").Err(); err != nil {
		t.Fatal(err)
	}

	slot, commands := -1, 0
	several := map[string]bool{} // commands outside of scripts with several keys
	scripts := map[string]bool{}
	for _, l := range stop() {
		args := arguments(t, l)
		name := strings.ToUpper(args[0])
		script := strings.Contains(strings.SplitN(l, "]", 2)[0], " lua")
		var keys []string
		switch name {
		case "EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO":
			n, err := strconv.Atoi(args[2])
			if err != nil || n < 1 {
				t.Fatalf("a script declares no keys: %q", args)
			}
			if strings.HasPrefix(name, "EVALSHA") {
				scripts[args[1]] = true
			}
			keys = args[3 : 3+n]
		default:
			for _, a := range args[1:] {
				if strings.HasPrefix(a, "cenote:") {
					keys = append(keys, a)
				}
			}
			if script && len(keys) == 0 && name != "TIME" {
				t.Errorf("a script touches a key outside of Cenote's: %q", args)
			}
			if !script && len(keys) > 1 {
				several[name] = true
			}
		}
		if len(keys) == 0 {
			continue
		}
		commands++
		if !script {
			slot = slotOf(keys[0])
		}
		for _, key := range keys {
			if slotOf(key) != slot {
				t.Errorf("slot %d, and %q is in %d: %q", slot, key, slotOf(key), args)
			}
		}
	}
	files, err := os.ReadDir("lua")
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "_") {
			want++
		}
	}
	if len(scripts) != want || commands < 200 {
		t.Errorf("%d of %d scripts and %d commands were watched", len(scripts), want, commands)
	}
	for _, name := range []string{"BLMOVE", "UNLINK"} {
		if !several[name] {
			t.Errorf("no %s with several keys was seen: %v", name, several)
		}
	}
}
