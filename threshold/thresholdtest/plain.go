package thresholdtest

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// PlainID is the scheme of Plain.
const PlainID threshold.SchemeID = "plain-ed25519"

// Plain is a second protocol for Ed25519 keys: Schnorr signing with one nonce of each signer and no binding factors, so that whoever
// opens sessions side by side can forge (ROS attacks). It is for tests, which ask whether two protocols share a key. Keys, shares and
// the verification of signatures are those of the scheme in it.
type Plain struct{ threshold.Scheme }

// ID implements threshold.Scheme.
func (Plain) ID() threshold.SchemeID { return PlainID }

// Protocol implements threshold.Scheme.
func (Plain) Protocol() string { return "plain" }

// plainNonce is d_i, once.
type plainNonce struct {
	d     group.Scalar
	burnt atomic.Bool
}

// Burn implements threshold.Burner.
func (n *plainNonce) Burn() { n.take().Wipe() }

// take gives the nonce away, the first time; a zero later.
func (n *plainNonce) take() group.Scalar {
	d := group.Ed25519.NewScalar()
	if !n.burnt.Swap(true) {
		d.Set(n.d)
		n.d.Wipe()
	}
	return d
}

// plainPrepared is what a presignature is for.
type plainPrepared struct {
	key         [32]byte // digest of the record
	commitments []group.Point
}

// Presign implements threshold.Scheme: D_i = d_i·G of every entry rides in OPEN.
func (p Plain) Presign(s threshold.Setup, keys []threshold.PresignKey, rand io.Reader) (*threshold.Session[plainResult], error) {
	if s.Signers == nil {
		s.Signers = slices.Clone(s.Committee.Parties)
	}
	if err := s.Committee.CheckQuorum(s.Signers); err != nil || len(keys) == 0 {
		return nil, errors.Join(errors.New("plain: no quorum, or no key"), err)
	}
	active := slices.Contains(s.Signers, s.Self)
	context := [][]byte{[]byte(PlainID), s.Context}
	nonces := make([]*plainNonce, len(keys))
	var payload []byte
	for i, k := range keys {
		digest := k.Info.Digest()
		ours := !active || k.Share != nil && k.Share.Party == s.Self && k.Share.Digest() == digest
		if !ours || k.Info.Kind != p.Kind().ID || !k.Info.Committee.Equal(s.Committee) {
			return nil, fmt.Errorf("plain: entry %d is no key of ours", i)
		}
		context = append(context, digest[:])
		if active {
			var wide [64]byte
			if _, err := io.ReadFull(rand, wide[:]); err != nil {
				return nil, err
			}
			nonces[i] = &plainNonce{d: group.Ed25519.NewScalar().SetUniform(wide[:])}
			payload = append(payload, group.Ed25519.NewPoint().ScalarBaseMult(nonces[i].d).Bytes()...)
		}
	}
	sum := canon.Hash("mpcd/v1/test/plain", context...)
	s.Context = sum[:]
	return threshold.NewSession(s, rand, threshold.Opening[plainResult]{
		Payload: payload, PayloadLen: 32 * len(keys),
		Check: func(_ threshold.PartyID, b []byte) (threshold.Payload, error) { return b, nil },
		Begin: func(_ io.Reader, id threshold.SessionID, in []threshold.Received) (threshold.Step[plainResult], error) {
			return plainBegin(s, keys, nonces, received{id, payload, in})
		},
	})
}

type plainResult = []*threshold.Presignature

// received is what OPEN brought, and what we said in it.
type received struct {
	id  threshold.SessionID
	own []byte
	in  []threshold.Received
}

// plainBegin makes the presignatures of everybody's commitments.
func plainBegin(s threshold.Setup, keys []threshold.PresignKey, nonces []*plainNonce, r received) (threshold.Step[plainResult], error) {
	var step threshold.Step[plainResult]
	for i, k := range keys {
		id := canon.Hash("mpcd/v1/test/plain/id", r.id[:], []byte{byte(i)})
		pre := &threshold.Presignature{ID: id, Scheme: PlainID, Session: r.id, Signers: s.Signers}
		prep := &plainPrepared{key: k.Info.Digest()}
		peers := r.in
		for _, p := range s.Signers {
			b := r.own
			if p != s.Self {
				b, peers = peers[0].Payload.([]byte), peers[1:]
			}
			b = b[32*i : 32*(i+1)]
			d, err := group.Ed25519.NewPoint().SetCanonical(b)
			if err != nil {
				return step, &threshold.Abort{Kind: threshold.Proven, Check: "plain-commitment", Culprits: []threshold.PartyID{p}, Err: err}
			}
			prep.commitments, pre.Commitments = append(prep.commitments, d), append(pre.Commitments, b)
		}
		if pre.Prepared = prep; nonces[i] != nil {
			pre.Nonces = nonces[i]
		}
		step.Result = append(step.Result, pre)
	}
	return step, nil
}

