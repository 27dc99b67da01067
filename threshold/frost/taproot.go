package frost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// Taproot is BIP 445 signing for BIP-340 public keys, scheme threshold.FrostTaproot.
//
// A group key is 33 bytes (compressed SEC 1), a message the 32-byte digest that the transaction signature covers, a
// commitment 66 bytes, a signature share 32 bytes, a signature 64 bytes (BIP 340). The group key is itself a Taproot output
// key without a script path, see taprootOutput; without its first byte it is what a v1 witness program holds (BIP 341).
var Taproot threshold.Scheme = taproot{}

var errMessageLen = errors.New("frost: a Taproot message is the 32-byte digest of BIP 341")

type taproot struct{}

// ID implements threshold.Scheme.
func (taproot) ID() threshold.SchemeID { return threshold.FrostTaproot }

// Kind implements threshold.Scheme.
func (taproot) Kind() threshold.Kind { return threshold.BIP340 }

// Protocol implements threshold.Scheme.
func (taproot) Protocol() string { return protocol }

func (taproot) params() dkg.Params {
	return dkg.Params{Group: group.Secp256k1, Kind: threshold.BIP340.ID, Finish: taprootOutput}
}

// Keygen implements threshold.Scheme.
func (t taproot) Keygen(s threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewKeygen(t.params(), s, rand)
}

// Refresh implements threshold.Scheme; the output key stays.
func (t taproot) Refresh(s threshold.Setup, share *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewRefresh(t.params(), s, share, rand)
}

// Presign implements threshold.Scheme.
func (t taproot) Presign(s threshold.Setup, keys []threshold.PresignKey,
	rand io.Reader) (*threshold.Session[[]*threshold.Presignature], error) {
	return presign(t.suite(), s, keys, rand)
}

func (t taproot) suite() suite {
	return suite{group: group.Secp256k1, id: t.ID(), draft: bip445Draft, kind: threshold.BIP340.ID, nonces: taprootNonces,
		key: taprootSigners, nonceSums: true}
}

// taprootNonces is NonceGen with everything optional that is known before the message.
func taprootNonces(share *threshold.KeyShare, extra []byte, rand io.Reader) (d, e group.Scalar, err error) {
	var random [32]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return nil, nil, fmt.Errorf("frost: no randomness for nonces: %w", err)
	}
	k1, k2, err := nonceGen(&random, nonceInput{share: share.Secret(), id: uint32Bytes(int(share.Party) - 1),
		public: share.PublicShare(share.Party), key: share.GroupKey[1:], extra: extra})
	if err != nil {
		return nil, nil, err
	}
	d, e = &group.SkScalar{S: *k1}, &group.SkScalar{S: *k2}
	k1.Wipe()
	k2.Wipe()
	return d, e, nil
}

// taprootSigners is who signs with a key. Party numbers are never given again, so identifiers are below the largest party number
// rather than below the committee's size.
func taprootSigners(info threshold.KeyInfo, q *quorum) (any, error) {
	ids, public := make([]uint32, len(q.signers)), make([][]byte, len(q.signers))
	for i, p := range q.signers {
		ids[i], public[i] = uint32(p)-1, info.PublicShare(p)
	}
	return newSignerSet(1<<16-1, info.Committee.Threshold, ids, public, info.GroupKey)
}

// sumNonces aggregates the nonces of a whole batch.
func sumNonces(preps []*prepared) {
	all := make([][]commitment, len(preps))
	for i, p := range preps {
		all[i] = p.commitments
	}
	for i, s := range aggregateNonces(all...) {
		preps[i].sums = s
	}
}

// taprootRequest is everything a message and its tweaks make of a presignature.
type taprootRequest struct {
	message []byte
	tweaks  []threshold.Tweak
	*sessionValues
}

func taprootPrepare(key threshold.KeyInfo, req threshold.SignRequest) (*prepared, *taprootRequest, error) {
	p, err := preparedOf(threshold.FrostTaproot, key, req)
	if err != nil {
		return nil, nil, err
	}
	if len(req.Message) != threshold.BIP340.Digest {
		return nil, nil, errMessageLen
	}
	if last, ok := p.last.Load().(*taprootRequest); ok && bytes.Equal(last.message, req.Message) && slices.Equal(last.tweaks, req.Tweaks) {
		return p, last, nil
	}
	v, err := newSessionValues(p.key.detail.(*signerSet), p.sums, req.Tweaks, req.Message)
	if err != nil {
		return nil, nil, err
	}
	x := &taprootRequest{bytes.Clone(req.Message), slices.Clone(req.Tweaks), v}
	p.last.Store(x)
	return p, x, nil
}

// NewSigner implements threshold.Scheme.
func (t taproot) NewSigner(share *threshold.KeyShare) (threshold.Signer, error) {
	if share.Kind != threshold.BIP340.ID {
		return nil, kindError(share.Kind, threshold.BIP340.ID)
	}
	return taprootSigner{share}, nil
}

type taprootSigner struct{ share *threshold.KeyShare }

