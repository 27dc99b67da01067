package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: tags never serve two purposes. Method: compare all.
func TestTags(t *testing.T) {
	seen := map[string]bool{}
	for _, tag := range []string{tagEnvelope, tagBody, tagHPKE, tagKey, tagPair, tagWitness} {
		if seen[tag] {
			t.Errorf("%s twice", tag)
		}
		seen[tag] = true
	}
	if len(reasonNames) != int(reasons) || reasons.String() != "unknown" {
		t.Error("a reason lacks a name")
	}
}

// Goal: every field is under the signature. Method: change one field at a time; no two digests agree.
func TestDigest(t *testing.T) {
	base := header{Version: 1, Cluster: "c", Channel: "d", From: "a", To: []NodeID{"b", "cd"}, Enc: make([]byte, encLen)}
	seen := map[[32]byte]string{base.digest(): "base"}
	for name, change := range map[string]func(*header){
		"version": func(h *header) { h.Version++ }, "cluster": func(h *header) { h.Cluster = "x" },
		"channel": func(h *header) { h.Channel = "x" }, "from": func(h *header) { h.From = "x" },
		"to order": func(h *header) { h.To = []NodeID{"cd", "b"} }, "to boundary": func(h *header) { h.To = []NodeID{"bc", "d"} },
		"to count": func(h *header) { h.To = nil }, "kind": func(h *header) { h.Kind++ }, "topic": func(h *header) { h.Topic[0]++ },
		"boot": func(h *header) { h.Boot[0]++ }, "bootMS": func(h *header) { h.BootMS++ }, "seq": func(h *header) { h.Seq++ },
		"time": func(h *header) { h.TimeMS++ }, "body": func(h *header) { h.BodyHash[0]++ },
		"private": func(h *header) { h.Private = true }, "enc": func(h *header) { h.Enc = nil }, "count": func(h *header) { h.Count++ },
	} {
		h := base
		change(&h)
		if other, ok := seen[h.digest()]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[h.digest()] = name
	}
}

// Goal: the format does not change by accident: nodes of two releases must understand each other. Method: golden bytes of a
// fixed envelope; Ed25519 is deterministic, and so is the test's randomness.
func TestGolden(t *testing.T) {
	raw := newEnd(t, "a", start, 1).seal(Envelope{Kind: 7, Topic: [32]byte{1, 2}, To: []NodeID{"b", "c"}, Body: []byte("body")})
	s, err := unframe(raw)
	if err != nil {
		t.Fatal(err)
	}
	d, sum := s.Header.digest(), canon.Hash("golden", raw)
	for _, g := range []struct{ name, got, want string }{
		{"digest", hex.EncodeToString(d[:]), goldenDigest},
		{"frame", hex.EncodeToString(sum[:]), goldenFrame},
	} {
		if g.got != g.want {
			t.Errorf("%s is now %s: a change of format needs a new wireVersion", g.name, g.got)
		}
	}
}

const (
	goldenDigest = "8c2050dbbafaf8371f399e3807f4add6492ed167c9b57e7f1087dde11df759dc"
	goldenFrame  = "534798b624e9eb916b5690ed6d05f3f81a1382ccfabfc2f181a6682be17d2f96"
)

// Goal: no bytes make the decoder panic, and what it accepts has one encoding and obeys the rules between fields. Method: fuzz.
func FuzzDecode(f *testing.F) {
	a := newEnd(f, "a", start, 1)
	for _, e := range []Envelope{{}, {Kind: 1, Body: []byte("x"), To: []NodeID{"b"}}, private("b", "x")} {
		s, err := unframe(a.seal(e))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(canon.MustMarshal(s))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decode(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(canon.MustMarshal(s), raw) {
			t.Error("two encodings")
		}
		if s.Header.Private && (len(s.Header.To) != 1 || len(s.Header.Enc) != encLen) {
			t.Error("private envelope without a recipient or a key")
		}
	})
}

// Goal: no bytes make who takes a frame apart panic, nor read beyond it, and no two frames are read as one. Method: fuzz; what was read is
// put together again.
func FuzzFront(f *testing.F) {
	a := newEnd(f, "a", start, 1)
	for _, e := range []Envelope{{}, {Kind: 1, Body: []byte("x"), To: []NodeID{"b"}}, private("b", "x")} {
		f.Add(a.seal(e))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, _, ok := parseFront(raw, "news")
		if !ok {
			return
		}
		count := binary.BigEndian.AppendUint16(nil, uint16(len(p.places)/placeLen))
		if !bytes.Equal(slices.Concat(p.first, count, p.places, p.sealed), raw) || len(p.places) > macsMax*placeLen {
			t.Error("not the frame that it was")
		}
		h := header{From: NodeID(p.From), Boot: p.Boot, BootMS: p.BootMS, Seq: p.Seq, TimeMS: p.TimeMS}
		if again := frame(&h, p.sealed, nil); !bytes.Equal(again[:len(p.first)-32], p.first[:len(p.first)-32]) || len(p.From) > 255 {
			t.Error("read otherwise than it is written")
		}
	})
}

// Goal: no bytes make a receiver panic, or deliver anything that was not sent. Method: fuzz the whole way of receipt. A worker
// process has encapsulated keys of its own, so what counts is what was said, not the bytes.
func FuzzReceive(f *testing.F) {
	a := newEnd(f, "a", start, 1)
	for _, e := range []Envelope{{Body: []byte("x")}, {Body: []byte("x"), To: []NodeID{"b"}}, private("b", "x")} {
		f.Add(a.seal(e))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := newEnd(t, "b", start, 2)
		if e, _, ok := b.receive(raw); ok && (e.From != "a" || string(e.Body) != "x" || e.Kind != 0) {
			t.Errorf("forgery accepted: %+v", e)
		}
	})
}

// Goal: no bytes make the verifier of proofs panic or agree. Method: fuzz.
func FuzzProof(f *testing.F) {
	_, peers := roster3(f)
	a, b := newEnd(f, "a", start, 1), newEnd(f, "b", start, 2)
	env := b.take(a.seal(Envelope{Kind: 1, Body: []byte("x")}))
	f.Add(env.Proof)
	f.Add(b.take(a.seal(private("b", "x"))).Proof)
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := env
		e.Proof = raw
		if VerifyProof(peers["a"].Identity, e) && !bytes.Equal(raw, env.Proof) {
			t.Error("forged proof holds")
		}
	})
}
