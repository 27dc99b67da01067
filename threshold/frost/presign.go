package frost

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// MaxBatch bounds the presignatures of one session.
const MaxBatch = 512

// noncePair is one party's secret nonces for one signature: hiding d and binding e.
type noncePair struct {
	d, e  group.Scalar
	burnt bool
}

// Burn wipes the nonces.
func (n *noncePair) Burn() {
	n.burnt = true
	n.d.Wipe()
	n.e.Wipe()
}

// take hands out copies of the nonces, once, and burns the originals first.
func (n *noncePair) take(g group.Group) (d, e group.Scalar, err error) {
	if n == nil || n.burnt {
		return nil, nil, threshold.ErrBurnt
	}
	d, e = g.NewScalar().Set(n.d), g.NewScalar().Set(n.e)
	n.Burn()
	return d, e, nil
}

// commitment is one party's public nonces.
type commitment struct{ d, e group.Point }

// quorum is what all presignatures of a session share.
type quorum struct {
	signers []threshold.PartyID
	lambda  []group.Scalar // Lagrange coefficients at 0, in the order of signers
}

// prepared is a presignature's decoded form, with what a message makes of it, so that signing and combining in one process
// compute it once. Everything in it is public.
type prepared struct {
	*quorum
	commitments []commitment // in the order of signers
	last        any          // of the suite, for the request last seen
}

// nonceFunc makes the nonces for entry i of a batch.
type nonceFunc func(i int, share *threshold.KeyShare, rand io.Reader) (*noncePair, error)

// presign is the same for both suites: commitments in OPEN, no further round.
func presign(g group.Group, id threshold.SchemeID, s threshold.Setup, keys []threshold.PresignKey, nonces nonceFunc, rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	if len(keys) == 0 || len(keys) > MaxBatch {
		return nil, errors.New("frost: a batch holds 1 to 512 presignatures")
	}
	ctx := canon.NewHasher("mpcd/v1/frost/presign", 2+len(keys))
	ctx.Field([]byte(id))
	ctx.Field(s.Context)
	for _, k := range keys {
		if k.Info.Scheme != id {
			return nil, errors.New("frost: key of another scheme: " + string(k.Info.Scheme))
		}
		if !k.Info.Committee.Equal(s.Committee) {
			return nil, errors.New("frost: key of another committee")
		}
		d := k.Info.Digest()
		ctx.Field(d[:])
	}
	sum := ctx.Sum()
	s.Context = sum[:]

	p := &presigning{g: g, self: s.Self, entries: make([]entry, len(keys))}
	active := slices.Contains(s.Signers, s.Self) || s.Signers == nil
	for i, k := range keys {
		if !active {
			continue
		}
		if k.Share == nil || k.Share.Party != s.Self {
			p.erase()
			return nil, errors.New("frost: a signer needs its own key share")
		}
		n, err := nonces(i, k.Share, rand)
		if err != nil {
			p.erase()
			return nil, err
		}
		c := commitment{g.NewPoint().ScalarBaseMult(n.d), g.NewPoint().ScalarBaseMult(n.e)}
		p.entries[i] = entry{n, c}
		p.payload = append(append(p.payload, c.d.Bytes()...), c.e.Bytes()...)
	}
	if s.Signers == nil {
		s.Signers = slices.Clone(s.Committee.Parties)
	}
	p.signers = s.Signers
	return threshold.NewSession(s, rand, threshold.Opening[[]*threshold.Presignature]{
		Payload: p.payload, PayloadLen: len(keys) * 2 * g.PointLen(),
		Check: p.check, Begin: p.begin, Erase: p.erase,
	})
}

type entry struct {
	nonces *noncePair
	own    commitment
}

type presigning struct {
	g       group.Group
	self    threshold.PartyID
	signers []threshold.PartyID
	entries []entry
	payload []byte
	handed  bool
}

