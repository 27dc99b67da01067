package transport

import (
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: whoever carries a signed envelope changes nothing in it: neither its body, under a header as it was, nor a field that is not
// checked otherwise, and uses nothing up. Method: each change to a genuine envelope, which is delivered afterwards.
func TestCarrier(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	raw := a.seal(Envelope{To: []NodeID{"b"}, Kind: 1, Body: []byte("pay alice")})
	for name, c := range map[string]struct {
		change func(*sealed)
		want   Reason
	}{
		"body":       {func(s *sealed) { s.Body = []byte("pay mallory") }, DropBody},
		"no body":    {func(s *sealed) { s.Body = nil }, DropBody},
		"recipients": {func(s *sealed) { s.Header.To = nil }, DropSignature},
		"kind":       {func(s *sealed) { s.Header.Kind++ }, DropSignature},
		"topic":      {func(s *sealed) { s.Header.Topic[0]++ }, DropSignature},
		"run":        {func(s *sealed) { s.Header.Boot[0]++ }, DropSignature},
		"number":     {func(s *sealed) { s.Header.Seq++ }, DropSignature},
		"time":       {func(s *sealed) { s.Header.TimeMS++ }, DropSignature},
		"another's":  {func(s *sealed) { s.Header.From = "c" }, DropSignature},
		"signature":  {func(s *sealed) { s.Signature[63] ^= 1 }, DropSignature},
	} {
		s, err := decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		c.change(s)
		if _, reason, ok := b.conn.(*securedConn).receive(canon.MustMarshal(s)); ok || reason != c.want {
			t.Errorf("%s: delivered %v, dropped as %v, want %v", name, ok, reason, c.want)
		}
	}
	if got := b.take(raw); string(got.Body) != "pay alice" {
		t.Errorf("%q", got.Body)
	}
}

// brokenHeaders are headers that keep all rules but one.
var brokenHeaders = map[string]struct {
	private bool
	change  func(*header)
}{
	"another version":                {false, func(h *header) { h.Version++ }},
	"too many recipients":            {false, func(h *header) { h.To = slices.Repeat([]NodeID{"b"}, RecipientsMax+1) }},
	"no sequence number":             {false, func(h *header) { h.Seq = 0 }},
	"a cluster that is no name":      {false, func(h *header) { h.Cluster = "A.b" }},
	"a channel that is no name":      {false, func(h *header) { h.Channel = "" }},
	"a sender that is no name":       {false, func(h *header) { h.From = "a>" }},
	"a recipient that is no name":    {false, func(h *header) { h.To = []NodeID{"b", "c d"} }},
	"a recipient of 64 characters":   {false, func(h *header) { h.To = []NodeID{NodeID(strings.Repeat("b", 64))} }},
	"public with a key":              {false, func(h *header) { h.Enc = make([]byte, encLen) }},
	"public with a part of a key":    {false, func(h *header) { h.Enc = make([]byte, 1) }},
	"public with a nonce":            {false, func(h *header) { h.Count = 1 }},
	"public that is said private":    {false, func(h *header) { h.To, h.Private = []NodeID{"b"}, true }},
	"private without a key":          {true, func(h *header) { h.Enc = nil }},
	"private with a short key":       {true, func(h *header) { h.Enc = h.Enc[1:] }},
	"private with a long key":        {true, func(h *header) { h.Enc = append(slices.Clone(h.Enc), 0) }},
	"private without a nonce":        {true, func(h *header) { h.Count = 0 }},
	"private to two":                 {true, func(h *header) { h.To = []NodeID{"b", "c"} }},
	"private to everybody":           {true, func(h *header) { h.To = nil }},
	"private that is said to be not": {true, func(h *header) { h.Private = false }},
}

// Goal: the rules between the fields of a header hold whoever signed it: for what is received, and for what is shown as a proof. Method:
// a sender signs headers that break one rule each; what keeps them all is received, and holds.
func TestHeaderRules(t *testing.T) {
	_, peers := roster3(t)
	for name, c := range brokenHeaders {
		a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
		env := Envelope{Body: []byte("x")}
		if c.private {
			env = private("b", "x")
		}
		raw := a.seal(env)
		got := b.take(raw)
		s, err := decode(raw)
		if err != nil || !VerifyProof(peers["a"].Identity, got) {
			t.Fatalf("%s, before the change: %v", name, err)
		}
		c.change(&s.Header)
		s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
		b.refuse(canon.MustMarshal(s), DropMalformed)

		if VerifyProof(peers["a"].Identity, proveAs(a, s.Header, got.Body, map[bool]int{true: saltLen}[s.Header.Private])) {
			t.Errorf("%s: a proof holds", name)
		}
	}
}

// proveAs is an envelope with a proof that the sender made: of any header, with the right hash of a body and a salt of so many bytes.
func proveAs(from *end, h header, body []byte, salt int) Envelope {
	p := proof{Header: h, Salt: make([]byte, salt)}
	p.Header.BodyHash = hashBody(p.Salt, body)
	p.Signature, _ = from.conn.(*securedConn).sign(p.Header.digest())
	return Envelope{From: h.From, To: h.To, Kind: h.Kind, Topic: h.Topic, Private: h.Private, Body: body, Proof: canon.MustMarshal(p)}
}

// Goal: a sender cannot make proofs that honest receivers would never have been given. Method: it signs the hash of a body with a salt of
// another length, or a salt where none belongs; the salt of a private body holds.
func TestProofSalt(t *testing.T) {
	_, peers := roster3(t)
	a := newEnd(t, "a", start, 1)
	for _, c := range []struct {
		private bool
		salt    int
		ok      bool
	}{{true, saltLen, true}, {true, saltLen - 1, false}, {true, saltLen + 1, false}, {true, 0, false}, {false, 0, true}, {false, 1, false},
		{false, saltLen, false}} {
		env := Envelope{Body: []byte("x")}
		if c.private {
			env = private("b", "x")
		}
		s, err := decode(a.seal(env))
		if err != nil {
			t.Fatal(err)
		}
		if VerifyProof(peers["a"].Identity, proveAs(a, s.Header, env.Body, c.salt)) != c.ok {
			t.Errorf("private %v, a salt of %d bytes: holds %v, want %v", c.private, c.salt, !c.ok, c.ok)
		}
	}
}

// Goal: nothing is sent that receivers would refuse, or that somebody would not get. Method: envelopes that break one rule of Send each.
func TestSendRules(t *testing.T) {
	a := newEnd(t, "a", start, 1)
	for name, e := range map[string]Envelope{
		"too large":                {Body: make([]byte, BodyMax+1)},
		"too many recipients":      {To: slices.Repeat([]NodeID{"b"}, RecipientsMax+1)},
		"private to everybody":     {Private: true},
		"private to two":           {Private: true, To: []NodeID{"b", "c"}},
		"to a stranger":            {To: []NodeID{"b", "stranger"}},
		"private to a stranger":    {Private: true, To: []NodeID{"stranger"}},
		"private to itself":        {Private: true, To: []NodeID{"a"}},
		"to a name that cannot be": {To: []NodeID{"B C"}},
	} {
		if a.conn.Send(t.Context(), e) == nil || len(a.wire.sent) > 0 {
			t.Errorf("%s: sent", name)
		}
		a.wire.sent = nil
	}
	for _, e := range []Envelope{{}, {To: []NodeID{"a", "b"}}, {Body: make([]byte, BodyMax)}, private("b", "x")} {
		a.seal(e)
	}
}
