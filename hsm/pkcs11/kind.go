package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// What v1.1.2 of the binding lacks (PKCS#11 v3.0 §2.3.5, §2.3.10).
const (
	ckkECEdwards     = 0x40
	ckmEdwardsKeyGen = 0x1055
	ckmEDDSA         = 0x1057
)

// The one kind of RSA key there is here.
const (
	rsaBits    = 3072
	exponentF4 = 65537
)

// CKA_EC_PARAMS in DER: the object identifiers of RFC 5480 §2.1.1.1, SEC 2 and RFC 8410 §3, and the name that v3.0 §2.3.10 also allows.
var (
	paramsP256        = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	paramsSecp256k1   = []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}
	paramsEd25519     = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}
	paramsEd25519Name = append([]byte{0x13, 0x0c}, "edwards25519"...)
)

// wrapMark begins the CKA_ID of key pairs that wrap. What such a key signs or derives opens what it wrapped, so it must never be taken
// for a signing key, also in tokens that give every key every right.
var wrapMark = []byte("mpcd-kek")

// kind tells the type of a private or secret key, "" for one that is none of ours.
func (s *session) kind(o p11.ObjectHandle) (hsm.KeyType, error) {
	t, err := s.number(o, p11.CKA_KEY_TYPE)
	if err != nil {
		return "", err
	}
	if t == p11.CKK_AES {
		if n, err := s.number(o, p11.CKA_VALUE_LEN); err != nil || n != 32 {
			return "", err
		}
		return hsm.KeyAESWrap, nil
	}
	if id, err := s.attribute(o, p11.CKA_ID); err == nil && bytes.HasPrefix(id, wrapMark) {
		return hsm.KeyAESWrap, nil
	}
	return s.pairKind(t, o)
}

// pairKind tells the type of half a key pair.
func (s *session) pairKind(keyType uint, o p11.ObjectHandle) (hsm.KeyType, error) {
	switch keyType {
	case p11.CKK_EC, ckkECEdwards:
		params, err := s.attribute(o, p11.CKA_EC_PARAMS)
		if err != nil {
			return "", err
		}
		return curveOf(keyType, params), nil
	case p11.CKK_RSA:
		modulus, err := s.attribute(o, p11.CKA_MODULUS)
		if err != nil {
			return "", err
		}
		if new(big.Int).SetBytes(modulus).BitLen() == rsaBits {
			return hsm.KeyRSA3072, nil
		}
	}
	return "", nil
}

func curveOf(keyType uint, params []byte) hsm.KeyType {
	switch {
	case keyType == p11.CKK_EC && bytes.Equal(params, paramsP256):
		return hsm.KeyP256
	case keyType == p11.CKK_EC && bytes.Equal(params, paramsSecp256k1):
		return hsm.KeySecp256k1
	case keyType == ckkECEdwards && (bytes.Equal(params, paramsEd25519) || bytes.Equal(params, paramsEd25519Name)):
		return hsm.KeyEd25519
	}
	return ""
}

// readPublic reads a public key object.
func (s *session) readPublic(o p11.ObjectHandle) (crypto.PublicKey, error) {
	t, err := s.number(o, p11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	kind, err := s.pairKind(t, o)
	if err != nil {
		return nil, err
	}
	if kind == hsm.KeyRSA3072 {
		modulus, err1 := s.attribute(o, p11.CKA_MODULUS)
		exponent, err2 := s.attribute(o, p11.CKA_PUBLIC_EXPONENT)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return parseRSA(modulus, exponent)
	}
	point, err := s.attribute(o, p11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	return parsePoint(kind, point)
}

// parseRSA takes a modulus of 3072 bits and an odd exponent of 65,537 to 2³¹-1 (FIPS 186-5 §5.1 has it at least 2¹⁶+1), big-endian.
func parseRSA(modulus, exponent []byte) (crypto.PublicKey, error) {
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if n.BitLen() != rsaBits || n.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: RSA modulus of %d bits, want an odd one of %d", hsm.ErrKeyType, n.BitLen(), rsaBits)
	}
	if e.BitLen() > 31 || e.Int64() < exponentF4 || e.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: RSA exponent of %d bits, want an odd one of %d or more", hsm.ErrKeyType, e.BitLen(), exponentF4)
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// parsePoint reads CKA_EC_POINT: an OCTET STRING by the standard, the bare point in some tokens. What is no key is ErrKeyType.
func parsePoint(kind hsm.KeyType, b []byte) (crypto.PublicKey, error) {
	size := 65
	if kind == hsm.KeyEd25519 {
		size = ed25519.PublicKeySize
	}
	if len(b) == size+2 && b[0] == 0x04 && int(b[1]) == size {
		b = b[2:]
	}
	if len(b) != size {
		return nil, fmt.Errorf("%w: point of %d bytes, want %d", hsm.ErrKeyType, len(b), size)
	}
	switch kind {
	case hsm.KeyEd25519:
		return ed25519.PublicKey(bytes.Clone(b)), nil
	case hsm.KeyP256:
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
		if err != nil {
			return nil, fmt.Errorf("%w: damaged: %w", hsm.ErrKeyType, err)
		}
		return p, nil
	case hsm.KeySecp256k1:
		p, err := secp256k1.ParsePubKey(b)
		if err != nil {
			return nil, fmt.Errorf("%w: damaged: %w", hsm.ErrKeyType, err)
		}
		return hsm.Secp256k1PublicKey(p.SerializeCompressed()), nil
	}
	return nil, hsm.ErrKeyType
}
