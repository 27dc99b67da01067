package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"io"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// Ed25519 is FROST(Ed25519, SHA-512), RFC 9591 §6.1.
var Ed25519 threshold.Scheme = edScheme{}

const edContext = "FROST-ED25519-SHA512-v1"

type edScheme struct{}

func (edScheme) ID() threshold.SchemeID { return threshold.FrostEd25519 }

func (edScheme) params() dkg.Params {
	return dkg.Params{Group: group.Ed25519, Scheme: threshold.FrostEd25519, Purpose: threshold.PurposeEdDSA}
}

func (s edScheme) Keygen(set threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewKeygen(s.params(), set, rand)
}

func (s edScheme) Refresh(set threshold.Setup, share *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewRefresh(s.params(), set, share, rand)
}

func (s edScheme) Presign(set threshold.Setup, keys []threshold.PresignKey, rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	return presign(group.Ed25519, s.ID(), set, keys, edNonces, rand)
}

// edHash is SHA-512 of the context, a label and the parts, as H1, H3, H4 and H5 use it.
func edHash(label string, parts ...[]byte) []byte {
	h := sha512.New()
	h.Write([]byte(edContext))
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// edNonce is nonce_generate of RFC 9591 §4.1: H3(random ‖ share), so that a broken generator alone leaks nothing.
func edNonce(random, share []byte) group.Scalar {
	wide := edHash("nonce", random, share)
	defer clear(wide)
	return group.Ed25519.NewScalar().SetUniform(wide)
}

func edNonces(_ int, share *threshold.KeyShare, rand io.Reader) (*noncePair, error) {
	var random [64]byte
	defer clear(random[:])
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return nil, err
	}
	return &noncePair{d: edNonce(random[:32], share.Secret()), e: edNonce(random[32:], share.Secret())}, nil
}

// edIdentifier is the identifier as a scalar: little-endian, 32 bytes.
func edIdentifier(p threshold.PartyID) []byte {
	b := make([]byte, 32)
	b[0], b[1] = byte(p), byte(p>>8)
	return b
}

// edContextOf is everything a message makes of a presignature.
type edRequest struct {
	message   []byte
	rho       []group.Scalar // binding factors, in the order of the signers
	r         group.Point    // group commitment R
	rBytes    []byte
	challenge group.Scalar
}

// edPrepare computes binding factors (§4.4), group commitment (§4.5) and challenge (§4.6), or finds them computed.
func edPrepare(groupKey []byte, req threshold.SignRequest) (*prepared, *edRequest, error) {
	if len(req.Tweaks) > 0 {
		return nil, nil, errors.New("frost: ed25519 keys take no tweaks")
	}
	if req.Pre == nil {
		return nil, nil, errors.New("frost: no presignature")
	}
	prep, ok := req.Pre.Prepared.(*prepared)
	if !ok {
		return nil, nil, errors.New("frost: not a presignature of this scheme")
	}
	if last, ok := prep.last.(*edRequest); ok && bytes.Equal(last.message, req.Message) {
		return prep, last, nil
	}
	g := group.Ed25519
	var list []byte
	for i, p := range prep.signers {
		list = append(append(list, edIdentifier(p)...), req.Pre.Commitments[i]...)
	}
	msgHash, listHash := edHash("msg", req.Message), edHash("com", list)
	x := &edRequest{message: bytes.Clone(req.Message)}
	es := make([]group.Point, len(prep.signers))
	for i, p := range prep.signers {
		x.rho = append(x.rho, g.NewScalar().SetUniform(edHash("rho", groupKey, msgHash, listHash, edIdentifier(p))))
		es[i] = prep.commitments[i].e
	}
	x.r = g.VarTimeMultiScalarMult(x.rho, es)
	for _, c := range prep.commitments {
		x.r.Add(x.r, c.d)
	}
	x.rBytes = x.r.Bytes()
	x.challenge = edChallenge(x.rBytes, groupKey, req.Message)
	prep.last = x
	return prep, x, nil
}

// edChallenge is H2: SHA-512 without any prefix, so that RFC 8032 verifiers accept.
func edChallenge(r, groupKey, message []byte) group.Scalar {
	h := sha512.New()
	h.Write(r)
	h.Write(groupKey)
	h.Write(message)
	return group.Ed25519.NewScalar().SetUniform(h.Sum(nil))
}

type edSigner struct{ share *threshold.KeyShare }

func (edScheme) NewSigner(share *threshold.KeyShare) (threshold.Signer, error) {
	if share.Scheme != threshold.FrostEd25519 {
		return nil, errors.New("frost: share of another scheme")
	}
	return edSigner{share}, nil
}