// plainRequest is R and c = H(R, A, m), which RFC 8032 verifies with.
func plainRequest(key threshold.KeyInfo, req threshold.SignRequest) (prep *plainPrepared, r []byte, c group.Scalar, err error) {
	if req.Pre == nil || req.Pre.Scheme != PlainID {
		return nil, nil, nil, errors.New("plain: no presignature of this scheme")
	}
	prep, ok := req.Pre.Prepared.(*plainPrepared)
	if !ok || prep.key != key.Digest() {
		return nil, nil, nil, errors.New("plain: a presignature of another key or scheme")
	}
	sum := group.Ed25519.NewPoint()
	for _, d := range prep.commitments {
		sum.Add(sum, d)
	}
	r = sum.Bytes()
	h := sha512.Sum512(slices.Concat(r, key.GroupKey, req.Message))
	return prep, r, group.Ed25519.NewScalar().SetUniform(h[:]), nil
}

// plainWeight is c·λ_i.
func plainWeight(req threshold.SignRequest, c group.Scalar, p threshold.PartyID) group.Scalar {
	xs := make([]uint16, len(req.Pre.Signers))
	for i, s := range req.Pre.Signers {
		xs[i] = uint16(s)
	}
	return group.Ed25519.NewScalar().Mul(c, poly.Lagrange(group.Ed25519, uint16(p), xs))
}

// NewSigner implements threshold.Scheme.
func (p Plain) NewSigner(share *threshold.KeyShare) (threshold.Signer, error) {
	if share.Kind != p.Kind().ID {
		return nil, errors.New("plain: a share of another kind of key")
	}
	return plainSigner{share}, nil
}

type plainSigner struct{ share *threshold.KeyShare }

// SignShare is z_i = d_i + c·λ_i·x_i.
func (s plainSigner) SignShare(req threshold.SignRequest) (*threshold.SignatureShare, error) {
	if req.Pre == nil {
		return nil, errors.New("plain: no presignature")
	}
	n, ok := req.Pre.Nonces.(*plainNonce)
	if !ok {
		return nil, errors.New("plain: no nonce of ours")
	}
	d := n.take()
	defer d.Wipe()
	if d.IsZero() {
		return nil, threshold.ErrBurnt
	}
	prep, _, c, err := plainRequest(s.share.KeyInfo, req)
	if err != nil {
		return nil, err
	}
	i := slices.Index(req.Pre.Signers, s.share.Party)
	if i < 0 || !group.Ed25519.NewPoint().ScalarBaseMult(d).Equal(prep.commitments[i]) {
		return nil, errors.New("plain: the commitment in our place is not ours")
	}
	x, err := group.Ed25519.NewScalar().SetCanonical(s.share.Secret())
	if err != nil {
		return nil, err
	}
	defer x.Wipe()
	z := plainWeight(req, c, s.share.Party)
	z.Mul(z, x)
	return &threshold.SignatureShare{From: s.share.Party, Pre: req.Pre.ID, Payload: z.Add(z, d).Bytes()}, nil
}

// VerifyShare implements threshold.Scheme: z_i·G = D_i + c·λ_i·X_i.
func (Plain) VerifyShare(key threshold.KeyInfo, req threshold.SignRequest, share *threshold.SignatureShare) error {
	prep, _, c, err := plainRequest(key, req)
	if err != nil {
		return err
	}
	if share == nil || share.Pre != req.Pre.ID || !slices.Contains(req.Pre.Signers, share.From) {
		return errors.New("plain: not a share of this presignature")
	}
	z, err := group.Ed25519.NewScalar().SetCanonical(share.Payload)
	if err != nil {
		return err
	}
	x, err := group.Ed25519.NewPoint().SetCanonical(key.PublicShare(share.From))
	if err != nil {
		return err
	}
	want := group.Ed25519.VarTimeMultiScalarMult([]group.Scalar{plainWeight(req, c, share.From)}, []group.Point{x})
	if want.Add(want, prep.commitments[slices.Index(req.Pre.Signers, share.From)]); !group.Ed25519.NewPoint().ScalarBaseMult(z).Equal(want) {
		return errors.New("plain: the share does not verify")
	}
	return nil
}

// Combine implements threshold.Scheme.
func (p Plain) Combine(key threshold.KeyInfo, req threshold.SignRequest, shares []*threshold.SignatureShare) (threshold.Signature, error) {
	_, r, _, err := plainRequest(key, req)
	if err == nil && len(shares) != len(req.Pre.Signers) {
		err = errors.New("plain: not one share of each signer")
	}
	if err != nil {
		return threshold.Signature{}, err
	}
	bad := &threshold.Abort{Kind: threshold.Ban, Check: "plain-share", Err: errors.New("plain: a share does not verify")}
	sum := group.Ed25519.NewScalar()
	for i, s := range shares {
		if s == nil || s.From != req.Pre.Signers[i] {
			return threshold.Signature{}, errors.New("plain: the shares are not the signers'")
		}
		if p.VerifyShare(key, req, s) != nil {
			bad.Culprits = append(bad.Culprits, s.From)
			continue
		}
		z, _ := group.Ed25519.NewScalar().SetCanonical(s.Payload)
		sum.Add(sum, z)
	}
	if bad.Culprits != nil {
		return threshold.Signature{}, bad
	}
	sig := append(bytes.Clone(r), sum.Bytes()...)
	if err := p.Verify(key.GroupKey, nil, req.Message, sig); err != nil {
		return threshold.Signature{}, err
	}
	return threshold.Signature{Bytes: sig, RecoveryID: -1}, nil
}
