package dkg

import (
	"crypto/subtle"
	"errors"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// D2: commitments to the polynomial ‖ proof of possession ‖ chain code share ‖ salt ‖ encrypted shares; a refresh has
// neither proof nor chain code share.

// dealing is one party's D2, decoded.
type dealing struct {
	commitments []group.Point  // t of them; the first is the identity in a refresh
	chain       [32]byte       // keygen
	ciphertexts []group.Scalar // in the order of the committee without the dealer
}

// deal makes our D2 and keeps our own share.
func (st *state) deal(peers []threshold.Received) []byte {
	self := st.setup.Self
	st.shared = make(map[threshold.PartyID]group.Point, len(peers))
	st.shares = make(map[threshold.PartyID]group.Scalar, st.n)
	points := make([]group.Point, len(peers))
	st.setup.Each(len(peers), func(i int) {
		points[i] = st.Group.NewPoint().ScalarMult(st.enc, st.encKeys[peers[i].From])
	})
	body, own := slices.Clone(st.opens), st.dealt[self]
	for i, x := range peers {
		st.shared[x.From] = points[i]
		s := st.poly.Eval(uint16(x.From))
		s.Add(s, st.pad(self, x.From, points[i]))
		own.ciphertexts = append(own.ciphertexts, s)
		body = append(body, s.Bytes()...)
	}
	st.shares[self] = st.poly.Eval(uint16(self))
	return body
}

// pad hides the share from dealer to receiver; K is their ECDH point. Both directions of a pair have their own pad.
func (pub *public) pad(dealer, receiver threshold.PartyID, k group.Point) group.Scalar {
	kb := k.Bytes()
	defer clear(kb)
	return pub.Group.HashToScalar("mpcd/v1/dkg/pad", pub.id[:], partyBytes(dealer), partyBytes(receiver),
		pub.encBytes[dealer], pub.encBytes[receiver], kb)
}

// round2 waits for the openings and encrypted shares of D2.
type round2 struct {
	st   *state
	done bool
}

func (r *round2) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.d2Len()}
}

// Check judges what everybody can judge; our own share is decrypted in Advance, which owns it.
func (r *round2) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	return r.st.judgeDealing(from, in.Broadcast)
}

func (pub *public) judgeDealing(from threshold.PartyID, body []byte) (*dealing, error) {
	g := pub.Group
	if len(body) != pub.d2Len() {
		return nil, threshold.Faultf(threshold.Proven, "dkg-length", "D2 of %d bytes, want %d", len(body), pub.d2Len())
	}
	open := body[:pub.openLen()]
	want, com := commitment(pub.id, from, pub.encBytes[from], open), pub.coms[from]
	if subtle.ConstantTimeCompare(want[:], com[:]) != 1 {
		return nil, threshold.Fault(threshold.Proven, "dkg-commitment", errors.New("D2 does not open the commitment of D1"))
	}
	d := &dealing{commitments: make([]group.Point, 0, pub.t)}
	if pub.old != nil {
		d.commitments = append(d.commitments, g.NewPoint())
	}
	rest, commitBytes := open, open[:pub.points()*g.PointLen()]
	for range pub.points() {
		c, err := g.NewPoint().SetCanonical(rest[:g.PointLen()])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "dkg-point", err)
		}
		d.commitments, rest = append(d.commitments, c), rest[g.PointLen():]
	}
	if pub.old == nil {
		popLen := g.PointLen() + g.ScalarLen()
		if !verifyPossession(g, pub.id, from, d.commitments[0], commitBytes, rest[:popLen]) {
			return nil, threshold.Fault(threshold.Proven, "dkg-possession", errors.New("proof of possession fails"))
		}
		d.chain = [32]byte(rest[popLen : popLen+32])
	}
	for c := body[len(open):]; len(c) > 0; c = c[g.ScalarLen():] {
		s, err := g.NewScalar().SetCanonical(c[:g.ScalarLen()])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "dkg-scalar", err)
		}
		d.ciphertexts = append(d.ciphertexts, s)
	}
	return d, nil
}

// decrypt takes the receiver's share out of a dealing, with the ECDH point of dealer and receiver.
func (pub *public) decrypt(dealer, receiver threshold.PartyID, k group.Point) group.Scalar {
	i := pub.committee.Position(receiver)
	if receiver > dealer {
		i--
	}
	pad := pub.pad(dealer, receiver, k)
	defer pad.Wipe()
	return pub.Group.NewScalar().Sub(pub.dealt[dealer].ciphertexts[i], pad)
}

// fits is Feldman's check: s·G = Σ x^k·C_k.
func (pub *public) fits(dealer, receiver threshold.PartyID, s group.Scalar) bool {
	want := poly.EvalCommitments(pub.Group, pub.dealt[dealer].commitments, uint16(receiver))
	return pub.Group.NewPoint().ScalarBaseMult(s).Equal(want)
}

// Advance decrypts what was dealt to us, complains of what does not fit, and adds up.
func (r *round2) Advance(rand io.Reader, in []threshold.Received) (step, error) {
	st := r.st
	for _, x := range in {
		st.dealt[x.From] = x.Payload.(*dealing)
	}
	shares, good := make([]group.Scalar, len(in)), make([]bool, len(in))
	st.setup.Each(len(in), func(i int) {
		from := in[i].From
		shares[i] = st.decrypt(from, st.setup.Self, st.shared[from])
		good[i] = st.fits(from, st.setup.Self, shares[i])
	})
	next := &round3{st: st}
	for i, x := range in {
		st.shares[x.From] = shares[i]
		if !good[i] {
			c, err := st.complain(x.From, rand)
			if err != nil {
				return step{}, err
			}
			next.own = append(next.own, c)
		}
	}
	sum := st.Group.NewScalar()
	for _, s := range st.shares {
		sum.Add(sum, s)
	}
	var err error
	if next.share, next.info, err = st.outcome(sum); err != nil || next.share != sum {
		defer sum.Wipe()
	}
	if err != nil {
		return step{}, err
	}
	next.info.Party, next.digest = st.setup.Self, next.info.Digest()
	r.done = true
	body := canon.MustMarshal(verdict{next.digest[:], next.own})
	return step{Out: []threshold.Outgoing{{To: threshold.Everybody, Body: body}}, Next: next}, nil
}

func (r *round2) Erase() {
	if !r.done {
		r.st.wipe()
	}
}
