package dkls23

import (
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// request is everything a request makes of a presignature (PROTOCOLS A.3.5). It is public.
type request struct {
	*binding
	agreement [][32]byte
	delta     secp256k1.Scalar
	r         secp256k1.Scalar // x(R') mod n
	recovery  int
}

// requestOf judges the request and re-randomises: R' = R + δ·G.
func requestOf(key threshold.KeyInfo, req threshold.SignRequest) (*prepared, *request, error) {
	p, err := preparedOf(req.Pre)
	if err != nil {
		return nil, nil, err
	}
	if key.Kind != threshold.ECDSA.ID || p.key.digest != key.Digest() {
		return nil, nil, errors.New("dkls23: presignature of another key or epoch; presign again")
	}
	b, err := newBinding(p.key, req)
	if err != nil {
		return nil, nil, err
	}
	if last := p.last.Load(); last != nil && last.equal(b) && slices.Equal(last.agreement, req.Agreement) {
		return p, last, nil
	}
	switch {
	case p.bound != nil && (!p.bound.equal(b) || req.Agreement != nil):
		return nil, nil, errors.New("dkls23: the presignature was made for another request")
	case p.bound == nil && len(req.Agreement) != len(p.signers):
		return nil, nil, fmt.Errorf("dkls23: agreement of %d nonces, one of each of the %d signers is needed", len(req.Agreement), len(p.signers))
	}
	x := &request{binding: b, agreement: slices.Clone(req.Agreement)}
	x.delta = *p.rerandomiser(x)
	point := new(secp256k1.Point).ScalarBaseMult(&x.delta)
	point.Add(point, &p.point)
	if err := usable(point); err != nil { // nobody can bring it about: R' has a hash of R in it
		return nil, nil, err
	}
	r, recovery := coordinate(point)
	x.r, x.recovery = *r, recovery
	p.last.Store(x)
	return p, x, nil
}

// rerandomiser is δ = Hs("rerand"; presig_id, R, pk_child, τ, m, P, nonces). For a presignature made for its request, whose ID comes from
// fresh nonces and the request together, there are no further nonces.
func (p *prepared) rerandomiser(x *request) *secp256k1.Scalar {
	h := canon.NewHasher("mpcd/v1/dkls23/rerandomise", 5+len(p.signers)+len(x.agreement))
	h.Field(p.id[:])
	encoded := secp256k1.BatchBytes([]*secp256k1.Point{&p.point, &x.child})
	h.Field(encoded[0])
	h.Field(encoded[1])
	h.Field(x.tau.Bytes())
	h.Field(x.message[:])
	for _, s := range p.signers {
		h.Field(partyBytes(s))
	}
	for _, n := range x.agreement {
		h.Field(n[:])
	}
	sum := h.Sum()
	return new(secp256k1.Scalar).SetBytesReduced(sum[:])
}

// NewSigner implements threshold.Scheme. What a signature needs of the share is in the presignature already.
func (Scheme) NewSigner(share *threshold.KeyShare) (threshold.Signer, error) {
	if share.Kind != threshold.ECDSA.ID {
		return nil, kindError(share.Kind)
	}
	return signer{share}, nil
}

type signer struct{ share *threshold.KeyShare }

// SignShare is step O2: w_i = m·φ_i + r·v'_i with v'_i = v_i + τ·φ_i, and u'_i = u_i + δ·φ_i. The presignature must be made for the
// request (PresignFor) or agreed on (Agree). It is burnt before anything else is looked at.
func (s signer) SignShare(req threshold.SignRequest) (*threshold.SignatureShare, error) {
	if req.Pre == nil {
		return nil, errNoPresignature
	}
	n, ok := req.Pre.Nonces.(*secrets)
	if !ok {
		return nil, errObserved
	}
	phi, u, v, err := n.take()
	defer phi.Wipe()
	defer u.Wipe()
	defer v.Wipe()
	if err != nil {
		return nil, err
	}
	p, x, err := requestOf(s.share.KeyInfo, req)
	if err != nil {
		return nil, err
	}
	if n.party != s.share.Party || n.id != p.id {
		return nil, errors.New("dkls23: the secrets of this presignature are not ours")
	}
	// C19: neither another digest or tweak nor another delta than agreed.
	if n.request != x.digest(p.id) || !slices.Equal(n.agreement, x.agreement) {
		return nil, errNotAgreed
	}
	var w secp256k1.Scalar
	defer w.Wipe()
	v.MulAdd(&x.tau, &phi, &v)
	u.MulAdd(&x.delta, &phi, &u)
	w.Mul(&x.z, &phi)
	w.MulAdd(&x.r, &v, &w)
	return &threshold.SignatureShare{From: s.share.Party, Pre: p.id, Payload: append(w.Bytes(), u.Bytes()...)}, nil
}

var errShare = errors.New("dkls23: not a signature share of two scalars for this presignature")

// decodeShare reads w ‖ u: C4.
func decodeShare(p *prepared, s *threshold.SignatureShare) (w, u secp256k1.Scalar, err error) {
	if s.Pre != p.id || len(s.Payload) != 64 {
		return w, u, errShare
	}
	if _, err := w.SetBytes(s.Payload[:32]); err != nil {
		return w, u, errShare
	}
	if _, err := u.SetBytes(s.Payload[32:]); err != nil {
		return w, u, errShare
	}
	return w, u, nil
}

// Combine implements threshold.Scheme: s = Σw / Σu, low, verified before it is returned (C14, C15). A share that is no pair of scalars
// blames its sender; for a signature that does not verify nobody is to blame (PROTOCOLS A.3.6): try another quorum.
func (Scheme) Combine(key threshold.KeyInfo, req threshold.SignRequest, shares []*threshold.SignatureShare) (threshold.Signature, error) {
	p, x, err := requestOf(key, req)
	if err != nil {
		return threshold.Signature{}, err
	}
	if len(shares) != len(p.signers) {
		return threshold.Signature{}, fmt.Errorf("dkls23: %d signature shares, one of each of the %d signers is needed",
			len(shares), len(p.signers))
	}
	var sumW, sumU secp256k1.Scalar
	bad := &threshold.Abort{Kind: threshold.Ban, Check: "C4", Err: errShare}
	for i, s := range shares {
		if s == nil || s.From != p.signers[i] {
			return threshold.Signature{}, fmt.Errorf("dkls23: signature share %d is not party %d's", i, p.signers[i])
		}
		w, u, err := decodeShare(p, s)
		if err != nil {
			bad.Culprits = append(bad.Culprits, s.From)
			continue
		}
		sumW.Add(&sumW, &w)
		sumU.Add(&sumU, &u)
	}
	if bad.Culprits != nil {
		return threshold.Signature{}, bad
	}
	return x.signature(&sumW, &sumU)
}

// signature makes (r, s) with its recovery ID. Both sums are public.
func (x *request) signature(w, u *secp256k1.Scalar) (threshold.Signature, error) {
	var s secp256k1.Scalar
	s.Mul(w, s.Invert(u)) // 0 if Σu = 0
	if s.IsZero() == 1 {
		return threshold.Signature{},
			&threshold.Abort{Kind: threshold.Retry, Check: "C14", Err: errors.New("dkls23: s is zero or undefined; try another quorum")}
	}
	high := s.IsHigh()
	s.CondNegate(high)
	if !verify(&x.child, &x.z, &x.r, &s) {
		return threshold.Signature{}, &threshold.Abort{Kind: threshold.Retry, Check: "C15",
			Err: errors.New("dkls23: the signature does not verify: a signer lied, and nobody can tell who; try another quorum")}
	}
	return threshold.Signature{Bytes: slices.Concat(x.r.Bytes(), s.Bytes()), RecoveryID: x.recovery ^ high}, nil
}

// VerifyShare judges the form of a share only: a wrong w or u cannot be told from a right one without its sender's secrets (PROTOCOLS
// A.3.6). Combine finds out that one of them is wrong.
func (Scheme) VerifyShare(key threshold.KeyInfo, req threshold.SignRequest, share *threshold.SignatureShare) error {
	p, _, err := requestOf(key, req)
	if err != nil {
		return err
	}
	if share == nil || !slices.Contains(p.signers, share.From) {
		return errShare
	}
	_, _, err = decodeShare(p, share)
	return err
}
