package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Goal of all: no bytes of a stranger panic a decoder, and what it accepts is the one encoding of itself.

func FuzzStatement(f *testing.F) {
	f.Add(Statement{Version: 1, Cluster: "test", Node: "node1"}.Leaf())
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Statement
		if canon.Unmarshal(b, &s) == nil && !bytes.Equal(s.Leaf(), b) {
			t.Error("a second encoding")
		}
	})
}

func FuzzAuthority(f *testing.F) {
	p := newPeople(f, everybody...)
	f.Add(AuthorityChain{p.signed(f, p.authority(f), RootSigner)}.JSON())
	authors := p.authority(f)
	authors.Authors, authors.Officers, authors.Quorum, authors.AuthorQuorum = authors.Officers[1:], authors.Officers[:1], 1, 1
	f.Add(AuthorityChain{p.signed(f, authors, RootSigner)}.JSON())
	root := p.root.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseAuthority(b, root); err == nil {
			if again, err := ParseAuthority(c.JSON(), root); err != nil || !bytes.Equal(again.JSON(), c.JSON()) {
				t.Errorf("what it reads it does not read again: %v", err)
			}
		}
	})
}

func FuzzCose(f *testing.F) {
	token := newTestToken(f, bothKeys)
	for id := range bothKeys {
		b, err := Attest(context.Background(), token, token.key(id), testHeader(), testLeaves(2))
		must(f, err)
		f.Add(b.Cose)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse1(b); err == nil {
			again, err := (&m.Sign1Message).MarshalCBOR()
			if err != nil || !bytes.Equal(again, b) || m.header.validate() != nil {
				t.Error("a second encoding")
			}
		}
		_, _ = VerifyBatch(token.key("p256").Public, testExpect, testLeaves(2), b)
	})
}

func FuzzShareBatch(f *testing.F) {
	f.Add(ShareBatch{[]byte{1}, [][]byte{{2}, {}}}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if sb, err := ParseShareBatch(b); err == nil && !bytes.Equal(sb.Bytes(), b) {
			t.Error("a second encoding")
		}
	})
}

func FuzzAttestation(f *testing.F) {
	f.Add(canon.MustMarshal(Attestation{Cose: Hex{1}, Path: []Hash{{2}}}), []byte("leaf"))
	f.Fuzz(func(t *testing.T, b, leaf []byte) {
		var a Attestation
		if canon.Unmarshal(b, &a) == nil {
			_ = a.covers(Header{Count: a.Count}, leaf)
		}
	})
}

func FuzzIntent(f *testing.F) {
	f.Add(Intent{Version: IntentVersion, Cluster: "test", Node: "node1"}.Bytes())
	f.Add(Intent{Version: IntentVersion, Cluster: "test", Operation: OpSign, RequestID: "r", KeyID: "w_x", Scheme: "s", Epoch: 1,
		Message: make(Hex, 32), Path: []uint32{0, 5}, Tweaks: []threshold.Tweak{{T: threshold.Scalar{1}}},
		Signers: []threshold.PartyID{1, 2}, Node: "node1", Created: 1}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := ParseIntent(b); err == nil && !bytes.Equal(i.Bytes(), b) {
			t.Error("a second encoding")
		}
	})
}

func FuzzReceipt(f *testing.F) {
	c := newCluster(f)
	f.Add(c.receipt(f).JSON())
	f.Add([]byte(`{"version":1,"nodes":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReceipt(b)
		if err != nil {
			return
		}
		again, err := ParseReceipt(r.JSON())
		if err != nil || again.Digest() != r.Digest() {
			t.Errorf("a receipt that does not survive its own encoding: %v", err)
		}
		_ = VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{})
	})
}

func FuzzRoster(f *testing.F) {
	c := newCluster(f)
	f.Add(c.roster.JSON())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseRoster(b); err == nil {
			if again, err := ParseRoster(s.JSON()); err != nil || again.Fingerprint() != s.Fingerprint() {
				t.Errorf("a roster that does not survive its own encoding: %v", err)
			}
		}
	})
}
