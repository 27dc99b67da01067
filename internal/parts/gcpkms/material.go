package gcpkms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"hash/crc32"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type algorithm = kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm

// trait is what an algorithm is for.
type trait struct {
	purpose  kmspb.CryptoKey_CryptoKeyPurpose
	rsaBits  int
	hsmOnly  bool
	takeData bool // signs data, not a digest
}

var traits = map[algorithm]trait{
	kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION:  {purpose: kmspb.CryptoKey_ENCRYPT_DECRYPT},
	kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256:          {purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN},
	kmspb.CryptoKeyVersion_EC_SIGN_SECP256K1_SHA256:     {purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN, hsmOnly: true},
	kmspb.CryptoKeyVersion_EC_SIGN_ED25519:              {purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN, takeData: true},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_3072_SHA256:     {purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN, rsaBits: 3072},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256:     {purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN, rsaBits: 2048},
	kmspb.CryptoKeyVersion_RSA_DECRYPT_OAEP_3072_SHA256: {purpose: kmspb.CryptoKey_ASYMMETRIC_DECRYPT, rsaBits: 3072},
	kmspb.CryptoKeyVersion_HMAC_SHA256:                  {purpose: kmspb.CryptoKey_MAC},
}

// material is a secret key: ed25519.PrivateKey, *ecdsa.PrivateKey, *secp256k1.PrivateKey, *rsa.PrivateKey, or 32 bytes.
func newMaterial(a algorithm) (any, error) {
	switch t := traits[a]; {
	case a == kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case a == kmspb.CryptoKeyVersion_EC_SIGN_SECP256K1_SHA256:
		return secp256k1.GeneratePrivateKey()
	case a == kmspb.CryptoKeyVersion_EC_SIGN_ED25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case t.rsaBits > 0:
		return rsa.GenerateKey(rand.Reader, t.rsaBits)
	default:
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return b, nil
	}
}

// publicKey is the subject public key info of a key, DER; nil for a symmetric one.
func publicKey(material any) ([]byte, error) {
	switch m := material.(type) {
	case *secp256k1.PrivateKey:
		curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10}) // SEC 2 §2.4.1
		if err != nil {
			return nil, err
		}
		return asn1.Marshal(struct {
			Algorithm pkix.AlgorithmIdentifier
			Point     asn1.BitString
		}{
			pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: curve}},
			asn1.BitString{Bytes: m.PubKey().SerializeUncompressed(), BitLength: 65 * 8},
		})
	case crypto.Signer:
		return x509.MarshalPKIXPublicKey(m.Public())
	}
	return nil, nil
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sign signs a digest of 32 bytes, or data for Ed25519. ECDSA signatures are DER (RFC 3279 §2.2.3).
func sign(material any, input []byte) ([]byte, error) {
	switch m := material.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(m, input), nil
	case *ecdsa.PrivateKey:
		return ecdsa.SignASN1(rand.Reader, m, input)
	case *secp256k1.PrivateKey:
		return k1ecdsa.Sign(m, input).Serialize(), nil
	case *rsa.PrivateKey:
		return rsa.SignPSS(rand.Reader, m, crypto.SHA256, input, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return nil, precondition("The key does not sign.")
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, castagnoli)))
}

// checkSum tells whether a checksum came with the field, and refuses a wrong one.
func checkSum(field string, b []byte, crc *wrapperspb.Int64Value) (bool, error) {
	if crc == nil {
		return false, nil
	}
	if crc.Value != sum(b).Value {
		return false, invalid("The checksum in field %s_crc32c did not match the data in field %s.", field, field)
	}
	return true, nil
}
