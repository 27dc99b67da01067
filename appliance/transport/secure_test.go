package transport

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Goal: a proof holds for what was sent and for nothing else. Method: change every field of the envelope and every byte of the
// proof.
func TestProof(t *testing.T) {
	_, peers := roster3(t)
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	for _, sent := range []Envelope{
		{Kind: 7, Topic: [32]byte{8}, To: []NodeID{"c", "b"}, Body: []byte("public")},
		{Kind: 7, Topic: [32]byte{8}, To: []NodeID{"b"}, Body: []byte("private"), Private: true},
		{},
	} {
		got := b.take(a.seal(sent))
		claim, err := OpenProof(peers["a"].Identity, got)
		if err != nil || claim.Cluster != "test" || claim.Channel != "news" || !claim.Time.Equal(start) || claim.Seq == 0 {
			t.Fatalf("%+v, %v", claim, err)
		}
		for name, change := range map[string]func(*Envelope){
			"from":    func(e *Envelope) { e.From = "c" },
			"to":      func(e *Envelope) { e.To = []NodeID{"c"} },
			"kind":    func(e *Envelope) { e.Kind++ },
			"topic":   func(e *Envelope) { e.Topic[31]++ },
			"body":    func(e *Envelope) { e.Body = append(e.Body[:len(e.Body):len(e.Body)], 0) },
			"private": func(e *Envelope) { e.Private = !e.Private },
			"none":    func(e *Envelope) { e.Proof = nil },
		} {
			e := got
			change(&e)
			if VerifyProof(peers["a"].Identity, e) {
				t.Errorf("%s: proof holds", name)
			}
		}
		for i := range got.Proof {
			e := got
			e.Proof = append([]byte(nil), got.Proof...)
			e.Proof[i] ^= 1
			if VerifyProof(peers["a"].Identity, e) {
				t.Errorf("proof with byte %d changed holds", i)
			}
		}
		for _, key := range []ed25519.PublicKey{peers["c"].Identity, nil, make([]byte, 31)} {
			if VerifyProof(key, got) {
				t.Error("proof holds under another key")
			}
		}
	}
}

// Goal: Want saves the verification and sees the header's values. Method: refuse a kind, with a forged signature.
func TestWant(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	b.net.o.Want = func(kind uint8, topic [32]byte, from NodeID, size int) bool {
		return kind == 1 && topic == [32]byte{2} && from == "a" && size < 9
	}
	s, _ := unframe(a.seal(Envelope{Kind: 3, Topic: [32]byte{2}}))
	s.Signature = [64]byte{}
	b.refuse(a.wrap(s), DropUnwanted)
	b.refuse(a.seal(Envelope{Kind: 1, Topic: [32]byte{2}, Body: make([]byte, 9)}), DropUnwanted)
	b.take(a.seal(Envelope{Kind: 1, Topic: [32]byte{2}, Body: make([]byte, 8)}))
	s, _ = unframe(a.seal(Envelope{Kind: 1, Topic: [32]byte{2}}))
	s.Signature = [64]byte{}
	b.refuse(a.wrap(s), DropSignature)
}

// Goal: a signature that could not be made is an error, and nothing is sent. Method: a key that fails.
func TestSignFails(t *testing.T) {
	a := newEnd(t, "a", start, 1)
	a.net.self.Sign = func([]byte) []byte { return nil }
	for _, e := range []Envelope{{}, private("b", "x")} {
		if a.conn.Send(t.Context(), e) == nil || len(a.wire.sent) > 0 {
			t.Error("sent without a signature")
		}
	}
}

