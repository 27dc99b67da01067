package transport

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
)

// macOf computes a MAC with the standard library, the addressee's private key and the roster alone, and by what it is found.
func macOf(t *testing.T, to Identity, from Peer, first []byte) (name, mac []byte) {
	t.Helper()
	pub, err := ecdh.X25519().NewPublicKey(from.HPKE)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := to.Agree.ECDH(pub)
	if err != nil {
		t.Fatal(err)
	}
	own := to.Agree.PublicKey().Bytes()
	info := canon.Hash("mpcd/v1/transport/pair", []byte("test"), []byte(from.Node), []byte(to.Node), from.HPKE, own)
	key, err := hkdf.Key(sha256.New, shared, nil, string(info[:]), 32)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(first)
	m.Write([]byte("news"))
	return info[:8], m.Sum(nil)
}

// Goal: a frame has for each addressee, and for nobody else, the MAC that the page describes, over what the page says. Method: frames to
// two and to all are taken apart by hand.
func TestMAC(t *testing.T) {
	ids, peers := roster3(t)
	a := newEnd(t, "a", start, 1)
	for _, c := range []struct{ to, have []NodeID }{{[]NodeID{"b", "c"}, []NodeID{"b", "c"}}, {nil, []NodeID{"a", "b", "c"}},
		{[]NodeID{"a", "b"}, []NodeID{"b"}}} {
		raw := a.seal(Envelope{To: c.to, Body: []byte("x")})
		first := raw[:2+len("a")+16+3*8+32]
		count, rest := binary.BigEndian.Uint16(raw[len(first):]), raw[len(first)+2:]
		if string(first[:3]) != "\x02\x01a" || int(count) != len(c.have) {
			t.Fatalf("to %v: begins with %x, %d MACs", c.to, first[:3], count)
		}
		places, behind := rest[:40*len(c.have)], rest[40*len(c.have):]
		if sum := sha256.Sum256(behind); !bytes.Equal(sum[:], first[len(first)-32:]) {
			t.Errorf("to %v: not the hash of what is sealed", c.to)
		}
		for _, n := range c.have {
			name, mac := macOf(t, ids[n], peers["a"], first)
			place := append(name, mac...)
			if !slices.ContainsFunc(slices.Collect(slices.Chunk(places, 40)), func(p []byte) bool { return bytes.Equal(p, place) }) {
				t.Errorf("to %v: no MAC for %s", c.to, n)
			}
		}
	}
}

// Goal: a key of a pair is of one cluster, one direction and two keys. Method: what it is bound to differs for all neighbours; a frame that
// a peer sent us is none of ours to it, nor one on another channel.
func TestPairDirections(t *testing.T) {
	seen := map[[32]byte]bool{}
	one, two := []byte{1}, []byte{2}
	for _, c := range []struct {
		cluster  string
		from, to NodeID
		f, t     []byte
	}{{"x", "a", "b", one, two}, {"x", "b", "a", two, one}, {"x", "b", "a", one, two}, {"y", "a", "b", one, two}, {"x", "a", "c", one, two},
		{"xa", "", "b", one, two}, {"x", "a", "b", two, two}, {"x", "a", "b", one, one}} {
		info := pairInfo(c.cluster, c.from, c.to, c.f, c.t)
		if seen[info] {
			t.Errorf("%+v shares a key", c)
		}
		seen[info] = true
	}
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	raw := a.seal(Envelope{To: []NodeID{"b"}})
	a.refuse(append([]byte{2, 1, 'b'}, raw[3:]...), DropNotForUs) // our own word, as the other's
	f, _, _ := parseFront(raw, "other")
	if reason, ok := b.net.peers["a"].in.holds(f); ok || reason != DropForged {
		t.Errorf("on another channel: %v", reason)
	}
	b.take(raw)
}

// Goal: a frame has as many MACs as it says, and no more than there may be recipients. Method: the same one for all, at the edges.
func TestPlaces(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	to := slices.Repeat([]*peer{a.net.peers["c"]}, macsMax)
	to[macsMax-1] = a.net.peers["b"]
	raw := func(to ...*peer) []byte {
		s, err := unframe(a.seal(Envelope{}))
		if err != nil {
			t.Fatal(err)
		}
		return frame(&s.Header, canon.MustMarshal(s), to)
	}
	b.take(raw(to...))
	b.refuse(raw(append(to[:1:1], to...)...), DropMalformed)
	short := raw(to[:1]...)
	binary.BigEndian.PutUint16(short[2+len("a")+fixedLen:], macsMax)
	b.refuse(short, DropMalformed)
}

