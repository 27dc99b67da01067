package frost

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// rfcScheme is FROST as RFC 9591 specifies it, over a ciphersuite (§6). Only Ed25519 is offered; the RFC's secp256k1 suite
// runs through the same code in the tests.
type rfcScheme struct {
	id     threshold.SchemeID
	kind   threshold.Kind
	group  group.Group
	h1     func(input ...[]byte) group.Scalar // binding factors
	h2     func(input ...[]byte) group.Scalar // challenge
	h3     func(input []byte) group.Scalar    // nonces
	h4, h5 func(input []byte) []byte          // message, commitment list
	verify func(groupKey, message, sig []byte) bool
}

// ID implements threshold.Scheme.
func (s *rfcScheme) ID() threshold.SchemeID { return s.id }

// Kind implements threshold.Scheme.
func (s *rfcScheme) Kind() threshold.Kind { return s.kind }

// Protocol implements threshold.Scheme.
func (*rfcScheme) Protocol() string { return protocol }

func (s *rfcScheme) params() dkg.Params {
	return dkg.Params{Group: s.group, Kind: s.kind.ID}
}

// Keygen implements threshold.Scheme.
func (s *rfcScheme) Keygen(set threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewKeygen(s.params(), set, rand)
}

// Refresh implements threshold.Scheme.
func (s *rfcScheme) Refresh(set threshold.Setup, share *threshold.KeyShare,
	rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewRefresh(s.params(), set, share, rand)
}

// Presign implements threshold.Scheme.
func (s *rfcScheme) Presign(set threshold.Setup, keys []threshold.PresignKey,
	rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	return presign(s.suite(), set, keys, rand)
}

func (s *rfcScheme) suite() suite {
	return suite{group: s.group, id: s.id, kind: s.kind.ID, nonces: s.nonces}
}

// nonces draws the random_bytes of both nonces and mixes the extra input into them, with which of the two it is: a stream under a hash
// of 32 fresh bytes is as good as they are, so this is still RFC 9591, and a generator that repeats itself gives no nonce twice.
func (s *rfcScheme) nonces(share *threshold.KeyShare, extra []byte, rand io.Reader) (d, e group.Scalar, err error) {
	var random [2][32]byte
	defer func() { clear(random[0][:]); clear(random[1][:]) }()
	for i := range random {
		if _, err := io.ReadFull(threshold.Hedged(rand, []byte("nonce"), extra, []byte{byte(i)}), random[i][:]); err != nil {
			return nil, nil, fmt.Errorf("frost: no randomness for nonces: %w", err)
		}
	}
	return s.generate(share, &random)
}

// generate is nonce_generate (§4.1) twice, hiding first: H3(random ‖ share), so that a broken generator alone gives nothing away.
func (s *rfcScheme) generate(share *threshold.KeyShare, random *[2][32]byte) (d, e group.Scalar, err error) {
	var input [2][64]byte
	defer func() { clear(input[0][:]); clear(input[1][:]) }()
	for i := range input {
		copy(input[i][:32], random[i][:])
		copy(input[i][32:], share.Secret())
	}
	d, e = s.h3(input[0][:]), s.h3(input[1][:])
	if d.IsZero() || e.IsZero() {
		return nil, nil, errors.New("frost: a nonce is zero: the random generator is broken")
	}
	return d, e, nil
}

// rfcRequest is everything a message makes of a presignature.
type rfcRequest struct {
	message   []byte
	rho       []group.Scalar // binding factors, in the order of the signers
	r         []byte         // group commitment R, encoded
	challenge group.Scalar
}

// request computes binding factors (§4.4), group commitment (§4.5) and challenge (§4.6), or finds them computed.
func (s *rfcScheme) request(key threshold.KeyInfo, req threshold.SignRequest) (*prepared, *rfcRequest, error) {
	p, err := preparedOf(s.id, key, req)
	if err != nil {
		return nil, nil, err
	}
	if len(req.Tweaks) > 0 {
		return nil, nil, fmt.Errorf("frost: a key of scheme %q takes no tweaks", s.id)
	}
	if last, ok := p.last.Load().(*rfcRequest); ok && bytes.Equal(last.message, req.Message) {
		return p, last, nil
	}
	identifiers := make([][]byte, len(p.signers))
	var list []byte // encode_group_commitment_list, §4.3
	for i, party := range p.signers {
		identifiers[i] = s.group.NewScalar().SetUint64(uint64(party)).Bytes()
		list = append(append(list, identifiers[i]...), p.encoded[i]...)
	}
	messageHash, listHash := s.h4(req.Message), s.h5(list)
	x := &rfcRequest{message: bytes.Clone(req.Message)}
	es := make([]group.Point, len(p.signers))
	for i := range p.signers {
		x.rho = append(x.rho, s.h1(key.GroupKey, messageHash, listHash, identifiers[i]))
		es[i] = p.commitments[i].e
	}
	r := s.group.VarTimeMultiScalarMult(x.rho, es)
	for _, c := range p.commitments {
		r.Add(r, c.d)
	}
	x.r = r.Bytes()
	x.challenge = s.h2(x.r, key.GroupKey, req.Message)
	p.last.Store(x)
	return p, x, nil
}

