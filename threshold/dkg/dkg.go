package dkg

import (
	"fmt"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// Params says which keys to make.
type Params struct {
	Group   group.Group
	Scheme  threshold.SchemeID
	Purpose threshold.Purpose
	// Finish, if set, changes the outcome by a public rule before it becomes a key (BIP-341's unspendable script path).
	Finish func(*Outcome)
}

// Outcome is a sharing: the party's scalar and the public images. Finish may replace its values.
type Outcome struct {
	Share    group.Scalar
	GroupKey group.Point
	Public   []group.Point // in the order of the committee
}

const saltLen = 32

// state is what one party knows during a ceremony.
type state struct {
	Params
	setup threshold.Setup
	id    threshold.SessionID
	t, n  int
	old   *threshold.KeyShare // refresh: the share to refresh; nil in keygen

	poly  *poly.Polynomial
	enc   group.Scalar // ephemeral decryption key e_i
	opens []byte       // our D2 message

	encKeys   map[threshold.PartyID]group.Point // P_j
	encBytes  map[threshold.PartyID][]byte
	coms      map[threshold.PartyID][32]byte
	dealt     map[threshold.PartyID]*dealing
	ownChain  [32]byte
	ownCommit []group.Point
}

// NewKeygen prepares a key generation among the whole committee.
func NewKeygen(p Params, s threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return newSession(p, s, nil, rand)
}

// NewRefresh prepares a refresh of share among its committee, all of whom must take part. The share stays its owner's, who
// must keep it until the session has ended.
func NewRefresh(p Params, s threshold.Setup, share *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	if !s.Committee.Equal(share.Committee) {
		return nil, fmt.Errorf("dkg: a refresh keeps the committee; to change it, reshare")
	}
	if s.Self != share.Party {
		return nil, fmt.Errorf("dkg: the share is party %d's, we are party %d", share.Party, s.Self)
	}
	return newSession(p, s, share, rand)
}

func newSession(p Params, s threshold.Setup, old *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	if !s.Committee.Contains(s.Self) {
		return nil, fmt.Errorf("dkg: party %d is not a member of the committee", s.Self)
	}
	if s.Signers != nil && len(s.Signers) != s.Committee.N() {
		return nil, fmt.Errorf("dkg: %d of %d parties named: all must take part", len(s.Signers), s.Committee.N())
	}
	op := []byte("keygen")
	if old != nil {
		d := old.KeyInfo.Digest()
		op = append([]byte("refresh"), d[:]...)
	}
	ctx := canon.Hash("mpcd/v1/dkg/context", op, []byte(p.Scheme), []byte(p.Purpose), []byte(p.Group.Name()), s.Context)
	s.Context = ctx[:]
	st := &state{Params: p, setup: s, t: s.Committee.Threshold, n: s.Committee.N(), old: old}
	return threshold.NewSession(s, rand, threshold.Opening[*threshold.KeyShare]{Begin: st.begin})
}

// points is how many commitments D2 carries: t, or t-1 when the constant term is zero.
func (st *state) points() int {
	if st.old != nil {
		return st.t - 1
	}
	return st.t
}

func (st *state) d1Len() int { return 32 + st.Group.PointLen() }

func (st *state) d2Len() int {
	n := st.points()*st.Group.PointLen() + (st.n-1)*st.Group.ScalarLen() + saltLen
	if st.old == nil {
		n += st.Group.PointLen() + st.Group.ScalarLen() + 32 // proof of possession, chain code share
	}
	return n
}

func (st *state) wipe() {
	if st.poly != nil {
		st.poly.Wipe()
	}
	if st.enc != nil {
		st.enc.Wipe()
	}
	for _, d := range st.dealt {
		if d.share != nil {
			d.share.Wipe()
		}
	}
}

func randomScalar(g group.Group, rand io.Reader) (group.Scalar, error) {
	var wide [64]byte
	defer clear(wide[:])
	if _, err := io.ReadFull(rand, wide[:]); err != nil {
		return nil, err
	}
	return g.NewScalar().SetUniform(wide[:]), nil
}

func partyBytes(p threshold.PartyID) []byte { return []byte{byte(p >> 8), byte(p)} }

// commitment is com_i = H("dkg-com"; session, party, encryption key, opening).
func commitment(id threshold.SessionID, p threshold.PartyID, encKey, opening []byte) [32]byte {
	return canon.Hash("mpcd/v1/dkg/commitment", id[:], partyBytes(p), encKey, opening)
}
