package frost

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// This file is the algorithms of BIP 445 (FROST3), in its order and with its symbols. Identifiers are party numbers
// minus one. Only secret nonces and shares are secret; the arithmetic on them is constant time.

// bip445Draft is the draft of BIP 445 that is spoken here. It is part of every presigning's context, so signers of two drafts see
// config-mismatch where they would have made shares that give no signature together.
const bip445Draft = "0.12"

// A committee stays inside the bound n ≤ 128 of BIP 445, which is where the problem that an adaptive attack has to solve is proven hard
// (ePrint 2025/1001).
const _ = uint(128 - threshold.MaxParties)

var (
	tagNonceAux  = sha256.Sum256([]byte("BIP0445/aux"))
	tagNonce     = sha256.Sum256([]byte("BIP0445/nonce"))
	tagNonceCoef = sha256.Sum256([]byte("BIP0445/noncecoef"))
)

// The refusals of ValidateSessionParams and Sign.
var (
	errSignerCount     = errors.New("frost: the number of signers must be between t and n")
	errDuplicateSigner = errors.New("frost: the signer list contains duplicates")
	errGroupKey        = errors.New("frost: the signers' public shares do not give the group key")
	errNoSigner        = errors.New("frost: the signer is not among the signers")
	errPublicShare     = errors.New("frost: the key share is not that of the signer's public share")
	errFirstNonce      = errors.New("frost: the first secret nonce is out of range; it may have been used")
	errSecondNonce     = errors.New("frost: the second secret nonce is out of range; it may have been used")
	errSecretShare     = errors.New("frost: the key share is out of range")
	errChallenge       = errors.New("frost: a hash came out zero")
)

// identifierError says that the identifier at Index of the signer list is not in 0..n-1.
type identifierError struct{ Index int }

func (e *identifierError) Error() string {
	return fmt.Sprintf("frost: the identifier at index %d is out of range", e.Index)
}

// publicShareError says that the public share at Index of the signer list is not a point.
type publicShareError struct{ Index int }

func (e *publicShareError) Error() string {
	return fmt.Sprintf("frost: invalid public share at index %d", e.Index)
}

// nonceInput is what NonceGen hashes besides its 32 random bytes; absent fields are nil.
type nonceInput struct {
	share   []byte // secshare, 32 bytes, secret
	id      []byte // signer_id, 4 bytes big-endian
	public  []byte // pubshare, 33 bytes
	key     []byte // x-only threshold public key, 32 bytes
	message []byte // nil: no message; empty: a message of no bytes
	extra   []byte
}

// nonceGen is NonceGen of BIP 445. It wipes random.
func nonceGen(random *[32]byte, in nonceInput) (k1, k2 *secp256k1.Scalar, err error) {
	defer clear(random[:])
	if in.share != nil {
		mask := taggedHash(tagNonceAux, random[:])
		for i := range random {
			random[i] = mask[i] ^ in.share[i]
		}
		clear(mask[:])
	}
	// One buffer of exactly the right size: nothing secret is left behind by growth.
	size := 64 + 32 + 1 + len(in.id) + 1 + len(in.public) + 1 + len(in.key) + 1 + 8 + len(in.message) + 4 + len(in.extra) + 1
	buf := make([]byte, 0, size)
	defer func() { clear(buf[:cap(buf)]) }()
	buf = append(buf, tagNonce[:]...)
	buf = append(buf, tagNonce[:]...)
	buf = append(buf, random[:]...)
	buf = append(append(buf, byte(len(in.id))), in.id...)
	buf = append(append(buf, byte(len(in.public))), in.public...)
	buf = append(append(buf, byte(len(in.key))), in.key...)
	if in.message == nil {
		buf = append(buf, 0)
	} else {
		buf = append(binary.BigEndian.AppendUint64(append(buf, 1), uint64(len(in.message))), in.message...)
	}
	buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(in.extra))), in.extra...)

	var k [2]secp256k1.Scalar
	for i := range k {
		h := sha256.Sum256(append(buf, byte(i)))
		k[i].SetBytesReduced(h[:])
		clear(h[:])
		if k[i].IsZero() == 1 {
			return nil, nil, errors.New("frost: a nonce is zero: the random generator is broken")
		}
	}
	return &k[0], &k[1], nil
}

