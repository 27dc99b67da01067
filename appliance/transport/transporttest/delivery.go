package transporttest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

func to(ids ...transport.NodeID) []transport.NodeID { return ids }

// testBroadcast: everybody else hears it, the sender does not, and the body is the sender's again once Send returned.
func testBroadcast(t *testing.T, nets map[transport.NodeID]joiner) {
	a, b, c := joinAll(t, nets, "news")
	body := []byte("to all")
	a.send(transport.Envelope{Body: body})
	copy(body, "######")
	for _, p := range []*place{b, c} {
		if e := p.wait("to all"); e.From != "a" || len(e.To) != 0 {
			t.Errorf("%s: from %q to %v", p.id, e.From, e.To)
		}
	}
	b.send(transport.Envelope{Body: []byte("barrier")})
	a.wait("barrier")
	a.never("to all")
}

// testDirected: exactly the named hear it. The barrier takes the way that a misdirected copy would have taken.
func testDirected(t *testing.T, nets map[transport.NodeID]joiner) {
	a, b, c := joinAll(t, nets, "news")
	a.send(transport.Envelope{To: to("b"), Body: []byte("for b")})
	a.send(transport.Envelope{To: to("b", "c", "a"), Body: []byte("for both")})
	if e := b.wait("for b"); e.From != "a" {
		t.Errorf("from %q", e.From)
	}
	b.wait("for both")
	c.wait("for both")
	a.send(transport.Envelope{Body: []byte("barrier")})
	a.send(transport.Envelope{To: to("c"), Body: []byte("barrier c")})
	c.wait("barrier")
	c.wait("barrier c")
	c.never("for b")
	b.send(transport.Envelope{To: to("a"), Body: []byte("barrier a")})
	a.wait("barrier a")
	a.never("for both")
}

// testChannels: a channel does not hear another.
func testChannels(t *testing.T, nets map[transport.NodeID]joiner) {
	a, b, _ := joinAll(t, nets, "news")
	otherA, otherB := join(t, "a", nets["a"], "other"), join(t, "b", nets["b"], "other")
	meet(t, "2", otherA, otherB)
	a.send(transport.Envelope{Body: []byte("on news")})
	otherA.send(transport.Envelope{Body: []byte("on other")})
	b.wait("on news")
	otherB.wait("on other")
	b.never("on other")
	otherB.never("on news")
	if _, err := nets["a"].Join(t.Context(), "Not a name!"); err == nil {
		t.Error("bad channel name accepted")
	}
}

// testCopies: recipients do not share memory.
func testCopies(t *testing.T, nets map[transport.NodeID]joiner) {
	a, b, c := joinAll(t, nets, "news")
	a.send(transport.Envelope{Body: []byte("shared?")})
	clear(b.wait("shared?").Body)
	c.wait("shared?")
}

// testClose: Close ends waiting and later calls, of one Conn or of all, and does so twice without harm.
func testClose(t *testing.T, nets map[transport.NodeID]joiner) {
	conn, err := nets["a"].Join(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conn.Recv(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("Recv with a cancelled context: %v", err)
	}
	waiting := make(chan error)
	go func() { _, err := conn.Recv(context.Background()); waiting <- err }()
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := <-waiting; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("waiting Recv: %v, want ErrClosed", err)
	}
	if err := conn.Send(t.Context(), transport.Envelope{}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Send after Close: %v, want ErrClosed", err)
	}
	testCloseNetwork(t, nets["a"])
}

func testCloseNetwork(t *testing.T, n joiner) {
	conn, err := n.Join(t.Context(), "news")
	if err != nil {
		t.Fatalf("Join after Close of another Conn: %v", err)
	}
	waiting := make(chan error)
	go func() { _, err := conn.Recv(context.Background()); waiting <- err }()
	for range 2 {
		if err := n.Close(); err != nil {
			t.Errorf("Close of the network: %v", err)
		}
	}
	if err := <-waiting; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("waiting Recv: %v, want ErrClosed", err)
	}
	if _, err := n.Join(t.Context(), "news"); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Join after Close: %v, want ErrClosed", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("Close of a Conn of a closed network: %v", err)
	}
}

// testLimit: a body of the limit arrives whole, one byte more is refused.
func testLimit(t *testing.T, open Open, limit int) {
	a, b, _ := joinAll(t, opened(open(t, honest)), "news")
	checkLimit(t, a, b, limit)
}

func checkLimit(t *testing.T, a, b *place, limit int) {
	body := bytes.Repeat([]byte("x"), limit+1)
	if err := a.conn.Send(t.Context(), transport.Envelope{Body: body}); !errors.Is(err, transport.ErrTooLarge) {
		t.Errorf("Send of %d bytes: %v, want ErrTooLarge", len(body), err)
	}
	a.send(transport.Envelope{Body: body[:limit]})
	b.wait(string(body[:limit]))
}
