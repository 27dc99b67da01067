package threshold_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: no key is ever made for a committee that cannot hold it. Method: a good committee, damaged in every way.
func TestCommittee(t *testing.T) {
	good := func() threshold.Committee { return tt.NewWorld(1, 4, 3).Committee }
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(*threshold.Committee){
		"threshold 0":    func(c *threshold.Committee) { c.Threshold = 0 },
		"threshold 1":    func(c *threshold.Committee) { c.Threshold = 1 },
		"threshold -1":   func(c *threshold.Committee) { c.Threshold = -1 },
		"threshold n+1":  func(c *threshold.Committee) { c.Threshold = 5 },
		"nobody":         func(c *threshold.Committee) { *c = threshold.Committee{Threshold: 2} },
		"party 0":        func(c *threshold.Committee) { c.Parties[0] = 0 },
		"repeated party": func(c *threshold.Committee) { c.Parties[1] = c.Parties[0] },
		"unordered":      func(c *threshold.Committee) { c.Parties[0], c.Parties[1] = c.Parties[1], c.Parties[0] },
		"identity short": func(c *threshold.Committee) { c.Identities[2] = c.Identities[2][1:] },
		"identity gone":  func(c *threshold.Committee) { c.Identities = c.Identities[1:] },
		"identity twice": func(c *threshold.Committee) { c.Identities[2] = c.Identities[3] },
		"too many": func(c *threshold.Committee) {
			for i := range threshold.MaxParties {
				c.Parties = append(c.Parties, party(1000+i))
				c.Identities = append(c.Identities, bytes.Repeat([]byte{byte(i)}, 32))
			}
		},
	} {
		c := good()
		damage(&c)
		if c.Validate() == nil {
			t.Errorf("%s accepted", name)
		}
		if reflectEqual := c.Equal(good()); reflectEqual {
			t.Errorf("%s: the digest does not bind it", name)
		}
	}
	edge := threshold.Committee{Threshold: 2}
	for i := range threshold.MaxParties {
		edge.Parties = append(edge.Parties, party(1+i))
		edge.Identities = append(edge.Identities, bytes.Repeat([]byte{byte(i)}, 32))
	}
	if err := edge.Validate(); err != nil {
		t.Errorf("%d parties refused: %v", threshold.MaxParties, err)
	}
	c := good()
	for _, q := range [][]party{nil, c.Parties[:2], {c.Parties[0], c.Parties[1], 9999}, {c.Parties[1], c.Parties[0], c.Parties[2]},
		{c.Parties[0], c.Parties[0], c.Parties[1]}, append(slices.Clone(c.Parties), 60000)} {
		if c.CheckQuorum(q) == nil {
			t.Errorf("quorum %v accepted", q)
		}
	}
	n := 0
	c.Subsets(3, func(q []party) bool {
		if err := c.CheckQuorum(q); err != nil {
			t.Error(err)
		}
		n++
		return true
	})
	if n != 4 {
		t.Errorf("%d subsets of 3 in 4", n)
	}
	n = 0
	c.Subsets(2, func([]party) bool { n++; return n < 2 })
	if n != 2 {
		t.Error("Subsets does not stop")
	}
}

// Goal: a message has one encoding, and nothing beyond the limits decodes. Method: round trips, and the edges.
func TestMessageEncoding(t *testing.T) {
	m := message{Session: threshold.SessionID{1}, Round: threshold.MaxRounds, Kind: threshold.Data, To: 7, Echo: [32]byte{2},
		Body: make([]byte, threshold.MaxBody)}
	back, err := threshold.DecodeMessage(m.Encode())
	if err != nil || back.Session != m.Session || back.Round != m.Round || back.To != m.To || back.Echo != m.Echo ||
		!bytes.Equal(back.Body, m.Body) {
		t.Fatalf("came back different: %v", err)
	}
	for name, damage := range map[string]func(*message){
		"round":  func(m *message) { m.Round++ },
		"kind 0": func(m *message) { m.Kind = 0 },
		"kind 4": func(m *message) { m.Kind = 4 },
		"body":   func(m *message) { m.Body = append(m.Body, 0) },
	} {
		bad := m
		damage(&bad)
		if _, err := threshold.DecodeMessage(bad.Encode()); err == nil {
			t.Errorf("%s beyond its limit decodes", name)
		}
	}
	if _, err := threshold.DecodeMessage(append(m.Encode(), 0)); err == nil {
		t.Error("trailing byte decodes")
	}
}