// NewSigner implements threshold.Scheme.
func (s *rfcScheme) NewSigner(share *threshold.KeyShare) (threshold.Signer, error) {
	if share.Kind != s.kind.ID {
		return nil, kindError(share.Kind, s.kind.ID)
	}
	public, err := s.group.NewPoint().SetCanonical(share.PublicShare(share.Party))
	if err != nil {
		return nil, errKeyShareFit
	}
	return &rfcSigner{s, share, public}, nil
}

type rfcSigner struct {
	scheme *rfcScheme
	share  *threshold.KeyShare
	public group.Point // X_i
}

// SignShare is §5.2: z_i = d_i + e_i·ρ_i + λ_i·s_i·c. The share is verified before it leaves, as BIP 445 recommends: a
// miscomputed one can give the key share away.
func (s *rfcSigner) SignShare(req threshold.SignRequest) (*threshold.SignatureShare, error) {
	pair, d, e, err := takeNonces(req)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	defer e.Wipe()
	p, x, err := s.scheme.request(s.share.KeyInfo, req)
	if err != nil {
		return nil, err
	}
	i, err := p.ownPlace(s.share.Party, pair)
	if err != nil {
		return nil, err
	}
	g := s.scheme.group
	key, err := g.NewScalar().SetCanonical(s.share.Secret())
	if err != nil {
		return nil, errKeyShareFit
	}
	defer key.Wipe()
	z := g.NewScalar().Mul(x.challenge, p.lambda[i])
	z.Mul(z, key)
	e.Mul(e, x.rho[i])
	z.Add(z, d)
	z.Add(z, e)
	if !s.scheme.shareFits(s.public, p, x, i, z) {
		z.Wipe()
		return nil, errSelfCheck
	}
	return &threshold.SignatureShare{From: s.share.Party, Pre: req.Pre.ID, Payload: z.Bytes()}, nil
}

// Combine is §5.3 with the order of §5.4: verify the sum first, blame only on failure.
func (s *rfcScheme) Combine(key threshold.KeyInfo, req threshold.SignRequest,
	shares []*threshold.SignatureShare) (threshold.Signature, error) {
	p, x, err := s.request(key, req)
	if err != nil {
		return threshold.Signature{}, err
	}
	zs, err := decodeShares(s.group, req.Pre, shares)
	if err != nil {
		return threshold.Signature{}, err
	}
	if sum, ok := sumShares(s.group, zs); ok {
		sig := append(bytes.Clone(x.r), sum.Bytes()...)
		if s.verify(key.GroupKey, req.Message, sig) {
			return threshold.Signature{Bytes: sig, RecoveryID: -1}, nil
		}
	}
	return threshold.Signature{}, culprits(p.signers, zs, func(i int, z group.Scalar) bool { return s.publicShareFits(key, p, x, i, z) })
}

// publicShareFits is verify_signature_share (§5.4) by the key record.
func (s *rfcScheme) publicShareFits(key threshold.KeyInfo, p *prepared, x *rfcRequest, i int, z group.Scalar) bool {
	public, err := s.group.NewPoint().SetCanonical(key.PublicShare(p.signers[i]))
	return err == nil && s.shareFits(public, p, x, i, z)
}

// shareFits is z_i·B = D_i + ρ_i·E_i + c·λ_i·X_i.
func (s *rfcScheme) shareFits(public group.Point, p *prepared, x *rfcRequest, i int, z group.Scalar) bool {
	weight := s.group.NewScalar().Mul(x.challenge, p.lambda[i])
	want := s.group.VarTimeMultiScalarMult([]group.Scalar{x.rho[i], weight}, []group.Point{p.commitments[i].e, public})
	want.Add(want, p.commitments[i].d)
	return s.group.NewPoint().ScalarBaseMult(z).Equal(want)
}

// VerifyShare implements threshold.Scheme.
func (s *rfcScheme) VerifyShare(key threshold.KeyInfo, req threshold.SignRequest, share *threshold.SignatureShare) error {
	p, x, err := s.request(key, req)
	if err != nil {
		return err
	}
	if share == nil {
		return errShare
	}
	i := p.position(share.From)
	z, err := decodeShare(s.group, req.Pre, share)
	if err != nil || i < 0 || !s.publicShareFits(key, p, x, i, z) {
		return errShare
	}
	return nil
}

// Verify implements threshold.Scheme.
func (s *rfcScheme) Verify(groupKey []byte, tweaks []threshold.Tweak, message, sig []byte) error {
	if len(tweaks) > 0 {
		return fmt.Errorf("frost: a key of scheme %q takes no tweaks", s.id)
	}
	if !s.verify(groupKey, message, sig) {
		return errVerify
	}
	return nil
}

// ParseKeyShare implements threshold.Scheme.
func (s *rfcScheme) ParseKeyShare(b []byte) (*threshold.KeyShare, error) {
	return parseKeyShare(s.group, s.kind.ID, b)
}
