package attest

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"

	"filippo.io/edwards25519"
)

// CheckEd25519 refuses an Ed25519 public key under which anybody can sign: one of small order, and one that is not the
// canonical encoding of a point (RFC 8032 §5.1.3).
func CheckEd25519(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return errors.New("attest: an Ed25519 public key has 32 bytes")
	}
	p, err := new(edwards25519.Point).SetBytes(pub)
	if err != nil || string(p.Bytes()) != string(pub) {
		return errors.New("attest: not the encoding of an Ed25519 point")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("attest: Ed25519 point of small order; it is nobody's key")
	}
	return nil
}

// checkX25519 refuses an HPKE public key that makes every secret zero (RFC 7748 §6.1).
func checkX25519(pub []byte) error {
	k, err := ecdh.X25519().NewPublicKey(pub)
	if err != nil {
		return errors.New("attest: an X25519 public key has 32 bytes")
	}
	probe, err := ecdh.X25519().NewPrivateKey(probeScalar[:])
	if err != nil {
		return err
	}
	if _, err := probe.ECDH(k); err != nil {
		return errors.New("attest: X25519 point of small order; it is nobody's key")
	}
	return nil
}

// probeScalar is no secret: any scalar shows a point of small order.
var probeScalar = [32]byte{1}
