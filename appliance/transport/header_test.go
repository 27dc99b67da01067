package transport

import (
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: whoever carries a frame changes nothing in what is sealed, and uses nothing up. Method: each byte of a genuine frame is changed,
// which is delivered afterwards.
func TestCarrier(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	raw := a.seal(Envelope{To: []NodeID{"b"}, Kind: 1, Body: []byte("pay alice")})
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		if e, _, ok := b.receive(changed); ok {
			t.Errorf("byte %d of %d changed: delivered %+v", i, len(raw), e)
		}
	}
	if s := b.net.Sight("a"); s != (Sight{}) {
		t.Errorf("a carrier tells of the sender: %+v", s)
	}
	if got := b.take(raw); string(got.Body) != "pay alice" {
		t.Errorf("%q", got.Body)
	}
	b.refuse(raw, DropReplay)
}

// Goal: what a sender has not signed is not delivered, though it is from it by its MAC: the signature is the evidence. Method: each change
// to what was signed, under a MAC that holds.
func TestSignedToo(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
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
		"number":     {func(s *sealed) { s.Header.Seq += 1000 }, DropSignature},
		"time":       {func(s *sealed) { s.Header.TimeMS++ }, DropSignature},
		"signature":  {func(s *sealed) { s.Signature[63] ^= 1 }, DropSignature},
		"cluster":    {func(s *sealed) { s.Header.Cluster = "other" }, DropForeign},
		"channel":    {func(s *sealed) { s.Header.Channel = "other" }, DropForeign},
		"for others": {func(s *sealed) { s.Header.To = []NodeID{"c"} }, DropNotForUs},
	} {
		s, err := unframe(a.seal(Envelope{To: []NodeID{"b"}, Kind: 1, Body: []byte("pay alice")}))
		if err != nil {
			t.Fatal(err)
		}
		front := s.Header // of this channel, whatever the header says
		c.change(s)
		front.Boot, front.Seq, front.TimeMS = s.Header.Boot, s.Header.Seq, s.Header.TimeMS
		if _, reason, ok := b.receive(a.wrapAs(s, &front)); ok || reason != c.want {
			t.Errorf("%s: delivered %v, dropped as %v, want %v", name, ok, reason, c.want)
		}
	}
}

// Goal: what a proof shows of sender, run, number and time is what the envelope was admitted by. Method: a sender signs each of them as
// another than its front says.
func TestFrontIsTheHeader(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	for name, change := range map[string]func(*header){
		"sender": func(h *header) { h.From = "c" }, "run": func(h *header) { h.Boot[0]++ }, "run's number": func(h *header) { h.BootMS++ },
		"number": func(h *header) { h.Seq++ }, "time": func(h *header) { h.TimeMS++ },
	} {
		s, err := unframe(a.seal(Envelope{}))
		if err != nil {
			t.Fatal(err)
		}
		front := s.Header
		change(&s.Header)
		s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
		if _, reason, ok := b.receive(a.wrapAs(s, &front)); ok || reason != DropMalformed {
			t.Errorf("%s: delivered %v, dropped as %v", name, ok, reason)
		}
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
		got := b.take(a.seal(env))
		s, err := unframe(a.seal(env))
		if err != nil || !VerifyProof(peers["a"].Identity, got) {
			t.Fatalf("%s, before the change: %v", name, err)
		}
		front := s.Header
		c.change(&s.Header)
		s.Signature, _ = a.conn.(*securedConn).sign(s.Header.digest())
		front.Seq = s.Header.Seq
		b.refuse(a.wrapAs(s, &front), DropMalformed)

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
		s, err := unframe(a.seal(env))
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
