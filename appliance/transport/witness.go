package transport

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"

	"filippo.io/mldsa"

	"github.com/luxfi/mpcd/internal/secret"
)

// WitnessKeyLen is the length of Peer.WitnessKey in bytes.
const WitnessKeyLen = mldsa.MLDSA44PublicKeySize

// newWitness makes the ML-DSA-44 key of an identity from the seed of its Ed25519 key: there is nothing more to keep, to back up or to
// lose. Who finds the Ed25519 key from its public half and from signatures, as a quantum computer might, has not found the seed, of which
// it is a hash; who steals the seed has both.
func newWitness(seed []byte) (sign func(msg []byte) []byte, pub []byte, err error) {
	b, err := hkdf.Key(sha256.New, seed[:ed25519.SeedSize], nil, tagWitness, mldsa.PrivateKeySize)
	if err != nil {
		return nil, nil, err
	}
	defer secret.Wipe(b)
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), b)
	if err != nil {
		return nil, nil, err
	}
	// By the deterministic variant of FIPS 204, as Ed25519 is: who signs the same again says no more.
	return func(msg []byte) []byte {
		sig, err := key.SignDeterministic(msg, nil)
		if err != nil {
			return nil
		}
		return sig
	}, key.PublicKey().Bytes(), nil
}

// VerifyWitness verifies an ML-DSA-44 signature by Peer.WitnessKey.
func VerifyWitness(key, msg, sig []byte) error {
	pub, err := mldsa.NewPublicKey(mldsa.MLDSA44(), key)
	if err != nil {
		return err
	}
	return mldsa.Verify(pub, msg, sig, nil)
}
