package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// wire carries bytes between clients and Redis, badly if asked to. Unlike proxy it
// does not know what they mean. Its methods may be called concurrently, and hold
// for the connections that there are as well as for new ones.
type wire struct {
	ln      net.Listener
	target  string
	running sync.WaitGroup

	mu     sync.Mutex
	links  map[*strand]struct{}
	up     way // to Redis
	down   way // from Redis
	closed bool
}

// way is how one direction of a wire behaves. The zero value is a good one.
type way struct {
	held   chan struct{} // what is sent waits until it is closed; nil lets it pass
	delay  time.Duration
	jitter time.Duration // more or less, in both directions of time
	rate   int           // bytes a second; 0 for as many as there are
	limit  int           // a connection ends after so many more bytes; 0 for never
}

// strand is one connection over a wire.
type strand struct {
	client, server net.Conn
}

// parcel is a piece of what is on the way.
type parcel struct {
	bytes []byte
	due   time.Time
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{ln: ln, target: target, links: map[*strand]struct{}{}}
	w.running.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) addr() string { return w.ln.Addr().String() }

// mend makes the wire good again.
func (w *wire) mend() { w.set(way{}, way{}) }

// set makes the wire behave so, to Redis and from it.
func (w *wire) set(up, down way) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, old := range []way{w.up, w.down} {
		if old.held != nil {
			close(old.held)
		}
	}
	w.up, w.down = up, down
}

// silent is a direction in which nothing arrives until the wire is mended.
func silent() way { return way{held: make(chan struct{})} }

// reset breaks all connections, without a goodbye.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.links {
		s.reset()
	}
}

func (s *strand) reset() {
	for _, c := range []net.Conn{s.client, s.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a RST instead of a FIN
		}
		_ = c.Close()
	}
}

func (w *wire) close() {
	w.mend()
	w.mu.Lock()
	w.closed = true
	_ = w.ln.Close()
	w.mu.Unlock()
	w.reset()
	w.running.Wait()
}

func (w *wire) accept() {
	for {
		client, err := w.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		s := &strand{client: client, server: server}
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			s.reset()
			return
		}
		w.links[s] = struct{}{}
		w.mu.Unlock()
		w.running.Go(func() { w.carry(s, client, server, &w.up) })
		w.running.Go(func() { w.carry(s, server, client, &w.down) })
	}
}

// carry carries what comes from one end to the other, the way that at says at the
// moment.
func (w *wire) carry(s *strand, from, to net.Conn, at *way) {
	onWay := make(chan parcel, 4096)
	broken := make(chan struct{})
	w.running.Go(func() {
		defer close(broken)
		defer s.end(w)
		gone := 0
		for p := range onWay {
			time.Sleep(time.Until(p.due))
			for {
				w.mu.Lock()
				now := *at
				w.mu.Unlock()
				if now.held != nil {
					<-now.held
					continue
				}
				if now.rate > 0 {
					time.Sleep(time.Duration(len(p.bytes)) * time.Second / time.Duration(now.rate))
				}
				cut := now.limit > 0 && gone+len(p.bytes) >= now.limit
				if cut {
					p.bytes = p.bytes[:max(now.limit-gone, 0)]
				}
				if now.limit > 0 {
					gone += len(p.bytes)
				} else {
					gone = 0
				}
				if _, err := to.Write(p.bytes); err != nil || cut {
					return
				}
				break
			}
		}
	})
	defer close(onWay)
	for {
		buf := make([]byte, 4096)
		n, err := from.Read(buf)
		if n > 0 {
			w.mu.Lock()
			now := *at
			w.mu.Unlock()
			p := parcel{bytes: buf[:n], due: time.Now().Add(now.delay)}
			if now.jitter > 0 {
				p.due = p.due.Add(rand.N(2*now.jitter) - now.jitter)
			}
			select {
			case onWay <- p:
			case <-broken:
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.end(w)
			}
			return // what is on the way still arrives
		}
	}
}

// end ends a connection.
func (s *strand) end(w *wire) {
	_ = s.client.Close()
	_ = s.server.Close()
	w.mu.Lock()
	delete(w.links, s)
	w.mu.Unlock()
}
