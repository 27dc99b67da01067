package dkg

import (
	"errors"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// verdict is D3.
type verdict struct {
	Digest     []byte      `cbor:"1,keyasint"` // KeyInfo.Digest, 32 bytes
	Complaints []complaint `cbor:"2,keyasint,omitempty"`
}

// complaint opens the encryption from Dealer to the complainer: their ECDH point, and the proof that it is theirs.
type complaint struct {
	Dealer threshold.PartyID `cbor:"1,keyasint"`
	Point  []byte            `cbor:"2,keyasint"` // K
	Proof  []byte            `cbor:"3,keyasint"` // c ‖ z
}

func (st *state) complaintContext(complainer, dealer threshold.PartyID) [32]byte {
	return canon.Hash("mpcd/v1/dkg/complaint", st.id[:], partyBytes(complainer), partyBytes(dealer))
}

func (st *state) complain(dealer threshold.PartyID, rand io.Reader) (complaint, error) {
	g, self := st.Group, st.setup.Self
	k := g.NewPoint().ScalarMult(st.enc, st.encKeys[dealer])
	proof, err := proveEqualLogs(g, st.complaintContext(self, dealer), st.enc, st.encKeys[self], st.encKeys[dealer], k, rand)
	return complaint{dealer, k.Bytes(), proof}, err
}

// judge decides a complaint: the error blames the dealer if it is right, the complainer if it is not.
func (st *state) judge(complainer threshold.PartyID, c complaint) error {
	g := st.Group
	wrong := func(why string) error { return threshold.Fault(threshold.Proven, "dkg-complaint", errors.New(why)) }
	dealerKey, known := st.encKeys[c.Dealer]
	if !known || c.Dealer == complainer || len(c.Proof) != 2*g.ScalarLen() {
		return wrong("malformed complaint")
	}
	k, err := g.NewPoint().SetCanonical(c.Point)
	if err != nil {
		return wrong("the opened point is not a point")
	}
	if !verifyEqualLogs(g, st.complaintContext(complainer, c.Dealer), st.encKeys[complainer], dealerKey, k, c.Proof) {
		return wrong("the opened point is not the pair's")
	}
	d := st.dealt[c.Dealer]
	if c.Dealer == st.setup.Self {
		d = st.ownDealing()
	}
	if st.fits(d, complainer, st.decrypt(d, c.Dealer, complainer, k)) {
		return wrong("the share it complains of fits the commitments")
	}
	if c.Dealer == st.setup.Self {
		return &threshold.Abort{Kind: threshold.Local, Check: "dkg-share", Err: errors.New("a peer proved that the share we dealt is wrong")}
	}
	return st.blame(c.Dealer, "the share it dealt does not fit its commitments")
}

func (st *state) blame(dealer threshold.PartyID, why string) error {
	return &threshold.Abort{Kind: threshold.Proven, Check: "dkg-share", Culprits: []threshold.PartyID{dealer}, Err: errors.New(why)}
}

// ownDealing is our own D2 in the form of a received one.
func (st *state) ownDealing() *dealing {
	d := &dealing{commitments: st.ownCommit}
	for _, p := range st.setup.Committee.Parties {
		if p == st.setup.Self {
			continue
		}
		s := st.poly.Eval(uint16(p))
		k := st.Group.NewPoint().ScalarMult(st.enc, st.encKeys[p])
		d.ciphertexts = append(d.ciphertexts, s.Add(s, st.pad(st.setup.Self, p, k)))
	}
	return d
}
