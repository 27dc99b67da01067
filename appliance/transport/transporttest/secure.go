package transporttest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

const cluster = "conformance"

// roster has identities for all, but lists the honest only.
type roster struct {
	ids   map[transport.NodeID]transport.Identity
	peers transport.Peers
}

func newRoster(t *testing.T) *roster {
	t.Helper()
	rnd := rand.NewChaCha8([32]byte{7})
	r := &roster{ids: map[transport.NodeID]transport.Identity{}, peers: transport.Peers{}}
	for _, id := range all {
		identity, peer, err := transport.NewIdentity(id, rnd)
		if err != nil {
			t.Fatal(err)
		}
		r.ids[id] = identity
		if id != "mallory" {
			r.peers[id] = peer
		}
	}
	return r
}

func (r *roster) secure(id transport.NodeID, n transport.Network) *transport.Secured {
	return transport.Secure(n, r.ids[id], r.peers, transport.Options{Cluster: cluster})
}

// stage is the honest nodes, secured, and mallory's raw place on their channel.
type stage struct {
	*roster
	t       *testing.T
	raw     map[transport.NodeID]transport.Network
	secured map[transport.NodeID]*transport.Secured
	a, b, c *place
	mallory *place
}

func newStage(t *testing.T, open Open) *stage {
	s := &stage{roster: newRoster(t), t: t, raw: open(t, all), secured: map[transport.NodeID]*transport.Secured{}}
	nets := map[transport.NodeID]joiner{}
	for _, id := range honest {
		s.secured[id] = s.secure(id, s.raw[id])
		nets[id] = s.secured[id]
	}
	s.a, s.b, s.c = joinAll(t, nets, "news")
	s.mallory = join(t, "mallory", raw{s.raw["mallory"]}, "news")
	s.meetRaw(s.mallory)
	return s
}

// in is the stage for a subtest.
func (s *stage) in(t *testing.T) *stage {
	sub := *s
	sub.t = t
	return &sub
}

// meetRaw waits until what the raw place p sends to all reaches everybody, and p hears everybody.
func (s *stage) meetRaw(p *place) {
	s.t.Helper()
	probes := []*place{p}
	for _, id := range honest {
		probes = append(probes, join(s.t, id, raw{s.raw[id]}, "news"))
	}
	meet(s.t, "raw", probes...)
}

// tap is a further raw place of the node, which sees all that arrives there.
func (s *stage) tap(id transport.NodeID) *place {
	s.t.Helper()
	p := join(s.t, id, raw{s.raw[id]}, "news")
	meet(s.t, "tap", p, join(s.t, "a", raw{s.raw["a"]}, "news"))
	return p
}

// inject lets mallory send to all and waits until b has dropped it for the reason.
func (s *stage) inject(raw []byte, want transport.Reason) {
	s.t.Helper()
	s.injectTo(nil, raw, want)
}

func (s *stage) injectTo(to []transport.NodeID, raw []byte, want transport.Reason) {
	s.t.Helper()
	before := s.secured["b"].Stats()
	s.mallory.send(transport.Envelope{From: "a", To: to, Body: raw})
	s.expectDrop(before, want)
}

func (s *stage) expectDrop(before transport.Stats, want transport.Reason) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for {
		now := s.secured["b"].Stats()
		if now.Dropped[want.String()] > before.Dropped[want.String()] {
			return
		}
		if now.Received > before.Received {
			s.t.Fatalf("accepted, want %v", want)
		}
		select {
		case <-tick.C:
		case <-timeout:
			s.t.Fatalf("not dropped as %v; before %v, now %v", want, before.Dropped, now.Dropped)
		}
	}
}

// capture returns the sealed bytes of an envelope that a sends to all, as mallory sees them, after b has it.
func (s *stage) capture(body string) []byte {
	s.t.Helper()
	s.a.send(transport.Envelope{Kind: 3, Topic: [32]byte{4}, Body: []byte(body)})
	s.b.wait(body)
	return s.mallory.waitFor("the sealed envelope", func(e transport.Envelope) bool { return bytes.Contains(e.Body, []byte(body)) }).Body
}

