package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
)

// A wireNet is a Network that keeps what is sent and delivers what a test decides, in the order it decides.
type wireNet struct {
	sent [][]byte
	in   chan Envelope
}

func newWireNet() *wireNet {
	return &wireNet{in: make(chan Envelope, 8)}
}

func (w *wireNet) Join(context.Context, string, Gate) (Conn, error) { return w, nil }
func (w *wireNet) Close() error                                     { return nil }

func (w *wireNet) Send(_ context.Context, e Envelope) error {
	w.sent = append(w.sent, slices.Clone(e.Body))
	return nil
}

func (w *wireNet) Recv(ctx context.Context) (Envelope, error) {
	select {
	case e := <-w.in:
		return e, nil
	case <-ctx.Done():
		return Envelope{}, ctx.Err()
	}
}

// end is one secured node on its own wire, with its own clock.
type end struct {
	t    testing.TB
	wire *wireNet
	net  *Secured
	conn Conn
	now  *time.Time
}

// roster3 is a, b, c with keys from a fixed seed.
func roster3(t testing.TB) (map[NodeID]Identity, Peers) {
	t.Helper()
	rnd := rand.NewChaCha8([32]byte{3})
	ids, peers := map[NodeID]Identity{}, Peers{}
	for _, n := range []NodeID{"a", "b", "c"} {
		id, p, err := NewIdentity(n, rnd)
		if err != nil {
			t.Fatal(err)
		}
		ids[n], peers[n] = id, p
	}
	return ids, peers
}

var start = time.UnixMilli(1_700_000_000_000)

// newEnd starts the node at the time; boots differ by seed.
func newEnd(t testing.TB, node NodeID, now time.Time, seed byte) *end {
	t.Helper()
	ids, peers := roster3(t)
	e := &end{t: t, wire: newWireNet(), now: &now}
	e.net = Secure(e.wire, ids[node], peers, Options{Cluster: "test", Clock: func() time.Time { return *e.now },
		Rand: rand.NewChaCha8([32]byte{seed})})
	conn, err := e.net.Join(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	e.conn = conn
	return e
}

// seal returns the sealed bytes of an envelope that e sends.
func (e *end) seal(env Envelope) []byte {
	e.t.Helper()
	if err := e.conn.Send(e.t.Context(), env); err != nil {
		e.t.Fatal(err)
	}
	return e.wire.sent[len(e.wire.sent)-1]
}

// receive takes a frame through the gate and, admitted, opens it.
func (e *end) receive(frame []byte) (Envelope, Reason, bool) {
	c := e.conn.(*securedConn)
	f, _, reason, ok := c.admit(frame)
	if !ok {
		return Envelope{}, reason, false
	}
	return c.open(f)
}

// unframe is what a frame has sealed.
func unframe(frame []byte) (*sealed, error) {
	f, reason, ok := parseFront(frame, "news")
	if !ok {
		return nil, errors.New(reason.String())
	}
	return decode(f.sealed)
}

// wrap is a frame that e makes of whatever it likes to seal, with a MAC for everybody, whose front says what the header says.
func (e *end) wrap(s *sealed) []byte { return e.wrapAs(s, &s.Header) }

// wrapAs is one whose front says something else.
func (e *end) wrapAs(s *sealed, front *header) []byte {
	return frame(front, canon.MustMarshal(s), e.conn.(*securedConn).addressees(nil))
}

// take delivers the sealed bytes and requires them to be accepted.
func (e *end) take(raw []byte) Envelope {
	e.t.Helper()
	got, reason, ok := e.receive(raw)
	if !ok {
		e.t.Fatalf("dropped: %v", reason)
	}
	return got
}

// refuse delivers the sealed bytes and requires them to be dropped for the reason.
func (e *end) refuse(raw []byte, want Reason) {
	e.t.Helper()
	if got, reason, ok := e.receive(raw); ok {
		e.t.Fatalf("accepted %.60q, want %v", got.Body, want)
	} else if reason != want {
		e.t.Fatalf("dropped as %v, want %v", reason, want)
	}
}

// Goal: Recv counts what it drops, and goes on to what it accepts. Method: good, bad, good; then a context that ends.
func TestRecvCounts(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	junk := []byte{wireVersion}
	one, two := a.seal(Envelope{Body: []byte("1")}), a.seal(Envelope{Body: []byte("2")})
	for _, raw := range [][]byte{one, junk, one, two} {
		b.wire.in <- Envelope{From: "c", Body: raw}
	}
	for _, want := range []string{"1", "2"} {
		if got, err := b.conn.Recv(t.Context()); err != nil || string(got.Body) != want || got.From != "a" {
			t.Errorf("got %q from %q, %v", got.Body, got.From, err)
		}
	}
	s := b.net.Stats()
	if s.Received != 2 || s.Dropped["malformed"] != 1 || s.Dropped["replay"] != 1 || len(s.Dropped) != int(reasons) {
		t.Errorf("stats: %+v", s)
	}
	if a.net.Stats().Sent != 2 {
		t.Errorf("sent: %+v", a.net.Stats())
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		w := newWireNet()
		if _, err := (&securedConn{inner: w}).Recv(ctx); err != context.DeadlineExceeded {
			t.Errorf("Recv: %v", err)
		}
	})
}
