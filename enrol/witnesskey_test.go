package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// enrolled is a node without a token: who has its identity signs its enrolments.
type enrolled struct {
	t    *testing.T
	id   transport.Identity
	peer transport.Peer
	keys [2]attest.Hex // that cosign and attest
}

func newEnrolled(t *testing.T, name transport.NodeID) *enrolled {
	t.Helper()
	x := &enrolled{t: t}
	var err error
	if x.id, x.peer, err = transport.NewIdentity(name, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for i := range x.keys {
		x.keys[i] = x.newKey()
	}
	return x
}

func (x *enrolled) newKey() attest.Hex {
	x.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		x.t.Fatal(err)
	}
	der, err := attest.MarshalPublicKey(&key.PublicKey)
	if err != nil {
		x.t.Fatal(err)
	}
	return der
}

// enrolment is one that both keys sign after it was changed.
func (x *enrolled) enrolment(version int, change func(*Enrolment)) Enrolment {
	e := Enrolment{Version: version, Cluster: "c", Node: string(x.id.Node), Identity: attest.Hex(x.peer.Identity), Seal: x.peer.HPKE,
		CosignKey: x.keys[0], AttestKey: x.keys[1], Endpoint: "https://" + string(x.id.Node)}
	if version > 2 {
		e.WitnessKey = x.peer.WitnessKey
	}
	change(&e)
	if e.Signature = x.id.Sign(e.digest()); len(e.WitnessKey) > 0 {
		e.WitnessSignature = x.id.SignWitness(e.digest())
	}
	return e
}

func asItIs(*Enrolment) {}

// Goal: nobody enrols with a witness key that he does not have, nor puts one into the enrolment of another; those of releases before it
// are read as they were. Method: an enrolment whose identity signs whatever it holds, with the key of another node, cut, without proof,
// with that of another enrolment, and as versions that have none.
func TestWitnessKeyIsProven(t *testing.T) {
	x, other := newEnrolled(t, "n1"), newEnrolled(t, "n2")
	theirs := other.enrolment(3, asItIs)
	keep := func(e *Enrolment, change func(*Enrolment)) Enrolment { // which its identity signs, and not its witness key
		change(e)
		e.Signature = x.id.Sign(e.digest())
		return *e
	}
	good := func() *Enrolment {
		e := x.enrolment(3, asItIs)
		return &e
	}
	for name, row := range map[string]struct {
		e    Enrolment
		want string
	}{
		"good":          {*good(), ""},
		"before":        {x.enrolment(2, asItIs), ""},
		"another's key": {keep(good(), func(e *Enrolment) { e.WitnessKey = theirs.WitnessKey }), "its witness key has not signed it"},
		"another's key and signature": {keep(good(), func(e *Enrolment) {
			e.WitnessKey, e.WitnessSignature = theirs.WitnessKey, theirs.WitnessSignature
		}), "its witness key has not signed it"},
		"of another enrolment": {keep(good(), func(e *Enrolment) { e.Endpoint = "https://elsewhere" }), "its witness key has not signed it"},
		"no proof":             {keep(good(), func(e *Enrolment) { e.WitnessSignature = nil }), "its witness key has not signed it"},
		"cut": {keep(good(), func(e *Enrolment) {
			e.WitnessSignature = e.WitnessSignature[1:]
		}), "its witness key has not signed it"},
		"no key": {keep(good(), func(e *Enrolment) { e.WitnessKey = nil }), "its witness key has not signed it"},
		"in the middle": {func() Enrolment {
			e := good()
			e.WitnessKey = theirs.WitnessKey
			e.WitnessSignature = other.id.SignWitness(e.digest())
			return *e
		}(), "its signature does not verify"},
		"under an old version": {keep(good(), func(e *Enrolment) { e.Version = 2 }), "which nobody has signed"},
		"a later version":      {keep(good(), func(e *Enrolment) { e.Version = 4 }), "version 4"},
	} {
		if err := row.e.check(); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: a member that was enrolled before there were witness keys has one by enrolling again, and keeps it: neither a release that tells
// none nor another key of the same identity takes it away. Method: the rosters of a member after one another.
func TestWitnessKeyIsAdded(t *testing.T) {
	dir := t.TempDir()
	a, err := NewOperator(dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	x, other := newEnrolled(t, "n1"), newEnrolled(t, "n2")
	peer := newEnrolled(t, "n3").enrolment(2, asItIs)
	if _, _, err := a.Admit([]Judgement{{Enrolment: x.enrolment(2, asItIs)}, {Enrolment: peer}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, RosterFile))
	if err != nil || strings.Contains(string(old), "witness") {
		t.Errorf("a roster of before has a witness key: %v", err)
	}
	sign := func(e Enrolment) (attest.RosterNode, []string, error) {
		s, changes, err := a.Admit([]Judgement{{Enrolment: e}}, nil, nil)
		if err != nil {
			return attest.RosterNode{}, nil, err
		}
		n, err := s.Roster.Node("n1")
		if err != nil || len(changes) != 1 {
			t.Fatalf("%v, %v", changes, err)
		}
		return n, changes[0].Keys, nil
	}
	n, keys, err := sign(x.enrolment(3, asItIs))
	if err != nil || !slices.Equal(keys, []string{"witness (it had none)"}) || !slices.Equal(n.WitnessKey, x.peer.WitnessKey) || n.Party != 1 {
		t.Errorf("added: %v, %v", keys, err)
	}
	if _, err := os.Stat(filepath.Join(dir, takenOutFile)); err == nil {
		t.Error("that there was no key is kept as a key that was taken out")
	}
	if _, _, err := sign(x.enrolment(3, asItIs)); codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), "in the roster already") {
		t.Errorf("once more: %v", err)
	}
	x.keys[1] = x.newKey()
	if n, keys, err = sign(x.enrolment(2, asItIs)); err != nil || !slices.Equal(keys, []string{"attest"}) || len(n.WitnessKey) == 0 {
		t.Errorf("a new token, by a release before: %v, %v, a key of %d bytes", keys, err, len(n.WitnessKey))
	}
	x.id.SignWitness, x.peer.WitnessKey = other.id.SignWitness, other.peer.WitnessKey
	if _, _, err := sign(x.enrolment(3, asItIs)); codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), "another witness key") {
		t.Errorf("another: %v", err)
	}
}

// Goal: a node whose roster has another witness key than its identity makes does not start: what it cosigned would be refused by all.
// Method: rosters of an enrolment as it is, without the key, and with another's, and the start under each.
func TestWitnessKeyMustBeEnrolled(t *testing.T) {
	c := testNode(t, "n1")
	e, err := Node(t.Context(), c, host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	peer := newEnrolled(t, "n2").enrolment(3, asItIs)
	for name, row := range map[string]struct {
		key  attest.Hex
		good bool
	}{"as it is": {e.WitnessKey, true}, "none": {nil, true}, "another": {newEnrolled(t, "n3").peer.WitnessKey, false}} {
		a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
		if err != nil {
			t.Fatal(err)
		}
		e := e
		e.WitnessKey = row.key
		if _, err := a.Sign(nil, []Enrolment{e, peer}); err != nil {
			t.Fatal(err)
		}
		c.Roster, c.RosterRoot = filepath.Join(a.dir, RosterFile), a.RootHex()
		all := (&host.Checkup{Config: c}).Run(t.Context())
		i := slices.IndexFunc(all, func(f host.Finding) bool { return f.Check == "identity" })
		if i < 0 || (all[i].Err == nil) != row.good || !row.good && codeOf(all[i].Err) != fault.CodeIntegrity {
			t.Errorf("%s: %+v", name, all)
		}
	}
}
