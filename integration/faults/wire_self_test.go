package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// ends are both ends of one connection over a wire.
type ends struct {
	t              *testing.T
	client, server net.Conn
}

// connected makes a wire to a listener of its own, and returns a function that
// connects over it.
func connected(t *testing.T) (*wire, func() ends) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	w := newWire(t, ln.Addr().String())
	return w, func() ends {
		t.Helper()
		client, err := net.Dial("tcp", w.addr())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []net.Conn{client, server} {
			t.Cleanup(func() { _ = c.Close() })
		}
		return ends{t, client, server}
	}
}

// say sends text from one end.
func (e ends) say(from net.Conn, text string) {
	e.t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		e.t.Fatal(err)
	}
}

// hear waits for text, and nothing else, at the other end.
func (e ends) hear(at net.Conn, text string) {
	e.t.Helper()
	_ = at.SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(text))
	if n, err := io.ReadFull(at, got); err != nil || string(got) != text {
		e.t.Fatalf("heard %.60q (%d bytes) and %v, want %.60q", got[:n], n, err, text)
	}
}

// nothing looks for a moment whether anything arrives. What arrives later it does not
// see.
func (e ends) nothing(at net.Conn) {
	e.t.Helper()
	_ = at.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var b [1]byte
	if n, err := at.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		e.t.Fatalf("heard %q and %v on a wire that is silent", b[:n], err)
	}
}

// TestWire holds the wire to what the other tests expect of it.
func TestWire(t *testing.T) {
	before := goleak.IgnoreCurrent()
	long := strings.Repeat("0123456789abcdef", 32<<10) // 512 KiB: more than toxiproxy takes at once

	t.Run("a good one carries all, both ways", func(t *testing.T) {
		_, connect := connected(t)
		e := connect()
		go func() { _, _ = io.WriteString(e.client, long) }()
		e.hear(e.server, long)
		e.say(e.server, "yes")
		_ = e.server.Close()
		e.hear(e.client, "yes") // before the end
		if _, err := e.client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end of the other side: %v", err)
		}
	})
	t.Run("silence holds what is sent, and delivers it", func(t *testing.T) {
		w, connect := connected(t)
		old := connect()
		w.set(silent(), silent())
		for _, e := range []ends{old, connect()} {
			e.say(e.client, "ping")
			e.say(e.server, "pong")
			e.nothing(e.server)
			e.nothing(e.client)
			w.mend()
			e.hear(e.server, "ping")
			e.hear(e.client, "pong")
			w.set(silent(), silent())
		}
		go func() {
			_, _ = io.WriteString(old.client, long)
			_ = old.client.Close()
		}()
		old.nothing(old.server)
		w.set(silent(), way{}) // silent again: nothing is lost between
		w.mend()
		old.hear(old.server, long)
		if _, err := old.server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after what was held back: %v", err)
		}
	})
	t.Run("silence in one direction leaves the other alone", func(t *testing.T) {
		w, connect := connected(t)
		old := connect()
		w.set(silent(), way{})
		for _, e := range []ends{old, connect()} {
			e.say(e.client, "ping")
			e.say(e.server, "pong")
			e.hear(e.client, "pong")
			e.nothing(e.server)
		}
		w.set(way{}, silent())
		old.hear(old.server, "ping")
		old.say(old.server, "pong")
		old.nothing(old.client)
		w.mend()
		old.hear(old.client, "pong")
	})
	t.Run("a delay is one for all, and keeps their order", func(t *testing.T) {
		w, connect := connected(t)
		old := connect()
		w.set(way{}, way{delay: 60 * time.Millisecond, jitter: 20 * time.Millisecond})
		for _, e := range []ends{old, connect()} {
			began := time.Now()
			e.say(e.server, "pong")
			e.hear(e.client, "pong")
			if took := time.Since(began); took < 40*time.Millisecond {
				t.Errorf("arrived after %v, before 60 ms less 20", took)
			}
			e.say(e.client, "ping")
			e.hear(e.server, "ping")
			for _, word := range []string{"a", "b", "c", "d"} {
				e.say(e.server, word)
			}
			e.hear(e.client, "abcd")
		}
		// What is late arrives at once when the wire is mended.
		w.set(way{delay: time.Hour}, way{})
		old.say(old.client, "late")
		old.nothing(old.server)
		w.mend()
		old.hear(old.server, "late")
	})
	t.Run("a narrow one takes its time", func(t *testing.T) {
		w, connect := connected(t)
		old := connect()
		w.set(way{rate: 64 << 10}, way{})
		for _, e := range []ends{old, connect()} {
			began := time.Now()
			e.say(e.client, long[:16<<10])
			e.hear(e.server, long[:16<<10])
			if took := time.Since(began); took < 200*time.Millisecond { // 16 KiB of 66 KB a second
				t.Errorf("16 KiB at 64 KiB a second arrived after %v", took)
			}
		}
		// What waits for its turn is not lost when the wire is mended.
		w.set(way{delay: time.Millisecond, rate: 2000}, way{})
		go func() { _, _ = io.WriteString(old.client, long) }()
		old.hear(old.server, long[:100])
		w.mend()
		old.hear(old.server, long[100:])
	})
	t.Run("a limit counts for each connection, and ends it", func(t *testing.T) {
		w, connect := connected(t)
		old := connect()
		old.say(old.server, "before") // does not count
		old.hear(old.client, "before")
		w.set(way{}, way{limit: 10})
		for _, e := range []ends{old, connect()} {
			go func() { _, _ = io.WriteString(e.server, long) }()
			got, err := io.ReadAll(e.client)
			if string(got) != long[:10] {
				t.Errorf("heard %.60q and %v, want 10 bytes", got, err)
			}
			if _, err := io.Copy(io.Discard, e.server); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the other side goes on: %v", err)
			}
		}
		w.mend()
		e := connect()
		e.say(e.server, long[:20])
		e.hear(e.client, long[:20])
	})
	t.Run("a reset is one", func(t *testing.T) {
		w, connect := connected(t)
		for _, down := range []way{{}, silent()} {
			e := connect()
			w.set(way{}, down)
			e.say(e.client, "ping")
			e.hear(e.server, "ping")
			w.reset()
			for _, c := range []net.Conn{e.client, e.server} {
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("after a reset: %v", err)
				}
			}
		}
		w.mend()
		e := connect()
		e.say(e.client, "ping")
		e.hear(e.server, "ping")
	})
	t.Run("nothing keeps it from being closed or leaves anything behind", func(t *testing.T) {
		w, connect := connected(t)
		flood := func(c net.Conn) { // until the connection ends; nobody reads
			go func() {
				for {
					if _, err := c.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
						return
					}
				}
			}()
		}
		bad := []way{{}, silent(), {delay: time.Hour}, {rate: 1000}, {limit: 100}}
		for _, as := range append(bad, way{}) {
			w.set(as, as)
			for range 3 {
				e := connect()
				flood(e.client)
				flood(e.server)
			}
			w.reset()
		}
		for range 3 {
			e := connect()
			flood(e.client)
			flood(e.server)
		}
		w.close()
		if conn, err := net.Dial("tcp", w.addr()); err == nil {
			_ = conn.Close()
			t.Error("a wire that is closed takes connections")
		}
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