// Goal: originals are the broadcasts of one round, each sender once. Method: lists that are not.
func TestOriginalsEncoding(t *testing.T) {
	m := func(from party, round uint8, to party, kind threshold.MessageKind) message {
		return message{Round: round, Kind: kind, From: from, To: to, Body: []byte("x"), Proof: []byte("p")}
	}
	ceremony := [32]byte{9}
	ms, err := threshold.DecodeOriginals(ceremony, 2, threshold.EncodeOriginals([]message{m(1, 2, 0, threshold.Data),
		m(3, 2, 0, threshold.Data)}))
	if err != nil || len(ms) != 2 || ms[1].From != 3 || ms[1].Ceremony != ceremony || string(ms[1].Proof) != "p" {
		t.Fatal(ms, err)
	}
	many := make([]message, threshold.MaxParties+1)
	for i := range many {
		many[i] = m(party(i+1), 2, 0, threshold.Data)
	}
	for name, list := range map[string][]message{
		"other round": {m(1, 1, 0, threshold.Data)}, "direct": {m(1, 2, 5, threshold.Data)}, "nested": {m(1, 2, 0, threshold.Originals)},
		"unordered": {m(3, 2, 0, threshold.Data), m(1, 2, 0, threshold.Data)}, "twice": {m(1, 2, 0, threshold.Data), m(1, 2, 0, threshold.Data)},
		"too many": many,
	} {
		if _, err := threshold.DecodeOriginals(ceremony, 2, threshold.EncodeOriginals(list)); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// Goal: no verb and no encoder prints a share. Method: all of them, and a search for the secret.
func TestKeyShareIsRedacted(t *testing.T) {
	secret := bytes.Repeat([]byte{0xab}, 32)
	w := tt.NewWorld(1, 3, 2)
	info := threshold.KeyInfo{Kind: "s", Epoch: 1, Party: w.Committee.Parties[0], Committee: w.Committee, PublicShares: make([][]byte, 3)}
	k := threshold.NewKeyShare(info, slices.Clone(secret))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, v := range []any{k, *k, struct{ K *threshold.KeyShare }{k}, []*threshold.KeyShare{k}} {
			if s := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(s, "abab") || strings.Contains(s, "171 171") {
				t.Errorf("%s of %T prints the secret: %.2000s", verb, v, s)
			}
		}
	}
	rec := k.Bytes()
	stored := slices.Clone(rec.Bytes())
	rec.Wipe()
	back, err := threshold.DecodeKeyShare(stored)
	if err != nil || !bytes.Equal(back.Secret(), secret) || back.Digest() != k.Digest() {
		t.Fatal(err)
	}
	back.Destroy()
	back.Destroy()
	version := slices.Clone(stored)
	version[2]++ // behind the head of the map and the key 1
	for name, b := range map[string][]byte{"empty": nil, "short": stored[:len(stored)-1], "long": append(slices.Clone(stored), 0),
		"version": version} {
		if _, err := threshold.DecodeKeyShare(b); err == nil {
			t.Errorf("%s record decodes", name)
		}
	}
	before := []byte{0xa2, 1, 1, 9, 0x60} // a map of version 1 with another field
	if _, err := threshold.DecodeKeyShare(before); err == nil || !strings.Contains(err.Error(), "version 1, this program reads 2") {
		t.Errorf("a record of the version before: %v", err)
	}
	for name, damage := range map[string]func(*threshold.KeyInfo){
		"epoch 0":       func(i *threshold.KeyInfo) { i.Epoch = 0 },
		"stranger":      func(i *threshold.KeyInfo) { i.Party = 9999 },
		"public shares": func(i *threshold.KeyInfo) { i.PublicShares = i.PublicShares[1:] },
		"threshold":     func(i *threshold.KeyInfo) { i.Committee.Threshold = 1 },
	} {
		bad := info
		damage(&bad)
		s := threshold.NewKeyShare(bad, slices.Clone(secret))
		b := s.Bytes()
		if _, err := threshold.DecodeKeyShare(b.Bytes()); err == nil {
			t.Errorf("record with bad %s decodes", name)
		}
		b.Wipe()
		s.Destroy()
	}
	k.Destroy()
}

// Goal: an abort says what happened and unwraps to its cause; kinds have names. Method: look.
func TestAbort(t *testing.T) {
	cause := errors.New("cause")
	a := &threshold.Abort{Kind: threshold.Proven, Check: "check", Round: 2, Culprits: []party{4}, Err: cause}
	if s := a.Error(); !errors.Is(a, cause) || !strings.Contains(s, "proven") || !strings.Contains(s, "check") || !strings.Contains(s, "[4]") {
		t.Error(s)
	}
	names := map[string]bool{}
	for _, k := range []threshold.AbortKind{threshold.Retry, threshold.Ban, threshold.Proven, threshold.Local, 99} {
		names[k.String()] = true
	}
	if len(names) != 5 {
		t.Error(names)
	}
}

// Goal: no bytes make the decoders panic, and what they take has one encoding. Method: fuzz all of them with one input.
func FuzzDecode(f *testing.F) {
	m := message{Session: threshold.SessionID{1}, Round: 1, Kind: threshold.Data, Body: []byte("body"), From: 3}
	f.Add(m.Encode())
	f.Add(threshold.EncodeOriginals([]message{m}))
	f.Add([]byte{0xf6}) // null
	f.Add(canon.MustMarshal(map[int]any{1: "echo", 2: []party{3}, 3: []map[int]any{{1: 3, 2: m.Encode(), 3: []byte{1}}}}))
	w := tt.NewWorld(1, 3, 2)
	k := threshold.NewKeyShare(threshold.KeyInfo{Kind: "s", Epoch: 1, Party: w.Committee.Parties[0], Committee: w.Committee,
		PublicShares: make([][]byte, 3)}, make([]byte, 32))
	rec := k.Bytes()
	f.Add(slices.Clone(rec.Bytes()))
	rec.Wipe()
	k.Destroy()
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := threshold.DecodeMessage(b); err == nil && !bytes.Equal(m.Encode(), b) {
			t.Error("a message has two encodings")
		}
		if ms, err := threshold.DecodeOriginals([32]byte{1}, 1, b); err == nil && !bytes.Equal(threshold.EncodeOriginals(ms), b) {
			t.Error("originals have two encodings")
		}
		_, _ = threshold.DecodeAccusation([32]byte{1}, 1, b)
		if k, err := threshold.DecodeKeyShare(slices.Clone(b)); err == nil {
			again := k.Bytes()
			if !bytes.Equal(again.Bytes(), b) {
				t.Error("a key share has two encodings")
			}
			again.Wipe()
			k.Destroy()
		}
	})
}
