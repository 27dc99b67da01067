package frost

import (
	"crypto/sha256"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// taggedHash is SHA256(SHA256(tag) ‖ SHA256(tag) ‖ parts) of BIP 340, of public input.
func taggedHash(tag [32]byte, parts ...[]byte) (sum [32]byte) {
	h := sha256.New()
	h.Write(tag[:])
	h.Write(tag[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// The hashed tags.
var (
	tagChallenge = sha256.Sum256([]byte("BIP0340/challenge"))
	tagTapTweak  = sha256.Sum256([]byte("TapTweak"))
)

// bip340Challenge is e = hash_BIP0340/challenge(x(R) ‖ x(Q) ‖ m).
func bip340Challenge(rx, qx, message []byte) *secp256k1.Scalar {
	h := taggedHash(tagChallenge, rx, qx, message)
	return new(secp256k1.Scalar).SetBytesReduced(h[:])
}

// bip340Verify is Verify of BIP 340 for a 32-byte x-only key, a message of any length and a signature of 64 bytes:
// R = s·G - e·P has even y and the x of the signature. Everything is public.
func bip340Verify(key, message, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	var p secp256k1.Point
	if _, err := p.SetXOnly(key); err != nil {
		return false
	}
	var s secp256k1.Scalar
	if _, err := s.SetBytes(sig[32:]); err != nil {
		return false
	}
	e := bip340Challenge(sig[:32], key, message)
	r := new(secp256k1.Point).VarTimeDoubleScalarBaseMult(e.Negate(e), &p, &s)
	b := r.Bytes() // 02 ‖ x for even y; the identity gives zeros
	return b[0] == 2 && string(b[1:]) == string(sig[:32])
}
