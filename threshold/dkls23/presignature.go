package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

var (
	errNoPresignature = errors.New("dkls23: request without a presignature")
	errForeign        = errors.New("dkls23: not a presignature of this scheme")
	errObserved       = errors.New("dkls23: presignature without secrets of ours: we observed its making")
	errNotAgreed      = errors.New("dkls23: the signers have not agreed on this request; the presignature is destroyed, presign again")
)

// prepared is a presignature's decoded form. Everything in it is public.
type prepared struct {
	id          [32]byte
	signers     []threshold.PartyID
	key         *signingKey
	bound       *binding // nil if the presignature was made for any request
	commitments [][]byte // R_j in the order of signers
	point       secp256k1.Point
	last        atomic.Pointer[request] // what was computed for the request last seen, so that signing and combining compute it once
}

// preparedOf returns the decoded form of a presignature, which must be what presigning made it.
func preparedOf(pre *threshold.Presignature) (*prepared, error) {
	if pre == nil {
		return nil, errNoPresignature
	}
	p, ok := pre.Prepared.(*prepared)
	if !ok || pre.Scheme != ID {
		return nil, errForeign
	}
	if p.id != pre.ID || !slices.Equal(p.signers, pre.Signers) || !slices.EqualFunc(p.commitments, pre.Commitments, bytes.Equal) {
		return nil, errors.New("dkls23: presignature was altered")
	}
	return p, nil
}

// binding is what one signature is for.
type binding struct {
	message [digestLen]byte
	z       secp256k1.Scalar // the message modulo n
	tau     secp256k1.Scalar
	child   secp256k1.Point // the key that the signature is under
}

func newBinding(key *signingKey, req threshold.SignRequest) (*binding, error) {
	z, err := digestScalar(req.Message)
	if err != nil {
		return nil, err
	}
	child, tau, err := tweakedKey(&key.point, req.Tweaks)
	if err != nil {
		return nil, err
	}
	return &binding{message: [digestLen]byte(req.Message), z: *z, tau: *tau, child: *child}, nil
}

func (b *binding) equal(o *binding) bool { return b.message == o.message && b.tau.Equal(&o.tau) == 1 }

// digest is what a presignature is bound to once its signers have agreed.
func (b *binding) digest(pre [32]byte) [32]byte {
	return canon.Hash("mpcd/v1/dkls23/request", pre[:], b.message[:], b.tau.Bytes())
}

// The states of secrets. Every change is one atomic step, so whoever comes second finds it done; burnt is final.
const (
	idle     = 0 // made for any request
	agreeing = 1 // an agreement on one request is under way
	agreed   = 2 // bound to one request
	burnt    = 3
)

// secrets is one signer's part of a presignature: φ_i, u_i, v_i. They live in memory only, sign once, and die with a ban of any peer
// they were made with and with the pair-epoch.
type secrets struct {
	party     threshold.PartyID
	id        [32]byte
	phi, u, v secp256k1.Scalar
	pairs     []*pair

	state     atomic.Uint32
	request   [32]byte   // from agreeing on
	agreement [][32]byte // from agreed on; none if the presignature was made for the request
}

// String tells nothing.
func (n *secrets) String() string { return "[redacted presignature]" }

// Format is String for every verb.
func (n *secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, n.String()) }

// Burn wipes the secrets. It is idempotent, and safe beside everything else.
func (n *secrets) Burn() {
	if n.state.Swap(burnt) != burnt {
		n.wipe()
	}
}

func (n *secrets) wipe() {
	n.phi.Wipe()
	n.u.Wipe()
	n.v.Wipe()
}

// reserve binds the secrets to a request for which an agreement begins. Once only: a presignature whose agreement fails is burnt.
func (n *secrets) reserve(request [32]byte) error {
	if !n.state.CompareAndSwap(idle, agreeing) {
		return threshold.ErrBurnt
	}
	n.request = request
	return nil
}

// settle ends what reserve began.
func (n *secrets) settle(agreement [][32]byte) error {
	n.agreement = agreement
	if !n.state.CompareAndSwap(agreeing, agreed) {
		return threshold.ErrBurnt
	}
	return nil
}

// take burns the secrets and hands them out, once, if the signers have agreed. The caller wipes what it got.
func (n *secrets) take() (phi, u, v secp256k1.Scalar, err error) {
	was := n.state.Swap(burnt)
	if was == burnt {
		return phi, u, v, threshold.ErrBurnt
	}
	defer n.wipe()
	if was != agreed {
		return phi, u, v, errNotAgreed
	}
	for _, x := range n.pairs {
		if err := x.refusal(); err != nil {
			return phi, u, v, err
		}
	}
	return n.phi, n.u, n.v, nil
}
