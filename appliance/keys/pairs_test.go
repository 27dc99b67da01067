package keys

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// state is pair state as far as a proposal is held against it.
type state struct {
	threshold.PairState // nothing else is asked of it
	epoch               uint64
	banned              []threshold.PartyID
}

func (s state) Digest() [32]byte            { return [32]byte{byte(s.epoch)} }
func (s state) PairEpoch() uint64           { return s.epoch }
func (s state) Banned() []threshold.PartyID { return s.banned }

// Goal: nobody acts on other pair state than the proposal's, nor makes again what it has; a scheme with pair state is not proposed without,
// nor one without with it. Method: every way in which a proposal and what the node has can differ.
func TestProposedPairs(t *testing.T) {
	scheme, err := schemes.ByID("dkls23-secp256k1")
	if err != nil {
		t.Fatal(err)
	}
	pairer := scheme.(threshold.Pairer)
	has := state{epoch: 5}
	for name, row := range map[string]struct {
		s    threshold.Pairer
		p    threshold.PairState
		x    *ProposedPairs
		code problem.Code // "" if it passes
	}{
		"a scheme without":           {nil, nil, nil, ""},
		"a scheme without, and some": {nil, nil, &ProposedPairs{Epoch: 1}, problem.Invalid},
		"a scheme with, and none":    {pairer, has, nil, problem.Invalid},
		"what we have":               {pairer, has, &ProposedPairs{Digest: has.Digest()}, ""},
		"another":                    {pairer, has, &ProposedPairs{Digest: [32]byte{9}}, problem.PairState},
		"some, and we have none":     {pairer, nil, &ProposedPairs{Digest: has.Digest()}, problem.PairState},
		"the next":                   {pairer, has, &ProposedPairs{Epoch: 6}, ""},
		"the first":                  {pairer, nil, &ProposedPairs{Epoch: 1}, ""},
		"the same again":             {pairer, has, &ProposedPairs{Epoch: 5}, problem.PairState},
	} {
		err := row.x.check(row.s, row.p)
		if (err == nil) != (row.code == "") || err != nil && problem.As(err).Code != row.code {
			t.Errorf("%s: %v, want %q", name, err, row.code)
		}
	}
}

// Goal: nobody signs with a peer that is banned, and the answer names it. Method: a quorum with it, and one without.
func TestCheckBans(t *testing.T) {
	nodes := func([]threshold.PartyID) []transport.NodeID { return []transport.NodeID{"c"} }
	p := state{banned: []threshold.PartyID{3}}
	if err := CheckBans(p, []threshold.PartyID{1, 2}, nodes); err != nil {
		t.Error(err)
	}
	if e := problem.As(CheckBans(p, []threshold.PartyID{1, 3}, nodes)); e.Code != problem.Blame || len(e.Culprits) != 1 {
		t.Errorf("%v", e)
	}
}
