package frost

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// quorum is what all presignatures of a session share.
type quorum struct {
	signers []threshold.PartyID
	lambda  []group.Scalar // Lagrange coefficients at 0, in the order of signers
}

// newQuorum computes λ_i = Π x_j/(x_j - x_i) for distinct signers, with one inversion for all (Montgomery's trick). The
// signers are public.
func newQuorum(g group.Group, signers []threshold.PartyID) *quorum {
	n := len(signers)
	q := &quorum{signers: slices.Clone(signers), lambda: make([]group.Scalar, n)}
	xs, dens, before := make([]group.Scalar, n), make([]group.Scalar, n), make([]group.Scalar, n)
	for i, p := range signers {
		xs[i] = g.NewScalar().SetUint64(uint64(p))
	}
	acc, diff := g.NewScalar().SetUint64(1), g.NewScalar()
	for i := range xs {
		q.lambda[i], dens[i] = g.NewScalar().SetUint64(1), g.NewScalar().SetUint64(1)
		for j := range xs {
			if j != i {
				q.lambda[i].Mul(q.lambda[i], xs[j])
				dens[i].Mul(dens[i], diff.Sub(xs[j], xs[i]))
			}
		}
		before[i] = g.NewScalar().Set(acc)
		acc.Mul(acc, dens[i])
	}
	acc.Invert(acc)
	for i := n - 1; i >= 0; i-- {
		q.lambda[i].Mul(q.lambda[i], before[i])
		q.lambda[i].Mul(q.lambda[i], acc)
		acc.Mul(acc, dens[i])
	}
	return q
}

// position is the place of p among the signers, or -1.
func (q *quorum) position(p threshold.PartyID) int { return slices.Index(q.signers, p) }

// signingKey is which key a presignature is for.
type signingKey struct {
	kind     threshold.KindID
	groupKey []byte
	epoch    uint64
	detail   any // of the suite
}

// prepared is a presignature's decoded form. Everything in it is public.
type prepared struct {
	*quorum
	key         *signingKey
	commitments []commitment // in the order of signers
	encoded     [][]byte     // the same, as sent
	sums        *nonceSums   // BIP 445 only
	last        atomic.Value // what the suite computed for the request last seen, so that signing and combining compute it once
}

// preparedOf returns the decoded form of req.Pre, which must be for this key, of the scheme, and be what its
// presigning made it.
func preparedOf(id threshold.SchemeID, key threshold.KeyInfo, req threshold.SignRequest) (*prepared, error) {
	if req.Pre == nil {
		return nil, errors.New("frost: request without a presignature")
	}
	p, ok := req.Pre.Prepared.(*prepared)
	if !ok || req.Pre.Scheme != id || p.key.kind != key.Kind {
		return nil, errors.New("frost: not a presignature of this scheme")
	}
	if p.key.epoch != key.Epoch || !bytes.Equal(p.key.groupKey, key.GroupKey) {
		return nil, errors.New("frost: presignature of another key or epoch; presign again")
	}
	if !slices.Equal(p.signers, req.Pre.Signers) || !slices.EqualFunc(p.encoded, req.Pre.Commitments, bytes.Equal) {
		return nil, errors.New("frost: presignature was altered")
	}
	return p, nil
}

// takeNonces burns the presignature and returns its nonces, before anything else is looked at; the caller wipes them.
func takeNonces(req threshold.SignRequest) (pair *noncePair, d, e group.Scalar, err error) {
	if req.Pre == nil {
		return nil, nil, nil, errors.New("frost: request without a presignature")
	}
	pair, ok := req.Pre.Nonces.(*noncePair)
	if !ok {
		return nil, nil, nil, errors.New("frost: presignature without nonces of ours: we observed its making")
	}
	d, e, err = pair.take()
	return pair, d, e, err
}

// ownPlace is our place among the signers, whose commitment there must be the one that our nonces were made with.
func (p *prepared) ownPlace(self threshold.PartyID, pair *noncePair) (int, error) {
	i := p.position(self)
	if i < 0 {
		return 0, errors.New("frost: we are no signer of this presignature")
	}
	if !bytes.Equal(p.encoded[i], pair.public) {
		return 0, errors.New("frost: the commitment in our place is not ours")
	}
	return i, nil
}
