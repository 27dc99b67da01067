package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// Secp256k1PublicKey is a point of secp256k1 in SEC 1 compressed form, 33 bytes. It stands for itself because crypto/ecdsa
// does not know the curve.
type Secp256k1PublicKey string

// MaxWrap is the longest secret that KeyWrapper takes, in bytes.
const MaxWrap = 1024

// The one kind of RSA there is here: a modulus of 3072 bits, RSASSA-PSS with a salt as long as the hash (RFC 8017 §9.1).
const (
	rsaBits = 3072
	saltLen = sha256.Size
)

// Verify checks a signature as Signer makes it, with the public key alone: pub is what PublicKeyer tells. A signature of the
// wrong length or value is false; the error is for a key that is none of ours (ErrKeyType).
func Verify(pub crypto.PublicKey, message, signature []byte) (bool, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return false, fmt.Errorf("hsm: %w: Ed25519 public key of %d bytes", ErrKeyType, len(pub))
		}
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(pub, message, signature), nil
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return false, fmt.Errorf("hsm: %w: ECDSA public key that is not on P-256", ErrKeyType)
		}
		if len(signature) != 64 {
			return false, nil
		}
		digest := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(pub, digest[:], r, s), nil
	case Secp256k1PublicKey:
		return verifySecp256k1(pub, message, signature)
	case *rsa.PublicKey:
		if pub.N == nil || pub.N.BitLen() != rsaBits {
			return false, fmt.Errorf("hsm: %w: RSA public key that is not of %d bits", ErrKeyType, rsaBits)
		}
		digest := sha256.Sum256(message)
		return rsa.VerifyPSS(pub, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: saltLen}) == nil, nil
	}
	return false, fmt.Errorf("hsm: %w: cannot verify with a %T", ErrKeyType, pub)
}

func verifySecp256k1(pub Secp256k1PublicKey, message, signature []byte) (bool, error) {
	point, err := secp256k1.ParsePubKey([]byte(pub))
	if err != nil {
		return false, fmt.Errorf("hsm: %w: not a point of secp256k1", ErrKeyType)
	}
	if len(signature) != 64 {
		return false, nil
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]) || r.IsZero() || s.IsZero() {
		return false, nil
	}
	digest := sha256.Sum256(message)
	return k1ecdsa.NewSignature(&r, &s).Verify(digest[:], point), nil
}

// TypeOf tells the key type of a public key, "" if it is none of ours.
func TypeOf(pub crypto.PublicKey) KeyType {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		if len(pub) == ed25519.PublicKeySize {
			return KeyEd25519
		}
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P256() {
			return KeyP256
		}
	case Secp256k1PublicKey:
		return KeySecp256k1
	case *rsa.PublicKey:
		if pub.N != nil && pub.N.BitLen() == rsaBits {
			return KeyRSA3072
		}
	}
	return ""
}
