package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// wire carries bytes between clients and Redis, badly if asked to. Unlike proxy it
// does not know what they mean. Its methods may be called concurrently, and hold
// for the connections that there are as well as for new ones.
//
// Toxiproxy carries the bytes. The wire accepts the connections itself, because
// toxiproxy does not let go of those that it has accepted: reset needs them.
type wire struct {
	t       testing.TB
	ln      net.Listener
	target  string
	carrier *toxiproxy.ApiServer // never listens
	toxics  *toxiproxy.ToxicCollection
	running sync.WaitGroup // accept, and both directions of every strand

	setting sync.Mutex
	names   []string // of the toxics in place, in the order in which bytes meet them

	mu      sync.Mutex
	strands map[*strand]struct{}
	made    int // strands so far
	closed  bool
}

// way is how one direction of a wire behaves. The zero value is a good one.
type way struct {
	held   bool // what is sent waits until the wire behaves otherwise
	delay  time.Duration
	jitter time.Duration // more or less, in both directions of time
	rate   int           // bytes a second, rounded up to thousands; 0 for as many as there are
	limit  int           // a connection ends after so many more bytes; 0 for never
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	carrier := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{
		t:       t,
		ln:      ln,
		target:  target,
		carrier: carrier,
		toxics:  toxiproxy.NewProxy(carrier, t.Name(), ln.Addr().String(), target).Toxics,
		strands: map[*strand]struct{}{},
	}
	w.running.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) addr() string { return w.ln.Addr().String() }

// mend makes the wire good again.
func (w *wire) mend() { w.set(way{}, way{}) }

// set makes the wire behave so, to Redis and from it. What is on the way when a
// direction changes arrives at once, and in order. A peer that does not read what
// arrives keeps set waiting.
func (w *wire) set(up, down way) {
	w.setting.Lock()
	defer w.setting.Unlock()
	// The last first: what one lets go of is not to wait for the next.
	for len(w.names) > 0 {
		last := len(w.names) - 1
		ctx := zerolog.New(loss{w.t}).Level(zerolog.ErrorLevel).WithContext(context.Background())
		if err := w.toxics.RemoveToxic(ctx, w.names[last]); err != nil {
			w.t.Errorf("remove toxic %s: %v", w.names[last], err)
		}
		w.names = w.names[:last]
	}
	w.put(stream.Upstream, up)
	w.put(stream.Downstream, down)
}

// loss fails the test when toxiproxy reports an error while it removes a toxic: it
// means that it has thrown bytes away.
type loss struct{ t testing.TB }

func (l loss) Write(line []byte) (int, error) {
	l.t.Errorf("the wire has lost something: %s", line)
	return len(line), nil
}

// put makes a direction that is good behave so.
func (w *wire) put(direction stream.Direction, as way) {
	if as.held {
		w.add(direction, "hold", &holdToxic{})
	}
	if as.delay > 0 {
		w.add(direction, "latency", &toxics.LatencyToxic{Latency: as.delay.Milliseconds(), Jitter: as.jitter.Milliseconds()})
	}
	if as.rate > 0 {
		w.add(direction, "bandwidth", &toxics.BandwidthToxic{Rate: (int64(as.rate) + 999) / 1000})
	}
	if as.limit > 0 {
		w.add(direction, "limit", &limitToxic{toxics.LimitDataToxic{Bytes: int64(as.limit)}})
	}
}

// add adds a toxic behind those that there are.
func (w *wire) add(direction stream.Direction, kind string, toxic toxics.Toxic) {
	name := kind + " " + direction.String()
	text, err := json.Marshal(toxics.ToxicWrapper{Toxic: toxic, Name: name, Type: kind, Stream: direction.String(), Toxicity: 1})
	if err == nil {
		_, err = w.toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		w.t.Errorf("add toxic %s: %v", name, err)
		return
	}
	w.names = append(w.names, name)
}

// silent is a direction in which nothing arrives until the wire is mended, no end of
// a connection either.
func silent() way { return way{held: true} }

// reset breaks all connections, without a goodbye.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.strands {
		s.reset()
	}
}

// close ends the wire and all connections, and waits for what carries them.
func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	_ = w.ln.Close()
	w.mu.Unlock()
	w.reset() // first, so that nobody who does not read can keep mend waiting
	w.mend()
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
		w.connect(&strand{w: w, client: client, server: server})
	}
}

func (w *wire) connect(s *strand) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		s.reset()
		return
	}
	w.strands[s] = struct{}{}
	w.made++
	n := w.made
	w.running.Add(2)
	w.mu.Unlock() // StartLink waits for set
	w.toxics.StartLink(w.carrier, fmt.Sprintf("%d up", n), s.client, mouth{s, s.server}, stream.Upstream)
	w.toxics.StartLink(w.carrier, fmt.Sprintf("%d down", n), s.server, mouth{s, s.client}, stream.Downstream)
}

// strand is one connection over a wire.
type strand struct {
	w              *wire
	client, server net.Conn
}

// reset ends a connection without a goodbye. Both sides are prepared before one is
// closed, whose end makes toxiproxy close the other.
func (s *strand) reset() {
	for _, c := range []net.Conn{s.client, s.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a RST instead of a FIN
		}
	}
	s.end()
}

// end ends a connection.
func (s *strand) end() {
	_ = s.client.Close()
	_ = s.server.Close()
}

// mouth is where what a strand carries in one direction comes out.
type mouth struct {
	s  *strand
	to net.Conn
}

// Write never fails. Toxiproxy stops to read from its toxics when it cannot write,
// and then they hang forever, and so does everybody who adds or removes one. Instead
// the connection ends at its beginning, and toxiproxy with it.
func (m mouth) Write(p []byte) (int, error) {
	if _, err := m.to.Write(p); err != nil {
		m.s.end()
	}
	return len(p), nil
}

// Close ends the connection. Toxiproxy calls it once, after it has written all that
// there was.
func (m mouth) Close() error {
	m.s.end()
	w := m.s.w
	w.mu.Lock()
	delete(w.strands, m.s)
	w.mu.Unlock()
	w.running.Done()
	return nil
}

func init() {
	zerolog.SetGlobalLevel(zerolog.WarnLevel) // bandwidth's own logger tells everything
	toxics.Register("hold", &holdToxic{})
	toxics.Register("limit", &limitToxic{})
}

// holdToxic lets nothing pass as long as it is there. Toxiproxy's own timeout throws
// away what it does not let pass. What waits for this one stays where it is, at last
// with the sender, and toxiproxy passes it on when the toxic is removed.
type holdToxic struct{}

// Pipe returns when toxiproxy has something else to do with the stub.
func (*holdToxic) Pipe(stub *toxics.ToxicStub) { <-stub.Interrupt }

// limitToxic is toxiproxy's limit_data, except that it takes what comes after the end.
// limit_data leaves the goroutines that bring it there forever.
type limitToxic struct{ toxics.LimitDataToxic }

// Pipe returns when the limit is reached and the connection is over, or when toxiproxy
// has something else to do with the stub.
func (l *limitToxic) Pipe(stub *toxics.ToxicStub) {
	l.LimitDataToxic.Pipe(stub)
	if stub.Closed() {
		for range stub.Input {
			continue // it goes nowhere
		}
	}
}
