package dkg

import (
	"bytes"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// outsider runs a ceremony, with a liar if r is not nil, and returns what somebody knows who sees every message and holds no secret. Of
// dealings, those that convict their dealer are left out.
func outsider(t *testing.T, p Params, old map[party]*threshold.KeyShare, r *row) (*scene, *public) {
	t.Helper()
	w := tt.NewWorld(3, 4, 3)
	bodies := map[uint8]map[party][]byte{1: {}, 2: {}}
	var id threshold.SessionID
	w.Trace = func(from party, m message) {
		if m.Kind == threshold.Data && bodies[m.Round] != nil {
			id, bodies[m.Round][m.From] = m.Session, m.Body
		}
	}
	s, _ := ceremony(t, w, p, old, r, nil)
	var info *threshold.KeyInfo
	if old != nil {
		info = &old[w.Committee.Parties[0]].KeyInfo
	}
	pub := newPublic(p, w.Committee, info)
	pub.id = id
	for q, body := range bodies[1] {
		c, err := pub.judgeCommitment(body)
		if err != nil {
			t.Fatal(err)
		}
		pub.accept(q, c)
	}
	for q, body := range bodies[2] {
		if d, err := pub.judgeDealing(q, body); err == nil {
			pub.dealt[q] = d
		}
	}
	return s, pub
}

// ciphertext is the share that the dealer encrypted to the receiver.
func (pub *public) ciphertext(dealer, receiver party) group.Scalar {
	i := slices.Index(slices.DeleteFunc(slices.Clone(pub.committee.Parties), func(q party) bool { return q == dealer }), receiver)
	return pub.dealt[dealer].ciphertexts[i]
}

// differ tells whether c - d, taken times G, is the difference of two shares: whether two ciphertexts give away that difference.
func (pub *public) differ(c, d group.Scalar, dealer, receiver, dealer2, receiver2 party) bool {
	g := pub.Group
	left := g.NewPoint().ScalarBaseMult(g.NewScalar().Sub(c, d))
	right := poly.EvalCommitments(g, pub.dealt[dealer].commitments, uint16(receiver))
	right.Sub(right, poly.EvalCommitments(g, pub.dealt[dealer2].commitments, uint16(receiver2)))
	return left.Equal(right)
}

// Goal: who sees every message of a ceremony learns no share: the pad of each is made of the pair's ECDH point, and both directions of
// a pair have their own. Method: an outsider decrypts by the receiver's own rule with every point that can be had without a secret,
// and subtracts the two ciphertexts of a pair; Feldman's check tells it whether it has found something. Keygen and refresh, both curves.
func TestSharesStayHidden(t *testing.T) {
	for _, p := range []Params{edParams, skParams} {
		old := keys(t, tt.NewWorld(3, 4, 3), p)
		for name, old := range map[string]map[party]*threshold.KeyShare{"keygen": nil, "refresh": old} {
			_, pub := outsider(t, p, old, nil)
			parties, g := pub.committee.Parties, p.Group
			if len(pub.dealt) != len(parties) {
				t.Fatalf("%s: %d dealings seen", name, len(pub.dealt))
			}
			for _, dealer := range parties {
				for _, receiver := range parties {
					if dealer == receiver {
						continue
					}
					for what, k := range guesses(pub, dealer, receiver) {
						if pub.fits(dealer, receiver, pub.decrypt(dealer, receiver, k)) {
							t.Errorf("%s, %s: with %s for the ECDH point anybody has the share that %d dealt to %d", g.Name(), name, what, dealer, receiver)
						}
					}
					if pub.fits(dealer, receiver, pub.ciphertext(dealer, receiver)) {
						t.Errorf("%s, %s: %d's share to %d travels in clear", g.Name(), name, dealer, receiver)
					}
					if pub.differ(pub.ciphertext(dealer, receiver), pub.ciphertext(receiver, dealer), dealer, receiver, receiver, dealer) {
						t.Errorf("%s, %s: one pad for both directions between %d and %d", g.Name(), name, dealer, receiver)
					}
				}
			}
		}
	}
}

// guesses are points that an outsider can make.
func guesses(pub *public, dealer, receiver party) map[string]group.Point {
	g := pub.Group
	d, r := pub.encKeys[dealer], pub.encKeys[receiver]
	return map[string]group.Point{
		"the identity":       g.NewPoint(),
		"the generator":      g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(1)),
		"the dealer's key":   d,
		"the receiver's key": r,
		"the keys' sum":      g.NewPoint().Add(d, r),
		"a commitment":       pub.dealt[dealer].commitments[1],
	}
}

// Goal: two receivers never share a pad, though one of them says the other's encryption key is its own: else the difference of their shares
// is public. Method: a party copies another's key; an outsider subtracts what the honest dealers send to the two.
func TestCopiedKeySharesNoPad(t *testing.T) {
	for _, p := range []Params{edParams, skParams} {
		s, pub := outsider(t, p, nil, &row{says: say(1, func(s *scene, m *message) {
			copy(m.Body[32:], s.states[s.second].encBytes[s.second])
		})})
		if !bytes.Equal(pub.encBytes[s.liar], pub.encBytes[s.second]) {
			t.Fatal("the key was not copied")
		}
		for _, dealer := range pub.committee.Parties {
			if dealer == s.liar || dealer == s.second {
				continue
			}
			a, b := pub.ciphertext(dealer, s.liar), pub.ciphertext(dealer, s.second)
			if pub.differ(a, b, dealer, s.liar, dealer, s.second) {
				t.Errorf("%s: party %d pads the shares of both alike", p.Group.Name(), dealer)
			}
		}
	}
}

// Goal: a commitment tells nothing before it is opened: who guesses the whole opening cannot try the guess, because of the salt. Method: in
// two refreshes, whose openings hold no other fresh value than the polynomial, every party's salt is new, and the commitment moves with it.
func TestCommitmentIsSalted(t *testing.T) {
	seen := map[string]bool{string(make([]byte, saltLen)): true}
	ks := keys(t, tt.NewWorld(3, 4, 3), edParams)
	for _, old := range []map[party]*threshold.KeyShare{nil, ks} {
		s, pub := outsider(t, edParams, old, nil)
		for q, st := range s.states {
			open := slices.Clone(st.opens)
			if commitment(pub.id, q, pub.encBytes[q], open) != pub.coms[q] {
				t.Fatalf("party %d did not commit to what it opened", q)
			}
			salt := open[len(open)-saltLen:]
			if seen[string(salt)] {
				t.Errorf("party %d: no salt, or one used before: %x", q, salt)
			}
			seen[string(salt)] = true
			clear(salt)
			if commitment(pub.id, q, pub.encBytes[q], open) == pub.coms[q] {
				t.Errorf("party %d: the commitment is the same without salt", q)
			}
		}
	}
}

// Goal: a commitment is of one party in one ceremony, with one encryption key. Method: change each by itself.
func TestCommitmentBindsItsPlace(t *testing.T) {
	id, key, opening := threshold.SessionID{1}, []byte("key"), []byte("opening")
	com := commitment(id, 7, key, opening)
	for what, other := range map[string][32]byte{
		"session": commitment(threshold.SessionID{2}, 7, key, opening),
		"party":   commitment(id, 8, key, opening),
		"key":     commitment(id, 7, []byte("another"), opening),
		"opening": commitment(id, 7, key, []byte("another")),
	} {
		if other == com {
			t.Errorf("%s does not count", what)
		}
	}
}
