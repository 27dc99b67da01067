package attest

import (
	"bytes"
	"strings"
	"testing"
)

var frozenWallet = KeyID("ed25519", []byte("k"))

func goodFreeze() Freeze {
	return Freeze{Version: FreezeVersion, Cluster: "c", Node: "n", Scope: ScopeWallet, Name: frozenWallet, Reason: "r", Created: 1,
		Nonce: make([]byte, freezeNonce)}
}

// Goal: a freeze says exactly what it covers, in words that can be seen, and covers that. Method: one bent in each way; a table of what
// each scope covers.
func TestFreezeShape(t *testing.T) {
	for name, bend := range map[string]func(f *Freeze){
		"version":              func(f *Freeze) { f.Version++ },
		"cluster":              func(f *Freeze) { f.Cluster = "" },
		"node":                 func(f *Freeze) { f.Node = "a b" },
		"no reason":            func(f *Freeze) { f.Reason = "" },
		"long reason":          func(f *Freeze) { f.Reason = strings.Repeat("r", MaxReason+1) },
		"unseen reason":        func(f *Freeze) { f.Reason = "\u202e" },
		"time":                 func(f *Freeze) { f.Created = 0 },
		"nonce":                func(f *Freeze) { f.Nonce = f.Nonce[1:] },
		"scope":                func(f *Freeze) { f.Scope = "all" },
		"no wallet":            func(f *Freeze) { f.Name = "w_x" },
		"a name of a cluster":  func(f *Freeze) { f.Scope = ScopeCluster },
		"a vault without name": func(f *Freeze) { f.Scope, f.Name = ScopeVault, "" },
		"a vault of a long name": func(f *Freeze) {
			f.Scope, f.Name = ScopeVault, strings.Repeat("v", maxFrozen+1)
		},
		"an unseen vault": func(f *Freeze) { f.Scope, f.Name = ScopeVault, "a\n" },
	} {
		f := goodFreeze()
		if bend(&f); f.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := goodFreeze().Validate(); err != nil {
		t.Error(err)
	}
	for _, row := range []struct {
		scope               Scope
		name, wallet, vault string
		want                bool
	}{
		{ScopeCluster, "", "w", "v", true}, {ScopeCluster, "", "", "", true},
		{ScopeVault, "v", "w", "v", true}, {ScopeVault, "v", "", "v", true}, {ScopeVault, "v", "v", "", false},
		{ScopeWallet, "w", "w", "v", true}, {ScopeWallet, "w", "x", "w", false}, {ScopeWallet, "w", "", "v", false},
	} {
		if got := (Freeze{Scope: row.scope, Name: row.name}).Covers(row.wallet, row.vault); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
}

// Goal: a thaw is of one freeze of one cluster under one authority, and signatures of it serve nothing else. Method: each field of it bent,
// under its own message, signed by all.
func TestThawBinds(t *testing.T) {
	p := newPeople(t, everybody...)
	a := p.authority(t)
	f := goodFreeze()
	f.Cluster = a.Cluster
	word := func(bend func(x *Thaw)) SignedThaw {
		x := Thaw{Cluster: a.Cluster, Freeze: f.Digest(), Authority: a.Digest()}
		bend(&x)
		s := SignedThaw{Thaw: x}
		for _, o := range a.Officers {
			sig, err := x.Sign(o.Name, p.sign(o.Name))
			must(t, err)
			s.Signatures = append(s.Signatures, sig)
		}
		return s
	}
	must(t, a.CheckThaw(f, word(func(*Thaw) {})))
	for name, bend := range map[string]func(x *Thaw){
		"cluster":   func(x *Thaw) { x.Cluster = "other" },
		"freeze":    func(x *Thaw) { x.Freeze[0]++ },
		"authority": func(x *Thaw) { x.Authority[0]++ },
	} {
		if err := a.CheckThaw(f, word(bend)); err == nil {
			t.Errorf("of another %s: taken", name)
		}
	}
	bent := a
	bent.Quorum = 1
	if err := bent.CheckThaw(f, word(func(*Thaw) {})); err == nil {
		t.Error("words under an authority hold under another")
	}
}

// FuzzFreeze: what is read is written again as it means the same, and only what is well-formed is read.
func FuzzFreeze(f *testing.F) {
	f.Add(goodFreeze().JSON())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseFreeze(b)
		if err != nil {
			return
		}
		again, err := ParseFreeze(x.JSON())
		if err != nil || again.Digest() != x.Digest() || !bytes.Equal(again.JSON(), x.JSON()) {
			t.Errorf("read again it is another: %v", err)
		}
	})
}