// SignShare is Sign of BIP 445.
func (s taprootSigner) SignShare(req threshold.SignRequest) (*threshold.SignatureShare, error) {
	pair, d, e, err := takeNonces(req)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	defer e.Wipe()
	p, x, err := taprootPrepare(s.share.KeyInfo, req)
	if err != nil {
		return nil, err
	}
	i, err := p.ownPlace(s.share.Party, pair)
	if err != nil {
		return nil, err
	}
	var secret secp256k1.Scalar
	defer secret.Wipe()
	if _, err := secret.SetBytes(s.share.Secret()); err != nil {
		return nil, errSecretShare
	}
	z, err := x.sign(&d.(*group.SkScalar).S, &e.(*group.SkScalar).S, &secret, uint32(s.share.Party)-1, p.commitments[i])
	if err != nil {
		return nil, err
	}
	return &threshold.SignatureShare{From: s.share.Party, Pre: req.Pre.ID, Payload: z.Bytes()}, nil
}

// Combine is PartialSigAgg; the signature is verified, and the shares one by one only if it fails.
func (taproot) Combine(key threshold.KeyInfo, req threshold.SignRequest, shares []*threshold.SignatureShare) (threshold.Signature, error) {
	p, x, err := taprootPrepare(key, req)
	if err != nil {
		return threshold.Signature{}, err
	}
	zs, err := decodeShares(group.Secp256k1, req.Pre, shares)
	if err != nil {
		return threshold.Signature{}, err
	}
	if sum, ok := sumShares(group.Secp256k1, zs); ok {
		sig := x.aggregate(&sum.(*group.SkScalar).S)
		if bip340Verify(x.tweaked.x[:], req.Message, sig) {
			return threshold.Signature{Bytes: sig, RecoveryID: -1}, nil
		}
	}
	return threshold.Signature{}, culprits(p.signers, zs, func(i int, z group.Scalar) bool {
		return x.fits(i, &z.(*group.SkScalar).S, p.commitments[i])
	})
}

// VerifyShare is PartialSigVerify.
func (taproot) VerifyShare(key threshold.KeyInfo, req threshold.SignRequest, share *threshold.SignatureShare) error {
	p, x, err := taprootPrepare(key, req)
	if err != nil {
		return err
	}
	if share == nil {
		return errShare
	}
	i := p.position(share.From)
	z, err := decodeShare(group.Secp256k1, req.Pre, share)
	if err != nil || i < 0 || !x.fits(i, &z.(*group.SkScalar).S, p.commitments[i]) {
		return errShare
	}
	return nil
}

// Verify implements threshold.Scheme. groupKey has 33 bytes (compressed) or 32 (x-only); with an x-only key the first tweak,
// if there is one, must be x-only too, because a plain tweak needs the sign that 32 bytes do not tell.
func (taproot) Verify(groupKey []byte, tweaks []threshold.Tweak, message, sig []byte) error {
	if len(message) != threshold.BIP340.Digest {
		return errMessageLen
	}
	var p secp256k1.Point
	var err error
	if len(groupKey) == 32 {
		if len(tweaks) > 0 && !tweaks[0].XOnly {
			return errors.New("frost: a plain tweak needs the compressed group key of 33 bytes")
		}
		_, err = p.SetXOnly(groupKey)
	} else {
		_, err = p.SetBytes(groupKey)
	}
	if err != nil {
		return fmt.Errorf("frost: group key: %w", err)
	}
	tweaked, err := newTweakedKey(&p, tweaks)
	if err != nil {
		return err
	}
	if !bip340Verify(tweaked.x[:], message, sig) {
		return errVerify
	}
	return nil
}

// ParseKeyShare implements threshold.Scheme.
func (t taproot) ParseKeyShare(b []byte) (*threshold.KeyShare, error) {
	return parseKeyShare(group.Secp256k1, threshold.BIP340.ID, b)
}

// taprootOutput turns the DKG's key P into the output key Q = lift_x(P) + hash_TapTweak(x(P))·G, and every share with it: a
// negation and a constant shift of the polynomial. BIP 341 asks for this of keys made by several parties, of whom one might
// otherwise have committed to a script path of its own (ChillDKG does the same).
func taprootOutput(o *dkg.Outcome) {
	p := &o.GroupKey.(*group.SkPoint).P
	encoded := p.Bytes()
	h := taggedHash(tagTapTweak, encoded[1:])
	var t secp256k1.Scalar
	if _, err := t.SetBytes(h[:]); err != nil || p.IsIdentity() == 1 {
		p.Set(secp256k1.NewIdentity()) // probability 2^-128; the DKG refuses it and is run again
		return
	}
	odd := int(encoded[0] & 1)
	tg := new(secp256k1.Point).ScalarBaseMult(&t)
	share := &o.Share.(*group.SkScalar).S
	share.CondNegate(odd)
	share.Add(share, &t)
	for _, q := range append([]group.Point{o.GroupKey}, o.Public...) {
		x := &q.(*group.SkPoint).P
		x.CondNegate(odd)
		x.Add(x, tg)
	}
}