// Goal: mistakes of the configuration come out at Join, not at some message. Method: table.
func TestSetup(t *testing.T) {
	ids, peers := roster3(t)
	for name, change := range map[string]func(*Identity, Peers, *Options){
		"cluster":            func(_ *Identity, _ Peers, o *Options) { o.Cluster = "A" },
		"no cluster":         func(_ *Identity, _ Peers, o *Options) { o.Cluster = "" },
		"node":               func(i *Identity, _ Peers, _ *Options) { i.Node = "a.b" },
		"no sign":            func(i *Identity, _ Peers, _ *Options) { i.Sign = nil },
		"no key to agree by": func(i *Identity, _ Peers, _ *Options) { i.Agree = nil },
		"misfiled":           func(_ *Identity, p Peers, _ *Options) { p["d"] = p["b"] },
		"bad name":           func(_ *Identity, p Peers, _ *Options) { x := p["b"]; x.Node = "B"; p["B"] = x },
		"short key":          func(_ *Identity, p Peers, _ *Options) { x := p["b"]; x.Identity = x.Identity[1:]; p["b"] = x },
		"short HPKE":         func(_ *Identity, p Peers, _ *Options) { x := p["b"]; x.HPKE = x.HPKE[1:]; p["b"] = x },
		"another curve": func(i *Identity, _ Peers, _ *Options) {
			i.Agree, _ = ecdh.P256().GenerateKey(rand.NewChaCha8([32]byte{1}))
		},
		"low order":    func(_ *Identity, p Peers, _ *Options) { x := p["b"]; x.HPKE = make([]byte, HPKEKeyLen); p["b"] = x },
		"no randomess": func(_ *Identity, _ Peers, o *Options) { o.Rand = strings.NewReader("short") },
	} {
		id, p, o := ids["a"], Peers{}, Options{Cluster: "test"}
		for n, peer := range peers {
			p[n] = peer
		}
		change(&id, p, &o)
		if _, err := Secure(newWireNet(), id, p, o).Join(t.Context(), "news"); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
	if _, _, err := NewIdentity("Not a name", rand.NewChaCha8([32]byte{})); err == nil {
		t.Error("identity with a bad name")
	}
	if _, _, err := NewIdentity("a", strings.NewReader("short")); err == nil {
		t.Error("identity without randomness")
	}
}

// Goal: channels are bounded, and joining one again continues its numbers. Method: the edge; an old number after a second Join.
func TestChannels(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	b.take(a.seal(Envelope{}))
	if err := a.conn.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := a.net.Join(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	a.conn = again
	b.take(a.seal(Envelope{}))
	for i := range ChannelsMax - 1 {
		if _, err := a.net.Join(t.Context(), fmt.Sprint("channel-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.net.Join(t.Context(), "one-more"); err == nil {
		t.Error("channels are not bounded")
	}
	if _, err := a.net.Join(t.Context(), "news"); err == nil {
		t.Error("joined twice at a time")
	}
	for range 2 {
		_ = again.Close()
	}
	if _, err := a.net.Join(t.Context(), "news"); err != nil {
		t.Errorf("known channel: %v", err)
	}
	if _, err := a.net.Join(t.Context(), "bad name"); err == nil {
		t.Error("bad name joined")
	}
}

// failing is a network that lets nobody join.
type failing struct{ Network }

func (failing) Join(context.Context, string, Gate) (Conn, error) { return nil, errors.New("not now") }

// Goal: a Join that failed can be tried again. Method: a network that fails once.
func TestJoinAgain(t *testing.T) {
	ids, peers := roster3(t)
	s := Secure(failing{}, ids["a"], peers, Options{Cluster: "test"})
	if _, err := s.Join(t.Context(), "news"); err == nil {
		t.Fatal("joined")
	}
	s.inner = newWireNet()
	if _, err := s.Join(t.Context(), "news"); err != nil {
		t.Error(err)
	}
}

// Goal: limits of size hold on receipt too. Method: frames a dishonest sender could sign.
func TestReceiveLimits(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	b.refuse(make([]byte, FrameMax+1), DropTooLarge)
	s, _ := unframe(a.seal(Envelope{}))
	s.Body = make([]byte, BodyMax+1)
	s.Header.BodyHash = hashBody(nil, s.Body)
	s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
	b.refuse(a.wrap(s), DropBody)
	if err := a.conn.Send(t.Context(), Envelope{Body: s.Body}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Send: %v", err)
	}
	s, _ = unframe(a.seal(private("b", "x")))
	s.Header.To = []NodeID{"b", "c"}
	s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
	b.refuse(a.wrap(s), DropMalformed)
	for _, n := range []int{RecipientsMax, RecipientsMax + 1} {
		to := make([]NodeID, n)
		for i := range to {
			to[i] = "b"
		}
		s, _ := unframe(a.seal(Envelope{}))
		s.Header.To = to
		s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
		if raw := a.wrap(s); n <= RecipientsMax {
			b.take(raw)
		} else {
			b.refuse(raw, DropMalformed)
		}
	}
}

// Goal: names are what NATS subjects and logs can carry. Method: edges.
func TestNames(t *testing.T) {
	for _, good := range []string{"a", "node-1_x", strings.Repeat("z", 63)} {
		if _, err := ParseNodeID(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("z", 64), "A", "a.b", "a b", "a*", ">", "é", "a\n"} {
		if _, err := ParseNodeID(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