// SignShare is §5.2: z_i = d_i + e_i·ρ_i + λ_i·s_i·c.
func (s edSigner) SignShare(req threshold.SignRequest) (*threshold.SignatureShare, error) {
	prep, x, err := edPrepare(s.share.GroupKey, req)
	if err != nil {
		return nil, err
	}
	i := position(prep.signers, s.share.Party)
	pair, ok := req.Pre.Nonces.(*noncePair)
	if i < 0 || !ok {
		return nil, errors.New("frost: we are no signer of this presignature")
	}
	g := group.Ed25519
	d, e, err := pair.take(g)
	if err != nil {
		return nil, err
	}
	key, err := g.NewScalar().SetCanonical(s.share.Secret())
	if err != nil {
		return nil, errors.New("frost: key share is not a canonical scalar")
	}
	z := finish(g, d, e, key, x.rho[i], prep.lambda[i], x.challenge)
	return &threshold.SignatureShare{From: s.share.Party, Pre: req.Pre.ID, Payload: z.Bytes()}, nil
}

// finish computes d + e·ρ + λ·s·c and wipes d, e and s.
func finish(g group.Group, d, e, s, rho, lambda, c group.Scalar) group.Scalar {
	z := g.NewScalar().Mul(lambda, s)
	z.Mul(z, c)
	e.Mul(e, rho)
	z.Add(z, d)
	z.Add(z, e)
	d.Wipe()
	e.Wipe()
	s.Wipe()
	return z
}

func position(signers []threshold.PartyID, p threshold.PartyID) int {
	for i, s := range signers {
		if s == p {
			return i
		}
	}
	return -1
}

// Combine is §5.3 with the order of §5.4: verify the sum first, blame only on failure.
func (s edScheme) Combine(key threshold.KeyInfo, req threshold.SignRequest, shares []*threshold.SignatureShare) (threshold.Signature, error) {
	prep, x, err := edPrepare(key.GroupKey, req)
	if err != nil {
		return threshold.Signature{}, err
	}
	g := group.Ed25519
	zs, err := scalarShares(g, req.Pre, shares)
	if err != nil {
		return threshold.Signature{}, err
	}
	sum := g.NewScalar()
	for _, z := range zs {
		sum.Add(sum, z)
	}
	sig := append(bytes.Clone(x.rBytes), sum.Bytes()...)
	if s.Verify(key.GroupKey, nil, req.Message, sig) == nil {
		return threshold.Signature{Bytes: sig, RecoveryID: -1}, nil
	}
	return threshold.Signature{}, culprits(shares, func(i int) bool { return edShareFits(key, prep, x, i, zs[i]) })
}

// edShareFits is verify_signature_share of §5.4: z_i·B = D_i + ρ_i·E_i + c·λ_i·X_i.
func edShareFits(key threshold.KeyInfo, prep *prepared, x *edRequest, i int, z group.Scalar) bool {
	g := group.Ed25519
	public, err := g.NewPoint().SetCanonical(key.PublicShare(prep.signers[i]))
	if err != nil {
		return false
	}
	cl := g.NewScalar().Mul(x.challenge, prep.lambda[i])
	want := g.VarTimeMultiScalarMult([]group.Scalar{x.rho[i], cl}, []group.Point{prep.commitments[i].e, public})
	want.Add(want, prep.commitments[i].d)
	return g.NewPoint().ScalarBaseMult(z).Equal(want)
}

func (edScheme) VerifyShare(key threshold.KeyInfo, req threshold.SignRequest, share *threshold.SignatureShare) error {
	prep, x, err := edPrepare(key.GroupKey, req)
	if err != nil {
		return err
	}
	i := position(prep.signers, share.From)
	z, err := decodeShare(group.Ed25519, req.Pre, share)
	if err != nil || i < 0 || !edShareFits(key, prep, x, i, z) {
		return errors.New("frost: signature share does not verify")
	}
	return nil
}

// Verify is RFC 8032 verification by crypto/ed25519, cofactorless as Solana's.
func (edScheme) Verify(groupKey []byte, tweaks []threshold.Tweak, message, sig []byte) error {
	if len(tweaks) > 0 {
		return errors.New("frost: ed25519 keys take no tweaks")
	}
	if len(groupKey) != ed25519.PublicKeySize || !ed25519.Verify(groupKey, message, sig) {
		return errors.New("frost: signature does not verify")
	}
	return nil
}

func (edScheme) ParseKeyShare(b []byte) (*threshold.KeyShare, error) {
	return parseKeyShare(group.Ed25519, threshold.FrostEd25519, b)
}

// parseKeyShare also proves that the secret fits the public share, so that a record of another key is found out.
func parseKeyShare(g group.Group, id threshold.SchemeID, b []byte) (*threshold.KeyShare, error) {
	k, err := threshold.DecodeKeyShare(b)
	if err != nil {
		return nil, err
	}
	s, err := g.NewScalar().SetCanonical(k.Secret())
	if err != nil || k.Scheme != id || !bytes.Equal(g.NewPoint().ScalarBaseMult(s).Bytes(), k.PublicShare(k.Party)) {
		k.Destroy()
		return nil, errors.New("frost: key share does not fit its public share")
	}
	s.Wipe()
	return k, nil
}
