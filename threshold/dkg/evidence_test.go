package dkg

import (
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// recorded runs an honest ceremony, or one with a liar, and keeps every broadcast, once.
func recorded(t *testing.T, r *row) (*scene, *tt.World, []message) {
	t.Helper()
	w := tt.NewWorld(3, 4, 3)
	var all []message
	seen := map[string]bool{}
	w.Trace = func(_ party, m message) {
		if m.Kind == threshold.Data && !seen[string(m.Proof)] {
			seen[string(m.Proof)] = true
			all = append(all, m)
		}
	}
	s, _ := ceremony(t, w, edParams, nil, r, nil)
	return s, w, all
}

// Goal: a complainer cannot convict an honest dealer by showing third parties another encryption key than it showed the
// dealer. Method: it signs a second D1 and a complaint that is flawless for it; only the dealer's echo tells.
func TestSecondKeyFramesNobody(t *testing.T) {
	s, w, all := recorded(t, nil)
	setup := threshold.Setup{Ceremony: all[0].Ceremony, Context: []byte("byzantine"), Committee: w.Committee, Authentic: w.Authentic}
	forger, dealer := w.Committee.Parties[0], w.Committee.Parties[2]
	pub := s.states[dealer].public
	g := pub.Group
	secret, err := randomScalar(g, tt.NewRand(1, "forger"))
	if err != nil {
		t.Fatal(err)
	}
	key, k := g.NewPoint().ScalarBaseMult(secret), g.NewPoint().ScalarMult(secret, pub.encKeys[dealer])
	proof, err := proveEqualLogs(g, pub.complaintContext(forger, dealer), secret, key, pub.encKeys[dealer], k, tt.NewRand(2, "forger"))
	if err != nil {
		t.Fatal(err)
	}
	evidence := slices.Clone(all)
	for i, m := range evidence {
		if m.From != forger {
			continue
		}
		switch m.Round {
		case 1:
			m.Body = append(slices.Clone(m.Body[:32]), key.Bytes()...)
		case 3:
			m.Body = canon.MustMarshal(verdict{make([]byte, 32), []complaint{{dealer, k.Bytes(), proof}}})
		}
		evidence[i] = w.Sign(m)
	}
	a := &threshold.Abort{Kind: threshold.Proven, Check: "dkg-share", Round: 3, Culprits: []party{dealer}, Evidence: evidence}
	if VerifyEvidence(edParams, setup, nil, a) == nil {
		t.Error("an honest dealer is framed by a second encryption key")
	}
}

// Goal: a dealer that is rightly complained of cannot turn the complaint against the complainer by showing third parties a
// good D2. Method: the complaint is judged with the dealing it should have made; only the complainer's echo tells.
func TestSecondDealingFramesNobody(t *testing.T) {
	var good []byte
	s, w, all := recorded(t, &row{says: say(2, func(s *scene, m *message) {
		good = slices.Clone(m.Body)
		n := len(m.Body) // every ciphertext wrong
		for i := range s.st().n - 1 {
			m.Body[n-32*(i+1)] ^= 1
		}
	})})
	setup := threshold.Setup{Ceremony: all[0].Ceremony, Context: []byte("byzantine"), Committee: w.Committee, Authentic: w.Authentic}
	evidence := slices.Clone(all)
	a := &threshold.Abort{Kind: threshold.Proven, Check: "dkg-share", Round: 3, Culprits: []party{s.liar}, Evidence: evidence}
	if err := VerifyEvidence(edParams, setup, nil, a); err != nil {
		t.Fatalf("the dealer is not convicted: %v", err)
	}
	for i, m := range evidence {
		if m.From == s.liar && m.Round == 2 {
			m.Body = good
			evidence[i] = w.Sign(m)
		}
	}
	if VerifyEvidence(edParams, setup, nil, a) == nil {
		t.Error("a good dealing convicts its dealer")
	}
	for _, p := range w.Committee.Parties {
		b := &threshold.Abort{Kind: threshold.Proven, Check: "dkg-complaint", Round: 3, Culprits: []party{p}, Evidence: evidence}
		if p != s.liar && VerifyEvidence(edParams, setup, nil, b) == nil {
			t.Errorf("party %d, rightly complaining, is framed by a second dealing", p)
		}
	}
}

// Goal: evidence convicts of the check that it shows, and only an abort of kind Proven that names somebody. Method: an abort that convicts,
// with its words changed.
func TestEvidenceNamesItsCheck(t *testing.T) {
	w := tt.NewWorld(3, 4, 3)
	setup := w.Setup(0, nil, "byzantine")
	s, out := ceremony(t, w, edParams, nil, &row{says: say(2, func(_ *scene, m *message) { m.Body[0] ^= 1 })}, nil)
	good := out[s.second].Abort
	if good == nil || good.Check != "dkg-commitment" || VerifyEvidence(edParams, setup, nil, good) != nil {
		t.Fatalf("no abort that convicts: %v", good)
	}
	for name, change := range map[string]func(a *threshold.Abort){
		"another check": func(a *threshold.Abort) { a.Check = "dkg-point" },
		"no check":      func(a *threshold.Abort) { a.Check = "" },
		"retry":         func(a *threshold.Abort) { a.Kind = threshold.Retry },
		"ban":           func(a *threshold.Abort) { a.Kind = threshold.Ban },
		"nobody":        func(a *threshold.Abort) { a.Culprits = nil },
		"another":       func(a *threshold.Abort) { a.Culprits = []party{s.second} },
		"others too":    func(a *threshold.Abort) { a.Culprits = []party{s.liar, s.second} },
		"no evidence":   func(a *threshold.Abort) { a.Evidence = nil },
		"no signature": func(a *threshold.Abort) {
			a.Evidence = slices.Clone(a.Evidence)
			for i := range a.Evidence {
				a.Evidence[i].Proof = nil
			}
		},
	} {
		a := *good
		change(&a)
		if VerifyEvidence(edParams, setup, nil, &a) == nil {
			t.Errorf("%s: convicts", name)
		}
	}
}