// testAuthentic: the fields arrive as sent, and the proof holds for exactly them.
func testAuthentic(t *testing.T, open Open) {
	s := newStage(t, open)
	for _, sent := range []transport.Envelope{
		{From: "c", Kind: 1, Topic: [32]byte{1}, Body: []byte("public"), Proof: []byte("ignored")},
		{From: "c", Kind: 2, Topic: [32]byte{2}, Body: []byte("directed"), To: to("b", "c")},
		{From: "c", Kind: 255, Topic: [32]byte{3}, Body: []byte("private"), To: to("b"), Private: true},
	} {
		s.a.send(sent)
		got := s.b.wait(string(sent.Body))
		if got.From != "a" || got.Kind != sent.Kind || got.Topic != sent.Topic || got.Private != sent.Private || len(got.To) != len(sent.To) {
			t.Errorf("sent %+v, got %+v", sent, got)
		}
		claim, err := transport.OpenProof(s.peers["a"].Identity, got)
		if err != nil || claim.Cluster != cluster || claim.Channel != "news" {
			t.Errorf("proof: %+v, %v", claim, err)
		}
		if transport.VerifyProof(s.peers["c"].Identity, got) {
			t.Error("proof holds under another key")
		}
	}
	if s.secured["a"].Stats().Sent == 0 || s.secured["b"].Stats().Received == 0 {
		t.Error("nothing counted")
	}
}

// testPrivate: the body is on no wire; the public body, by the same search, is.
func testPrivate(t *testing.T, open Open) {
	s := newStage(t, open)
	tap := s.tap("b")
	const public, private = "for everybody's eyes", "for b's eyes and no other's"
	s.a.send(transport.Envelope{Body: []byte(public)})
	s.a.send(transport.Envelope{To: to("b"), Body: []byte(private), Private: true})
	s.a.send(transport.Envelope{To: to("b"), Body: []byte("end")})
	s.b.wait(private)
	s.b.wait("end")
	contains := func(text string) func(transport.Envelope) bool {
		return func(e transport.Envelope) bool { return bytes.Contains(e.Body, []byte(text)) }
	}
	tap.waitFor(public, contains(public))
	tap.waitFor("end", contains("end"))
	for _, p := range []*place{tap, s.mallory, s.c} {
		if found, _ := p.find(contains(private)); len(found) > 0 {
			t.Errorf("private body seen by %s", p.id)
		}
	}
	for _, bad := range []transport.Envelope{{Private: true}, {Private: true, To: to("b", "c")}, {Private: true, To: to("a")},
		{Private: true, To: to("mallory")}} {
		if s.a.conn.Send(t.Context(), bad) == nil {
			t.Errorf("private envelope to %v sent", bad.To)
		}
	}
}

// testStrangers: who is not in the roster, or in another cluster's, is not heard.
func testStrangers(t *testing.T, open Open) {
	s := newStage(t, open)
	attack := func(id transport.Identity, cluster string, e transport.Envelope, want transport.Reason) {
		t.Helper()
		evil, err := transport.Secure(unowned{s.raw["mallory"]}, id, s.peers, transport.Options{Cluster: cluster}).Join(t.Context(), "news")
		if err != nil {
			t.Fatal(err)
		}
		defer evil.Close()
		before := s.secured["b"].Stats()
		if err := evil.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		s.expectDrop(before, want)
	}
	spoof := s.ids["mallory"]
	spoof.Node = "a"
	attack(s.ids["mallory"], cluster, transport.Envelope{Body: []byte("x")}, transport.DropUnknown)
	attack(spoof, cluster, transport.Envelope{Body: []byte("x")}, transport.DropNotForUs)
	attack(spoof, cluster, transport.Envelope{Body: []byte("x"), To: to("b"), Private: true}, transport.DropNotForUs)
	attack(s.ids["a"], "elsewhere", transport.Envelope{Body: []byte("x")}, transport.DropNotForUs)
	attack(s.ids["b"], cluster, transport.Envelope{Body: []byte("x")}, transport.DropUnknown) // our own words, sent back to us
	s.inject([]byte("garbage"), transport.DropRelease)
	s.inject([]byte{2}, transport.DropMalformed)
	s.inject(nil, transport.DropMalformed)
	s.b.never("x")
}

// unowned survives the Secure that is put on it for one attack.
type unowned struct{ transport.Network }

func (unowned) Close() error { return nil }

// testSecureLimit: the largest body arrives sealed, public and private; a larger frame from mallory is dropped.
func testSecureLimit(t *testing.T, open Open) {
	s := newStage(t, open)
	checkLimit(t, s.a, s.b, transport.BodyMax)
	big := bytes.Repeat([]byte("y"), transport.BodyMax)
	s.a.send(transport.Envelope{To: to("b"), Body: big, Private: true})
	s.b.wait(string(big))
	tooMany := make([]transport.NodeID, transport.RecipientsMax+1)
	for i := range tooMany {
		tooMany[i] = "b"
	}
	if s.a.conn.Send(t.Context(), transport.Envelope{To: tooMany}) == nil {
		t.Error("too many recipients accepted")
	}
	if err := s.a.conn.Send(t.Context(), transport.Envelope{To: to("nobody")}); err == nil || errors.Is(err, transport.ErrClosed) {
		t.Errorf("recipient outside the roster: %v", err)
	}
}
