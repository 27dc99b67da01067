package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The object identifiers of an elliptic-curve public key (RFC 5480 §2.1.1) and of secp256k1 (SEC 2 §A.2), which crypto/x509 does
// not know.
var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

// subjectPublicKeyInfo is RFC 5280 §4.1.2.7.
type subjectPublicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	PublicKey asn1.BitString
}

// MarshalPublicKey writes a key of PublicKeyer as PKIX DER (RFC 5280 §4.1.2.7); secp256k1 points uncompressed. ErrKeyType for any
// other key.
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	if TypeOf(pub) == "" {
		return nil, fmt.Errorf("hsm: %w: cannot write a %T", ErrKeyType, pub)
	}
	k1, ok := pub.(Secp256k1PublicKey)
	if !ok {
		return x509.MarshalPKIXPublicKey(pub)
	}
	point, err := secp256k1.ParsePubKey([]byte(k1))
	if err != nil {
		return nil, fmt.Errorf("hsm: %w: not a point of secp256k1", ErrKeyType)
	}
	params, err := asn1.Marshal(oidSecp256k1)
	if err != nil {
		return nil, err
	}
	raw := point.SerializeUncompressed()
	return asn1.Marshal(subjectPublicKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey, Parameters: asn1.RawValue{FullBytes: params}},
		PublicKey: asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)},
	})
}

// ParsePublicKey reads PKIX DER into a key as PublicKeyer tells it. Errors wrap ErrKeyType: it is no such key, is of another type, or
// bytes follow.
func ParsePublicKey(der []byte) (crypto.PublicKey, error) {
	if k1, ok, err := parseSecp256k1(der); ok {
		return k1, err
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("hsm: %w: %w", ErrKeyType, err)
	}
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	case *rsa.PublicKey:
		if TypeOf(k) == KeyRSA3072 {
			return k, nil
		}
	}
	return nil, fmt.Errorf("hsm: %w: a %T of another curve or size", ErrKeyType, pub)
}

// parseSecp256k1 tells whether the key is on secp256k1, and reads it.
func parseSecp256k1(der []byte) (crypto.PublicKey, bool, error) {
	var info subjectPublicKeyInfo
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || !info.Algorithm.Algorithm.Equal(oidECPublicKey) {
		return nil, false, nil
	}
	var curve asn1.ObjectIdentifier
	if left, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); err != nil || len(left) > 0 || !curve.Equal(oidSecp256k1) {
		return nil, false, nil
	}
	if len(rest) > 0 || info.PublicKey.BitLength%8 != 0 {
		return nil, true, fmt.Errorf("hsm: %w: bits follow the public key", ErrKeyType)
	}
	point, err := secp256k1.ParsePubKey(info.PublicKey.Bytes)
	if err != nil || info.PublicKey.Bytes[0] > 4 { // hybrid: RFC 5480 §2.2 forbids it
		return nil, true, fmt.Errorf("hsm: %w: not a point of secp256k1", ErrKeyType)
	}
	return Secp256k1PublicKey(point.SerializeCompressed()), true, nil
}
