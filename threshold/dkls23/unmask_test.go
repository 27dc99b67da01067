package dkls23

import (
	"bytes"
	"io"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// recorded is what goes between two signers in a session of one entry, as who recorded it, or reads along as bob, has it.
type recorded struct {
	sid         [32]byte // of the entry, which all signers know
	alice, bob  party
	first       []byte          // bob's message of the vector OLE with alice
	answer      []byte          // hers
	point, open secp256k1.Point // R and pk of alice, as she opened them to all
}

// record runs a presigning of two and keeps what alice, the first of them, and bob say to each other.
func (f *fixture) record(t *testing.T) *recorded {
	t.Helper()
	signers := f.Committee.Parties[:2]
	run, states := f.presigning(t, signers, nil, 1)
	r := &recorded{alice: signers[0], bob: signers[1]}
	f.Trace = func(to party, m threshold.Message) {
		switch {
		case m.Kind != threshold.Data:
		case m.Round == 1 && m.From == r.bob && m.To == r.alice:
			r.first = bytes.Clone(m.Body)
		case m.Round == 2 && m.From == r.alice && m.To == r.bob:
			r.answer = bytes.Clone(m.Body[:ot.Msg2Len])
		case m.Round == 2 && m.From == r.alice && to == r.bob:
			public := m.Body[saltLen:]
			_, _ = r.point.SetBytes(public[:pointLen])
			_, _ = r.open.SetBytes(public[pointLen:public2Len])
		}
	}
	defer func() { f.Trace = nil }()
	for _, pres := range results(t, run) {
		discard(pres)
	}
	r.sid = states[r.bob].entries[0].sid
	return r
}

// opens tells whether what was recorded can be unmasked with the pair state of alice: what she masked her inputs with is a function of
// that, of bob's message and of the salt of her answer. So the thief has her answer made again with inputs of zero, and the difference is
// the inputs: r_i, and λ_i·x_i + ζ_i, which are a share of the key and of the nonce. Whether they are shows in what she opened to all.
func (r *recorded) opens(t *testing.T, state []byte) bool {
	t.Helper()
	const salt = 32 // bytes at the beginning of the answer
	s, err := parsePairState(state)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Destroy()
	rand := io.MultiReader(bytes.NewReader(r.answer[:salt]), thresholdtest.NewRand(1, "thief"))
	_, again, err := s.pair(r.bob).sender.Reply(directed(r.sid, r.bob, r.alice), r.first, &[2]secp256k1.Scalar{}, rand)
	if err != nil { // the message is none to this state: check C7
		return false
	}
	for i, public := range []*secp256k1.Point{&r.point, &r.open} {
		var masked, mask secp256k1.Scalar
		at := salt + i*32
		if _, err := masked.SetBytes(r.answer[at : at+32]); err != nil {
			t.Fatal(err)
		}
		if _, err := mask.SetBytes(again[at : at+32]); err != nil {
			t.Fatal(err)
		}
		var p secp256k1.Point
		if p.ScalarBaseMult(masked.Sub(&masked, &mask)); p.Equal(public) != 1 {
			return false
		}
	}
	return true
}

// Goal: a refresh takes from pair state what it is worth: whoever recorded the traffic, or is the other party, and later takes the pair
// state of a party, unmasks its inputs of the sessions under that state and of no others; nor does a state from before the refresh unmask a
// session after it. Method: sessions before and after a refresh of key and pair state, unmasked with the state of either time. What another
// state gives where nobody asks for C7 first is in package ot, TestStateUnmasksItsOwn.
func TestRefreshEndsUnmasking(t *testing.T) {
	f := newFixture(t, 3, 2)
	stored := func() []byte { return bytes.Clone(f.pairs[f.Committee.Parties[0]].Bytes().Bytes()) }
	before, old := f.record(t), stored()
	f.pairs = f.pairSetup(t, 2)
	shares, err := f.Refresh(Scheme{}, f.shares)
	if err != nil {
		t.Fatal(err)
	}
	f.shares = shares
	after, renewed := f.record(t), stored()
	for name, c := range map[string]struct {
		session *recorded
		state   []byte
		opens   bool
	}{
		"a session before the refresh, with the state of then": {before, old, true},
		"a session before it, with the state of now":           {before, renewed, false},
		"a session after it, with the state of before":         {after, old, false},
		"a session after it, with the state of now":            {after, renewed, true},
	} {
		if got := c.session.opens(t, c.state); got != c.opens {
			t.Errorf("%s: opened %v", name, got)
		}
	}
}
