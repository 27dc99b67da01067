package dkg

import (
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// D1: commitment ‖ ephemeral encryption key.

// commitment is com_i = H("dkg-com"; session, party, encryption key, opening).
func commitment(id threshold.SessionID, p threshold.PartyID, encKey, opening []byte) [32]byte {
	return canon.Hash("mpcd/v1/dkg/commitment", id[:], partyBytes(p), encKey, opening)
}

// begin follows OPEN: draw the polynomial and the encryption key, commit.
func (st *state) begin(rand io.Reader, id threshold.SessionID, _ []threshold.Received) (_ step, err error) {
	defer func() {
		if err != nil {
			st.wipe()
		}
	}()
	st.id = id
	var constant group.Scalar
	if st.old != nil {
		constant = st.Group.NewScalar()
	}
	if st.poly, err = poly.New(st.Group, st.t, constant, rand); err != nil {
		return step{}, err
	}
	if st.enc, err = randomScalar(st.Group, rand); err != nil {
		return step{}, err
	}
	self := st.setup.Self
	st.encKeys[self] = st.Group.NewPoint().ScalarBaseMult(st.enc)
	st.encBytes[self] = st.encKeys[self].Bytes()
	// The shares' encryption needs the peers' keys of D1, so D1 commits to all of D2 but the ciphertexts, which the
	// commitments of the polynomial determine.
	if err = st.open(rand); err != nil {
		return step{}, err
	}
	com := commitment(id, self, st.encBytes[self], st.opens)
	return step{
		Out:  []threshold.Outgoing{{To: threshold.Everybody, Body: append(com[:], st.encBytes[self]...)}},
		Next: &round1{st: st},
	}, nil
}

// open makes our D2 without the ciphertexts: C_i, proof of possession, chain code share, salt.
func (st *state) open(rand io.Reader) error {
	d := &dealing{commitments: st.poly.Commit()}
	st.dealt[st.setup.Self] = d
	b := make([]byte, 0, st.openLen())
	for _, c := range d.commitments[st.t-st.points():] {
		b = append(b, c.Bytes()...)
	}
	if st.old == nil {
		pop, err := provePossession(st.Group, st.id, st.setup.Self, st.poly.Constant(), b, rand)
		if err != nil {
			return err
		}
		b = append(b, pop...)
		if _, err := io.ReadFull(rand, d.chain[:]); err != nil {
			return err
		}
		b = append(b, d.chain[:]...)
	}
	var salt [saltLen]byte
	if _, err := io.ReadFull(rand, salt[:]); err != nil {
		return err
	}
	st.opens = append(b, salt[:]...)
	return nil
}

// round1 waits for the commitments of D1.
type round1 struct {
	st   *state
	done bool
}

type committed struct {
	com    [32]byte
	key    group.Point
	keyRaw []byte
}

func (r *round1) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: true, MaxBytes: r.st.d1Len()}
}

func (r *round1) Check(_ threshold.PartyID, in threshold.Inbound) (threshold.Payload, error) {
	return r.st.judgeCommitment(in.Broadcast)
}

func (pub *public) judgeCommitment(body []byte) (committed, error) {
	if len(body) != pub.d1Len() {
		return committed{}, threshold.Faultf(threshold.Proven, "dkg-length", "D1 of %d bytes, want %d", len(body), pub.d1Len())
	}
	key, err := pub.Group.NewPoint().SetCanonical(body[32:])
	if err != nil {
		return committed{}, threshold.Fault(threshold.Proven, "dkg-point", err)
	}
	return committed{[32]byte(body[:32]), key, body[32:]}, nil
}

func (pub *public) accept(from threshold.PartyID, c committed) {
	pub.coms[from], pub.encKeys[from], pub.encBytes[from] = c.com, c.key, c.keyRaw
}

// Advance deals: every party's share, encrypted to it.
func (r *round1) Advance(_ io.Reader, in []threshold.Received) (step, error) {
	st := r.st
	for _, x := range in {
		st.accept(x.From, x.Payload.(committed))
	}
	body := st.deal(in)
	r.done = true
	return step{Out: []threshold.Outgoing{{To: threshold.Everybody, Body: body}}, Next: &round2{st: st}}, nil
}

func (r *round1) Erase() {
	if !r.done {
		r.st.wipe()
	}
}