// check decodes a peer's commitments; canonical, in the prime-order group, not the identity.
func (p *presigning) check(_ threshold.PartyID, b []byte) (threshold.Payload, error) {
	n := p.g.PointLen()
	out := make([]commitment, len(p.entries))
	for i := range out {
		d, err := p.g.NewPoint().SetCanonical(b[2*i*n : (2*i+1)*n])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "frost-commitment", err)
		}
		e, err := p.g.NewPoint().SetCanonical(b[(2*i+1)*n : (2*i+2)*n])
		if err != nil {
			return nil, threshold.Fault(threshold.Proven, "frost-commitment", err)
		}
		out[i] = commitment{d, e}
	}
	return out, nil
}

func (p *presigning) begin(_ io.Reader, id threshold.SessionID, in []threshold.Received) (threshold.Step[[]*threshold.Presignature], error) {
	q := &quorum{signers: p.signers}
	xs := make([]uint16, len(p.signers))
	for i, s := range p.signers {
		xs[i] = uint16(s)
	}
	for _, x := range xs {
		q.lambda = append(q.lambda, poly.Lagrange(p.g, x, xs))
	}
	out := make([]*threshold.Presignature, len(p.entries))
	for i, e := range p.entries {
		var index [4]byte
		binary.BigEndian.PutUint32(index[:], uint32(i))
		pre := &threshold.Presignature{ID: canon.Hash("mpcd/v1/frost/presignature", id[:], index[:]), Session: id, Signers: p.signers}
		prep := &prepared{quorum: q}
		peers := in
		for _, s := range p.signers {
			c := e.own
			if s != p.self {
				c = peers[0].Payload.([]commitment)[i]
				peers = peers[1:]
			}
			prep.commitments = append(prep.commitments, c)
			pre.Commitments = append(pre.Commitments, append(c.d.Bytes(), c.e.Bytes()...))
		}
		pre.Prepared = prep
		if e.nonces != nil {
			pre.Nonces = e.nonces
		}
		out[i] = pre
	}
	p.handed = true
	return threshold.Step[[]*threshold.Presignature]{Result: out}, nil
}

func (p *presigning) erase() {
	if p.handed {
		return
	}
	for _, e := range p.entries {
		if e.nonces != nil {
			e.nonces.Burn()
		}
	}
}

// scalarShares decodes the signers' shares, which must be in the order of the presignature's signers and made from it.
func scalarShares(g group.Group, pre *threshold.Presignature, shares []*threshold.SignatureShare) ([]group.Scalar, error) {
	if len(shares) != len(pre.Signers) {
		return nil, errors.New("frost: a share of every signer is needed")
	}
	out := make([]group.Scalar, len(shares))
	for i, s := range shares {
		if s.From != pre.Signers[i] {
			return nil, errors.New("frost: shares are not in the order of the signers")
		}
		z, err := decodeShare(g, pre, s)
		if err != nil {
			return nil, &threshold.Abort{Kind: threshold.Proven, Check: "frost-share", Culprits: []threshold.PartyID{s.From}, Err: err}
		}
		out[i] = z
	}
	return out, nil
}

func decodeShare(g group.Group, pre *threshold.Presignature, s *threshold.SignatureShare) (group.Scalar, error) {
	if s.Pre != pre.ID {
		return nil, errors.New("share of another presignature")
	}
	return g.NewScalar().SetCanonical(s.Payload)
}

// culprits verifies every share and makes the abort that names the bad ones.
func culprits(shares []*threshold.SignatureShare, good func(i int) bool) error {
	a := &threshold.Abort{Kind: threshold.Proven, Check: "frost-share", Err: errors.New("signature share does not verify")}
	for i, s := range shares {
		if !good(i) {
			a.Culprits = append(a.Culprits, s.From)
		}
	}
	if len(a.Culprits) == 0 {
		return &threshold.Abort{Kind: threshold.Local, Check: "frost-combine", Err: errors.New("every share verifies, the signature does not")}
	}
	return a
}