// nonceSums is the aggregate nonce: R1 and R2, each perhaps the identity, and aggnonce, their 66 bytes.
type nonceSums struct {
	r1, r2  secp256k1.Point
	encoded []byte
}

// aggregateNonces is the sum of NonceAgg for many signings at once, with one inversion for all encodings.
func aggregateNonces(commitments ...[]commitment) []*nonceSums {
	out := make([]*nonceSums, len(commitments))
	points := make([]*secp256k1.Point, 0, 2*len(out))
	for i, cs := range commitments {
		s := &nonceSums{r1: *secp256k1.NewIdentity(), r2: *secp256k1.NewIdentity()}
		for _, c := range cs {
			s.r1.Add(&s.r1, &c.d.(*group.SkPoint).P)
			s.r2.Add(&s.r2, &c.e.(*group.SkPoint).P)
		}
		out[i] = s
		points = append(points, &s.r1, &s.r2)
	}
	encoded := secp256k1.BatchBytes(points)
	for i, s := range out {
		s.encoded = append(encoded[2*i], encoded[2*i+1]...)
	}
	return out
}

// signerSet is what a Session Context says of the key: who signs, with which public shares, for which threshold public key.
type signerSet struct {
	ids        []uint32
	serialized []byte // bytes(4, u) ‖ SerializeIds
	public     []group.Point
	lambda     []group.Scalar
	key        *secp256k1.Point
}

// newSignerSet is ValidateSessionParams: identifiers below n in any order, threshold t, compressed public shares of the signers,
// compressed threshold public key.
func newSignerSet(n, t int, ids []uint32, public [][]byte, key []byte) (*signerSet, error) {
	if len(ids) < t || len(ids) > n || t > n || len(public) != len(ids) {
		return nil, errSignerCount
	}
	c := &signerSet{ids: ids, serialized: uint32Bytes(len(ids)), key: new(secp256k1.Point)}
	for i, id := range ids {
		if int64(id) >= int64(n) {
			return nil, &identifierError{i}
		}
		p, err := group.Secp256k1.NewPoint().SetCanonical(public[i])
		if err != nil {
			return nil, &publicShareError{i}
		}
		c.public = append(c.public, p)
	}
	sorted := slices.Sorted(slices.Values(ids))
	if len(slices.Compact(slices.Clone(sorted))) != len(ids) {
		return nil, errDuplicateSigner
	}
	parties := make([]threshold.PartyID, len(ids))
	for i, id := range ids {
		parties[i] = threshold.PartyID(id + 1)
		c.serialized = binary.BigEndian.AppendUint32(c.serialized, sorted[i])
	}
	if _, err := c.key.SetBytes(key); err != nil {
		return nil, errGroupKey
	}
	c.lambda = newQuorum(group.Secp256k1, parties).lambda
	derived := group.Secp256k1.VarTimeMultiScalarMult(c.lambda, c.public) // DeriveThreshPubkey
	if derived.(*group.SkPoint).P.Equal(c.key) != 1 {
		return nil, errGroupKey
	}
	return c, nil
}

// sessionValues is what GetSessionValues gives.
type sessionValues struct {
	signers *signerSet
	tweaked *tweakContext
	b, e    secp256k1.Scalar
	rx      [32]byte // xbytes(R)
	rOdd    int      // 1 if y(R) is odd
}

