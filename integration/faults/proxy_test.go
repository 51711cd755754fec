package faults

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// proxy stands between clients and Redis and understands what goes through: it
// can cut a connection between the execution of a command and its reply, and hold
// a command back.
type proxy struct {
	t      testing.TB
	ln     net.Listener
	target string

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	cut     func(exchange) bool   // asked about every reply and push
	hold    func(exchange)        // called with every command before it goes on
	orphan  func(exchange) bool   // asked about every command sent: leave it without its client?
	fail    func(exchange) string // asked about every command sent: the error to reply with instead, or ""
	closed  bool
	running sync.WaitGroup
}

// exchange is a command, or its reply, or something Redis sends by itself.
type exchange struct {
	verb  string   // a script's name, or the command in lower case, or "push:" and its kind
	args  [][]byte // the command's, with its name
	reply []byte   // nil for a command that is on its way there
}

// none reports whether the reply says that there is nothing, or that the command
// failed.
func (x exchange) none() bool {
	return bytes.HasPrefix(x.reply, []byte("_")) || bytes.HasPrefix(x.reply, []byte("$-1")) || bytes.HasPrefix(x.reply, []byte("*-1")) || bytes.HasPrefix(x.reply, []byte("-"))
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, ln: ln, target: target, conns: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

// on sets what the proxy does from now on; nil does nothing.
func (p *proxy) on(cut func(exchange) bool, hold func(exchange)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.hold = cut, hold
}

// leave makes the proxy send away the client of every command that f says, while
// the server goes on as if the client were there.
func (p *proxy) leave(f func(exchange) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orphan = f
}

// refuse makes Redis reply to commands with the error that f says, instead of
// carrying them out; "" lets a command pass.
func (p *proxy) refuse(f func(exchange) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = f
}

// failing is a command whose reply is an error of the given text. It stands in for
// another one, so that replies stay in their order.
func failing(text string) []byte {
	var b bytes.Buffer
	args := []string{"EVAL", "return redis.error_reply(ARGV[1])", "0", text}
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.Bytes()
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	_ = p.ln.Close()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{p: p, client: client, server: server}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			l.close()
			return
		}
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.running.Go(l.requests)
		p.running.Go(l.replies)
	}
}

// link is one connection through the proxy.
type link struct {
	p              *proxy
	client, server net.Conn

	mu      sync.Mutex
	pending []exchange // commands whose replies have not come
	orphan  bool       // the client was sent away; the server does not know
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
	l.p.mu.Lock()
	delete(l.p.conns, l.client)
	delete(l.p.conns, l.server)
	l.p.mu.Unlock()
}

// requests carries commands to the server.
func (l *link) requests() {
	in := bufio.NewReader(l.client)
	for {
		var raw bytes.Buffer
		args, err := readValue(in, &raw)
		if err != nil {
			break
		}
		x := exchange{verb: verbOf(args), args: args}
		if x.verb == "unknown script" {
			l.p.t.Errorf("script %s is none of the files in internal/store/lua: were they changed after this test was built?", args[1])
		}
		l.p.mu.Lock()
		hold, orphan, fail := l.p.hold, l.p.orphan, l.p.fail
		l.p.mu.Unlock()
		if hold != nil {
			hold(x)
		}
		bytes := raw.Bytes()
		if fail != nil {
			if text := fail(x); text != "" {
				bytes, x = failing(text), exchange{verb: "failed " + x.verb}
			}
		}
		l.mu.Lock()
		if x.verb != "subscribe" && x.verb != "psubscribe" { // confirmed by a push
			l.pending = append(l.pending, x)
		}
		if orphan != nil && orphan(x) {
			l.orphan = true
		}
		left := l.orphan
		l.mu.Unlock()
		if _, err := l.server.Write(bytes); err != nil {
			break
		}
		if left {
			_ = l.client.Close()
			return // the link lives on until the server has replied
		}
	}
	l.close()
}

// replies carries replies to the client.
func (l *link) replies() {
	defer l.close()
	in := bufio.NewReader(l.server)
	for {
		var raw bytes.Buffer
		value, err := readValue(in, &raw)
		if err != nil {
			return
		}
		var x exchange
		l.mu.Lock()
		if raw.Bytes()[0] == '>' {
			x.verb = "push:" + string(value[0])
		} else if len(l.pending) > 0 {
			x, l.pending = l.pending[0], l.pending[1:]
		}
		orphan := l.orphan
		l.mu.Unlock()
		if orphan {
			return
		}
		x.reply = raw.Bytes()
		l.p.mu.Lock()
		cut := l.p.cut
		l.p.mu.Unlock()
		if cut != nil && cut(x) {
			return
		}
		if _, err := l.client.Write(raw.Bytes()); err != nil {
			return
		}
	}
}

// scripts are the names of the scripts by their digests.
var scripts = sync.OnceValue(func() map[string]string {
	const dir = "../../internal/store/lua/"
	text := func(name string) string {
		b, err := os.ReadFile(dir + name + ".lua")
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	paths, err := filepath.Glob(dir + "[a-z]*.lua")
	if err != nil {
		panic(err)
	}
	names := map[string]string{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".lua")
		var b strings.Builder
		for line := range strings.Lines(text(name)) {
			if part, ok := strings.CutPrefix(strings.TrimSpace(line), "--@include "); ok {
				line = text(part)
			}
			b.WriteString(line)
		}
		sum := sha1.Sum([]byte(b.String())) //nolint:gosec // see above
		names[hex.EncodeToString(sum[:])] = name
	}
	return names
})

// verbOf names a command: by its script, if it is one.
func verbOf(args [][]byte) string {
	name := strings.ToLower(string(args[0]))
	if len(args) < 2 {
		return name
	}
	switch name {
	case "eval":
		sum := sha1.Sum(args[1]) //nolint:gosec // see above
		return scripts()[hex.EncodeToString(sum[:])]
	case "evalsha":
		if script := scripts()[string(args[1])]; script != "" {
			return script
		}
		return "unknown script"
	}
	return name
}

// readValue reads one value of the protocol, whose bytes it appends to raw, and
// returns the strings in it.
func readValue(in *bufio.Reader, raw *bytes.Buffer) ([][]byte, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, errors.New("a line without content")
	}
	raw.Write(line)
	text := string(bytes.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=', '!':
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, err
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, err
		}
		raw.Write(body)
		return [][]byte{body[:n]}, nil
	case '*', '~', '>', '%':
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		if line[0] == '%' {
			n *= 2
		}
		var all [][]byte
		for range n {
			some, err := readValue(in, raw)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case '+', '-', ':', '_', '#', ',', '(':
		return [][]byte{[]byte(text)}, nil
	}
	return nil, fmt.Errorf("what is %q?", line)
}
