package dkg

import (
	"bytes"
	"errors"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
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

func (pub *public) complaintContext(complainer, dealer threshold.PartyID) [32]byte {
	return canon.Hash("mpcd/v1/dkg/complaint", pub.id[:], partyBytes(complainer), partyBytes(dealer))
}

func (st *state) complain(dealer threshold.PartyID, rand io.Reader) (complaint, error) {
	self, k := st.setup.Self, st.shared[dealer]
	proof, err := proveEqualLogs(st.Group, st.complaintContext(self, dealer), st.enc, st.encKeys[self], st.encKeys[dealer], k, rand)
	return complaint{dealer, k.Bytes(), proof}, err
}

// judgeComplaint decides: the error blames the dealer if the complaint is right, the complainer if it is not.
func (pub *public) judgeComplaint(complainer threshold.PartyID, c complaint) error {
	g := pub.Group
	wrong := func(why string) error { return threshold.Fault(threshold.Proven, "dkg-complaint", errors.New(why)) }
	dealerKey, known := pub.encKeys[c.Dealer]
	if !known || c.Dealer == complainer || len(c.Proof) != 2*g.ScalarLen() {
		return wrong("malformed complaint")
	}
	k, err := g.NewPoint().SetCanonical(c.Point)
	if err != nil {
		return wrong("the opened point is not a point")
	}
	if !verifyEqualLogs(g, pub.complaintContext(complainer, c.Dealer), pub.encKeys[complainer], dealerKey, k, c.Proof) {
		return wrong("the opened point is not the pair's")
	}
	if pub.fits(c.Dealer, complainer, pub.decrypt(c.Dealer, complainer, k)) {
		return wrong("the share it complains of fits the commitments")
	}
	return blameDealers(c.Dealer)
}

func blameDealers(dealers ...threshold.PartyID) error {
	return &threshold.Abort{Kind: threshold.Proven, Check: "dkg-share", Culprits: dealers,
		Err: errors.New("a share it dealt does not fit its commitments")}
}

// judgeVerdict judges D3 of one party; digest is what the transcript gives.
func (pub *public) judgeVerdict(from threshold.PartyID, body []byte, digest [32]byte) error {
	var v verdict
	if err := canon.Unmarshal(body, &v); err != nil {
		return threshold.Fault(threshold.Proven, "dkg-verdict", err)
	}
	for _, c := range v.Complaints {
		if err := pub.judgeComplaint(from, c); err != nil {
			return err
		}
	}
	if !bytes.Equal(v.Digest, digest[:]) {
		// The echo says it saw what we saw, and what we saw determines the key.
		return threshold.Fault(threshold.Proven, "dkg-digest", errors.New("claims another key than the transcript gives"))
	}
	return nil
}

// round3 waits for the verdicts of D3.
type round3 struct {
	st     *state
	info   threshold.KeyInfo
	digest [32]byte // info.Digest
	share  group.Scalar
	own    []complaint
}

func (r *round3) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.verdictMax()}
}

func (r *round3) Check(from threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	err := r.st.judgeVerdict(from, in.Broadcast, r.digest)
	var a *threshold.Abort
	if errors.As(err, &a) && a.Culprits[0] == r.st.setup.Self {
		return nil, &threshold.Abort{Kind: threshold.Local, Check: "dkg-share", Err: errors.New("a peer proved that the share we dealt is wrong")}
	}
	return nil, err
}

// Advance ends the ceremony. Who has complained waits until here, so that its complaint can still be disputed.
func (r *round3) Advance(io.Reader, []threshold.Received) (step, error) {
	if len(r.own) > 0 {
		dealers := make([]threshold.PartyID, len(r.own))
		for i, c := range r.own {
			dealers[i] = c.Dealer
		}
		return step{}, blameDealers(dealers...)
	}
	if err := r.addOldShare(); err != nil {
		return step{}, err
	}
	public := r.st.Group.NewPoint().ScalarBaseMult(r.share)
	if !bytes.Equal(public.Bytes(), r.info.PublicShare(r.info.Party)) {
		return step{}, &threshold.Abort{Kind: threshold.Local, Check: "dkg-own-share",
			Err: errors.New("our new share does not fit our public share: the old share is damaged")}
	}
	return step{Result: threshold.NewKeyShare(r.info, r.share.Bytes())}, nil
}

// addOldShare turns our share of zero into our share of the next epoch.
func (r *round3) addOldShare() error {
	if r.st.oldShare == nil {
		return nil
	}
	old, err := r.st.Group.NewScalar().SetCanonical(r.st.oldShare.Secret())
	if err != nil {
		return &threshold.Abort{Kind: threshold.Local, Check: "dkg-own-share",
			Err: errors.New("our old share is not a scalar: it is damaged")}
	}
	defer old.Wipe()
	r.share.Add(r.share, old)
	return nil
}

func (r *round3) Erase() {
	r.share.Wipe()
	r.st.wipe()
}