// Goal: an envelope of another version of the wire is told from forgeries. Method: one as nodes sent it before there were fronts, the next
// version, and what is none at all.
func TestOtherRelease(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	raw := a.seal(Envelope{})
	s, err := unframe(raw)
	if err != nil {
		t.Fatal(err)
	}
	s.Header.Version = 1
	b.refuse(canon.MustMarshal(s), DropRelease)
	b.refuse(append([]byte{3}, raw[1:]...), DropRelease)
	b.refuse(nil, DropMalformed)
	b.refuse(raw[:1], DropMalformed)
	b.take(raw)
}

// Goal: what is sent under a key that was wiped goes without that MAC, and what comes under it is refused, whoever still holds the peer: a
// node that is taken out of the roster while its envelopes come ends nothing. Method: a peer is removed between the steps; another joins.
func TestPairForgotten(t *testing.T) {
	a, b, c := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2), newEnd(t, "c", start, 3)
	raw, p := a.seal(Envelope{}), b.net.peers["a"]
	f, _, _ := parseFront(raw, "news")
	if _, ok := p.in.holds(f); !ok {
		t.Fatal("the MAC does not hold")
	}
	key := p.in.key
	b.net.Remove([]NodeID{"a"})
	defer func() {
		if recover() == nil {
			t.Error("the key is not wiped")
		}
	}()
	if _, ok := p.in.holds(f); ok {
		t.Error("a key that was forgotten holds")
	}
	if raw := frame(&header{From: "b"}, nil, []*peer{p}); binary.BigEndian.Uint16(raw[2+1+fixedLen:]) != 0 {
		t.Error("a MAC under a key that was forgotten")
	}
	b.refuse(raw, DropUnknown)
	c.take(b.seal(Envelope{}))
	key.Bytes()
}

// Goal: a roster with a key of low order, of which everybody knows every secret, is refused, and with the error that tells it. Method:
// zero, and the point of order 8 of RFC 7748.
func TestLowOrder(t *testing.T) {
	a := newEnd(t, "a", start, 1)
	_, peer, err := NewIdentity("d", rand.NewChaCha8([32]byte{5}))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"zero": make([]byte, 32), "one": append([]byte{1}, make([]byte, 31)...)} {
		peer.HPKE = key
		if err := a.net.Add(Peers{"d": peer}); err == nil || a.net.peer("d") != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Goal: what no room was found for is counted for its sender, and for nobody else. Method: two are told of; a stranger's is not counted.
func TestLost(t *testing.T) {
	b := newEnd(t, "b", start, 2)
	c := b.conn.(*securedConn)
	for _, n := range []NodeID{"a", "a", "stranger", "b"} {
		c.Lost(n)
	}
	if s := b.net.Stats().Lost; len(s) != 2 || s["a"] != 2 || s["c"] != 0 {
		t.Errorf("%v", s)
	}
}

// Goal: what is forged or repeated costs its receiver some microseconds, not a signature's verification. Method: a genuine frame of 1 KiB
// to all, one in a peer's name with another MAC, and the genuine one again.
func BenchmarkAdmit(b *testing.B) {
	from, to := newEnd(b, "a", start, 1), newEnd(b, "b", start, 2)
	raw := from.seal(Envelope{Body: make([]byte, 1<<10)})
	forged := slices.Clone(raw)
	forged[20] ^= 1 // of the run's number
	c := to.conn.(*securedConn)
	for name, frame := range map[string][]byte{"forged": forged, "repeated": raw} {
		b.Run(name, func(b *testing.B) {
			c.Admit(&Envelope{Body: raw})
			for b.Loop() {
				if c.Admit(&Envelope{Body: frame}) {
					b.Fatal("admitted")
				}
			}
		})
	}
	b.Run("genuine", func(b *testing.B) {
		for b.Loop() {
			to.net.peers["a"].replays = replays{}
			if !c.Admit(&Envelope{Body: raw}) {
				b.Fatal("refused")
			}
		}
	})
}
