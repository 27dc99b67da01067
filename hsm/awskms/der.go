package awskms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/hsm"
)

const scalarLen = 32 // of both curves, in bytes

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} // RFC 5480 §2.1.1
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}       // SEC 2 §A.2
)

// rawSignature turns an ECDSA signature in DER (RFC 3279 §2.2.3) into r‖s, 64 bytes. It takes the one DER form only.
func rawSignature(der []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, errors.New("not an ECDSA signature in DER")
	}
	if v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*scalarLen || v.S.BitLen() > 8*scalarLen {
		return nil, errors.New("a number of the ECDSA signature is out of range")
	}
	if again, err := asn1.Marshal(v); err != nil || !bytes.Equal(again, der) { // bytes after it, too
		return nil, errors.New("not the one DER form of an ECDSA signature")
	}
	raw := make([]byte, 2*scalarLen)
	v.R.FillBytes(raw[:scalarLen])
	v.S.FillBytes(raw[scalarLen:])
	return raw, nil
}

// parsePublicKey reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) with a key of one of our types: ed25519.PublicKey,
// *ecdsa.PublicKey on P-256, *rsa.PublicKey of 3,072 bits, hsm.Secp256k1PublicKey. Others are hsm.ErrKeyType.
func parsePublicKey(der []byte) (crypto.PublicKey, hsm.KeyType, error) {
	if pub, err := parseSecp256k1(der); pub != "" || err != nil {
		return pub, hsm.KeySecp256k1, err
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, "", fmt.Errorf("%w: not a public key in DER, or of an unknown kind", hsm.ErrKeyType)
	}
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return pub, hsm.KeyEd25519, nil
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P256() {
			return pub, hsm.KeyP256, nil
		}
	case *rsa.PublicKey:
		if pub.N.BitLen() == 3072 {
			return pub, hsm.KeyRSA3072, nil
		}
	}
	return nil, "", fmt.Errorf("%w: a public key of another kind than ed25519, p256, secp256k1, rsa3072", hsm.ErrKeyType)
}

// parseSecp256k1 reads what crypto/x509 refuses. It answers "" and no error for what is not of this curve.
func parseSecp256k1(der []byte) (hsm.Secp256k1PublicKey, error) {
	var info struct {
		Algorithm struct {
			Algorithm asn1.ObjectIdentifier
			Curve     asn1.ObjectIdentifier `asn1:"optional"`
		}
		PublicKey asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || !info.Algorithm.Algorithm.Equal(oidECPublicKey) || !info.Algorithm.Curve.Equal(oidSecp256k1) {
		return "", nil
	}
	point := info.PublicKey.RightAlign()
	if len(rest) > 0 || info.PublicKey.BitLength != 8*len(point) || len(point) != 65 || point[0] != 4 {
		return "", fmt.Errorf("%w: not an uncompressed point of secp256k1", hsm.ErrKeyType)
	}
	pub, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return "", fmt.Errorf("%w: not a point of secp256k1", hsm.ErrKeyType)
	}
	return hsm.Secp256k1PublicKey(pub.SerializeCompressed()), nil
}