// newSessionValues is GetSessionValues, for a message of any length.
func newSessionValues(signers *signerSet, sums *nonceSums, tweaks []threshold.Tweak, message []byte) (*sessionValues, error) {
	v := &sessionValues{signers: signers}
	var err error
	if v.tweaked, err = newTweakedKey(signers.key, tweaks); err != nil {
		return nil, err
	}
	h := taggedHash(tagNonceCoef, signers.serialized, sums.encoded, v.tweaked.x[:], message)
	v.b.SetBytesReduced(h[:])
	r := new(secp256k1.Point).VarTimeDoubleScalarBaseMult(&v.b, &sums.r2, new(secp256k1.Scalar))
	r.Add(r, &sums.r1)
	if r.IsIdentity() == 1 {
		r = secp256k1.NewGenerator() // Dealing with Infinity in Nonce Aggregation
	}
	encoded := r.Bytes()
	copy(v.rx[:], encoded[1:])
	v.rOdd = int(encoded[0] & 1)
	v.e = *bip340Challenge(v.rx[:], v.tweaked.x[:], message)
	if v.b.IsZero()|v.e.IsZero() == 1 {
		return nil, errChallenge
	}
	return v, nil
}

// sign is Sign for the signer with identifier id, from its secret nonces, its secret share and its public nonce. The result
// has been verified. The caller wipes k1, k2 and share, which are negated on the way.
func (v *sessionValues) sign(k1, k2, share *secp256k1.Scalar, id uint32, public commitment) (*secp256k1.Scalar, error) {
	switch {
	case k1.IsZero() == 1:
		return nil, errFirstNonce
	case k2.IsZero() == 1:
		return nil, errSecondNonce
	case share.IsZero() == 1:
		return nil, errSecretShare
	}
	i := slices.Index(v.signers.ids, id)
	if i < 0 {
		return nil, errNoSigner
	}
	var p secp256k1.Point
	if p.ScalarBaseMult(share).Equal(&v.signers.public[i].(*group.SkPoint).P) != 1 {
		return nil, errPublicShare
	}
	k1.CondNegate(v.rOdd)
	k2.CondNegate(v.rOdd)
	share.CondNegate(v.tweaked.signFlip()) // d = g·gacc·d'
	s := v.weight(i)
	s.MulAdd(s, share, k1)
	s.MulAdd(&v.b, k2, s) // s = k1 + b·k2 + e·λ·d
	if !v.fits(i, s, public) {
		s.Wipe()
		return nil, errSelfCheck
	}
	return s, nil
}

// weight is e·λ_i.
func (v *sessionValues) weight(i int) *secp256k1.Scalar {
	return new(secp256k1.Scalar).Mul(&v.e, &v.signers.lambda[i].(*group.SkScalar).S)
}

// fits is PartialSigVerifyInternal for the i-th signer of the list: s·G = ±(R1 + b·R2) + e·λ·g·gacc·P.
func (v *sessionValues) fits(i int, s *secp256k1.Scalar, public commitment) bool {
	if s.IsZero() == 1 {
		return false
	}
	b := v.b
	b.CondNegate(v.rOdd)
	weight := v.weight(i).CondNegate(v.tweaked.signFlip())
	r1 := public.d.(*group.SkPoint).P
	r1.CondNegate(v.rOdd)
	want := new(secp256k1.Point).VarTimeMultiScalarMult(
		[]*secp256k1.Scalar{&b, weight},
		[]*secp256k1.Point{&public.e.(*group.SkPoint).P, &v.signers.public[i].(*group.SkPoint).P})
	want.Add(want, &r1)
	return new(secp256k1.Point).ScalarBaseMult(s).Equal(want) == 1
}

// aggregate is PartialSigAgg for the sum of the signature shares: 64 bytes of a BIP-340 signature, not yet verified.
func (v *sessionValues) aggregate(sum *secp256k1.Scalar) []byte {
	s := new(secp256k1.Scalar).Add(sum, v.tweaked.aggregateTerm(&v.e))
	return append(slices.Clone(v.rx[:]), s.Bytes()...)
}
