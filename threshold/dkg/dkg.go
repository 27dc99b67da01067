package dkg

import (
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// Params says which keys to make.
type Params struct {
	Group group.Group
	Kind  threshold.KindID
	// Finish, if set, changes the outcome by a public rule before it becomes a key (BIP-341's unspendable script path). It
	// is a function of its argument's public values: every party, and whoever verifies evidence, gets the same.
	Finish func(*Outcome)
}

// Outcome is a sharing: the party's scalar and the public images. Finish may replace its values.
type Outcome struct {
	Share    group.Scalar
	GroupKey group.Point
	Public   []group.Point // in the order of the committee
}

const saltLen = 32

type (
	share = *threshold.KeyShare
	step  = threshold.Step[share]
)

// public is what everybody knows of a ceremony: it is enough to judge every message.
type public struct {
	Params
	committee threshold.Committee
	id        threshold.SessionID
	t, n      int
	old       *threshold.KeyInfo // refresh: the key as it was; nil in keygen

	encKeys  map[threshold.PartyID]group.Point // P_j
	encBytes map[threshold.PartyID][]byte
	coms     map[threshold.PartyID][32]byte
	dealt    map[threshold.PartyID]*dealing
}

func newPublic(p Params, c threshold.Committee, old *threshold.KeyInfo) *public {
	return &public{Params: p, committee: c, t: c.Threshold, n: c.N(), old: old,
		encKeys: map[threshold.PartyID]group.Point{}, encBytes: map[threshold.PartyID][]byte{},
		coms: map[threshold.PartyID][32]byte{}, dealt: map[threshold.PartyID]*dealing{}}
}

// state is what one party knows during a ceremony.
type state struct {
	*public
	setup    threshold.Setup
	oldShare *threshold.KeyShare

	poly   *poly.Polynomial
	enc    group.Scalar                       // ephemeral decryption key e_i
	shared map[threshold.PartyID]group.Point  // ECDH points with the peers
	shares map[threshold.PartyID]group.Scalar // dealt to us, and what we dealt ourselves
	opens  []byte                             // our D2 without the ciphertexts
}

// NewKeygen prepares a key generation among the whole committee.
func NewKeygen(p Params, s threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	st, err := newState(p, s, nil)
	if err != nil {
		return nil, err
	}
	return st.session(rand)
}

// NewRefresh prepares a refresh of share among its committee, all of whom must take part. The share stays its owner's, who
// must keep it until the session has ended.
func NewRefresh(p Params, s threshold.Setup, share *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	if share == nil {
		return nil, errors.New("dkg: no share to refresh")
	}
	st, err := newState(p, s, share)
	if err != nil {
		return nil, err
	}
	return st.session(rand)
}

func newState(p Params, s threshold.Setup, old *threshold.KeyShare) (*state, error) {
	if !s.Committee.Contains(s.Self) {
		return nil, fmt.Errorf("dkg: party %d is not a member of the committee", s.Self)
	}
	if s.Signers != nil && len(s.Signers) != s.Committee.N() {
		return nil, fmt.Errorf("dkg: %d of %d parties named, all must take part", len(s.Signers), s.Committee.N())
	}
	st := &state{setup: s, oldShare: old}
	if old == nil {
		st.public = newPublic(p, s.Committee, nil)
		return st, nil
	}
	switch {
	case !s.Committee.Equal(old.Committee):
		return nil, errors.New("dkg: a refresh keeps the committee; to change it, reshare")
	case s.Self != old.Party:
		return nil, fmt.Errorf("dkg: the share is party %d's, we are party %d", old.Party, s.Self)
	case p.Kind != old.Kind:
		return nil, fmt.Errorf("dkg: the share is of a key of kind %q, not %q", old.Kind, p.Kind)
	}
	st.public = newPublic(p, s.Committee, &old.KeyInfo)
	return st, nil
}

// session opens the ceremony: what is made, or refreshed, is part of what the parties must agree on.
func (st *state) session(rand io.Reader) (*threshold.Session[share], error) {
	s := st.setup
	s.Context = st.context(s.Context)
	o := threshold.Opening[share]{Begin: st.begin, Judge: st.verify, Discard: share.Destroy}
	if st.oldShare != nil {
		o.Hedge = func() [][]byte { return [][]byte{st.oldShare.Secret()} }
	}
	return threshold.NewSession(s, rand, o)
}

func (pub *public) context(outer []byte) []byte {
	op := []byte("keygen")
	if pub.old != nil {
		d := pub.old.Digest()
		op = append([]byte("refresh"), d[:]...)
	}
	ctx := canon.Hash("mpcd/v2/dkg/context", op, []byte(pub.Kind), []byte(pub.Group.Name()), outer)
	return ctx[:]
}

// points is how many commitments D2 carries: t, or t-1 when the constant term is zero.
func (pub *public) points() int {
	if pub.old != nil {
		return pub.t - 1
	}
	return pub.t
}

func (pub *public) d1Len() int { return 32 + pub.Group.PointLen() }

// openLen is the length of D2 without the ciphertexts.
func (pub *public) openLen() int {
	n := pub.points()*pub.Group.PointLen() + saltLen
	if pub.old == nil {
		n += pub.Group.PointLen() + pub.Group.ScalarLen() + 32 // proof of possession, chain code share
	}
	return n
}

func (pub *public) d2Len() int { return pub.openLen() + (pub.n-1)*pub.Group.ScalarLen() }

// verdictMax bounds D3: n complaints of two points' size each, with room for the encoding.
func (pub *public) verdictMax() int {
	return 64 + pub.n*(32+pub.Group.PointLen()+2*pub.Group.ScalarLen())
}

// wipe destroys every secret of the ceremony. It is idempotent.
func (st *state) wipe() {
	if st.poly != nil {
		st.poly.Wipe()
	}
	if st.enc != nil {
		st.enc.Wipe()
	}
	for _, k := range st.shared {
		k.Wipe()
	}
	for _, s := range st.shares {
		s.Wipe()
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
